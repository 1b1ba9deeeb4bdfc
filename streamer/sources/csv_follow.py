"""A CSV that grows: followed over truncation and rotation."""

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import xxhash

from common.clock import Clock
from common.models import Sample
from streamer.assemble import Place
from streamer.sources.arrival import ArrivalTime
from streamer.sources.base import Mark, Progress, SourceError
from streamer.sources.content import HEAD_BYTES, Content, naming
from streamer.sources.growing import Growing, start_of
from streamer.sources.layout import CsvSettings, Layout
from streamer.sources.paths import plain_stem
from streamer.sources.reading import ANOTHER, Reading, Way, is_same, open_place
from streamer.sources.thread import ReaderThread
from streamer.sources.understand import is_another_row, understand

POLL_SECONDS = 0.5
MAX_SIBLINGS = 10_000
_ROTATION = re.compile(r"[._-][0-9][0-9T:._-]*")


class Followed(NamedTuple):
    """The file that is read now."""

    file: Growing
    reading: Reading

    def was_cut(self) -> bool:
        """Whether the file is not the one that was read up to here."""
        lines = self.reading.lines
        return self.file.was_cut(lines.position, lines.offset, lines.tail)

    def mark(self) -> Mark:
        """Where the reading is, and what is needed to find the file and read it as now."""
        layout = self.reading.way.layout
        names = [] if layout.header else [column.title for column in layout.columns]
        return {"inode": self.file.inode, "names": names, **self.reading.mark()}


class CsvFollow:
    """Reads a file and what is added to it; see ``Source``. It never ends.

    A file of another identity under the same name is the next one: the one before is read to its
    end first. A file that became shorter, or holds other bytes before the place that was read to,
    was truncated: it is read from its start. One that is gone is waited for. In a long file the
    last moment of a GPU waits for its next row, so that samples never depend on when it is looked.
    """

    live = False
    grows = True

    def __init__(self, path: str, settings: CsvSettings, clock: Clock) -> None:
        self.progress = Progress()
        self._path = Path(path)
        # One row tells the types: so a restart, which sees more of them, understands the same.
        self._settings = settings._replace(rows_looked_at=1)
        self._clock = clock
        self._untimed = ArrivalTime(clock)
        self._now: Followed | None = None
        self._older: list[Path] = []
        self._layout: Layout | None = None
        self._mark: Mark = {}
        self._thread = ReaderThread()

    async def open(self) -> str:
        """See ``Source``; the name is of the path alone: marks tell one content from another."""
        await self._thread.run(self._look)
        return f"follow-{xxhash.xxh3_64_hexdigest(bytes(self._path.resolve()))}"

    async def read(self) -> list[Sample] | None:
        """See ``Source``; returns once there is something new."""
        while True:
            found = await self._thread.run(self._step)
            if found is not None:
                samples, self._mark = found
                return samples
            await self._clock.sleep(POLL_SECONDS)

    def mark(self) -> Mark | None:
        """See ``Source``."""
        return self._mark

    async def resume(self, mark: Mark) -> None:
        """See ``Source``; the file may have another name by now, next to the one followed."""
        if mark:
            await self._thread.run(lambda: self._resume(mark))

    async def leftover(self) -> list[Sample]:
        """It is read again."""
        return []

    async def rewind(self) -> None:
        """It has no end to go back from."""

    async def close(self) -> None:
        """See ``Source``."""
        await self._thread.run(self._let_go)
        self._thread.close()

    def _look(self) -> None:
        """Refuse now what will never do; a file that is not there yet may come."""
        with naming(self._path):
            if self._path.exists():
                content = Content(self._path)
                content.close()
                if content.wrapping:
                    raise SourceError(f"{content.wrapping} cannot be followed")
                self._now = self._begin()
                self._mark = {} if self._now is None else self._now.mark()

    def _step(self) -> tuple[list[Sample], Mark] | None:
        """Take what is new; None when there is nothing."""
        with naming(self._path):
            now = self._now = self._now or self._begin()
            if now is None:
                return None
            ended = bool(self._older) or now.file.was_replaced(self._path)
            samples = None
            if not now.was_cut():
                samples = now.reading.next_chunk()
                if samples is None and not ended:
                    return None
            if samples is None:
                samples = now.reading.last_chunk()
                self._go_to_next()
            self.progress.bytes_read = now.reading.lines.position
            return samples, now.mark()

    def _go_to_next(self) -> None:
        """The file is at its end for good."""
        self._let_go()
        self._older = self._older[1:]

    def _begin(self) -> Followed | None:
        """Open the next file and understand it, if there is one with a first row."""
        path = self._older[0] if self._older else self._path
        try:
            file = Growing(path)
        except FileNotFoundError:
            return None
        head = file.head(HEAD_BYTES)
        layout = self._understand(head, whole=bool(self._older))
        if layout is None:
            file.close()
            return None
        return self._take(file, layout, head)

    def _understand(self, head: bytes, whole: bool) -> Layout | None:
        """Return the layout of a file; one that goes on without a header is as the one before."""
        first, end, rest = head.partition(b"\n")
        if self._layout is not None and end and is_another_row(first, self._layout):
            return self._layout._replace(start=0, line=1)
        if not whole and b"\n" not in rest.lstrip(b"\r\n") and len(head) < HEAD_BYTES:
            return None
        return understand_head(head, self._path, self._settings)

    def _take(
        self, file: Growing, layout: Layout, head: bytes, place: Place | None = None
    ) -> Followed:
        way = Way(layout, self._settings, self._untimed)
        self._layout = layout
        return Followed(file, Reading(file, way, head, self.progress, place))

    def _resume(self, mark: Mark) -> None:
        with naming(self._path):
            path = find(mark, self._path)
            if mark["names"]:
                self._settings = self._settings._replace(names=tuple(mark["names"]))
            self._let_go()
            file = Growing(path)
            head = file.head(HEAD_BYTES)
            layout = understand_head(head, self._path, self._settings)
            self._now = self._take(file, layout, head, open_place(mark))
            try:
                self._now.reading.catch_up(mark)
            except SourceError:
                self._let_go()
                raise
            if path != self._path:
                newer = [other for other in rotated(self._path) if age(other) > age(path)]
                self._older = [path, *sorted(newer, key=age)]
        self.progress.forget_counts()
        self._mark = mark

    def _let_go(self) -> None:
        if self._now is not None:
            self._now.file.close()
        self._now = None


def understand_head(head: bytes, path: Path, settings: CsvSettings) -> Layout:
    """Return the layout of a file that begins with ``head``; raises SourceError."""
    start = start_of(head)
    return understand(head[start:], start, plain_stem(path.name), settings)


def find(mark: Mark, path: Path) -> Path:
    """Return the file that a mark is of: by its bytes, and first the one with its inode.

    Raises SourceError when it is neither at ``path`` nor what a rotation made of that.
    """
    files = [each for each in (path, *rotated(path)) if each.exists()]
    files.sort(key=lambda each: each.stat().st_ino != mark["inode"])
    for each in files:
        file = Growing(each)
        try:
            if is_same(file.head(HEAD_BYTES), file.before(mark), mark):
                return each
        finally:
            file.close()
    raise SourceError(ANOTHER)


def rotated(path: Path) -> Iterator[Path]:
    """What a rotation may have made of a file: its name and a number or a date."""
    for each in islice(path.parent.iterdir(), MAX_SIBLINGS):
        if each.name.startswith(path.name) and _ROTATION.fullmatch(each.name[len(path.name) :]):
            yield each


def age(path: Path) -> int:
    """When a file was last written to, in nanoseconds."""
    return path.stat().st_mtime_ns
