"""CSV files on disk, one after the other."""

from collections.abc import Sequence
from pathlib import Path

import xxhash

from common.models import Sample
from streamer.assemble import Place
from streamer.sources.arrival import FileTime
from streamer.sources.base import Mark, Progress, SourceError
from streamer.sources.content import Content, naming
from streamer.sources.layout import CsvSettings
from streamer.sources.paths import expand, plain_stem
from streamer.sources.reading import Reading, Way, open_place, resume_reading
from streamer.sources.thread import ReaderThread
from streamer.sources.understand import understand


class CsvFiles:
    """Reads files in a thread of its own; see ``Source``. Each begins with its own header."""

    live = False
    grows = False

    def __init__(self, path: str, settings: CsvSettings) -> None:
        self.progress = Progress()
        self._path = path
        self._settings = settings
        self._files: Sequence[Path] = ()
        self._number = 0
        self._before = 0
        self._content: Content | None = None
        self._reading: Reading | None = None
        self._mark: Mark = {}
        self._thread = ReaderThread()

    async def open(self) -> str:
        """See ``Source``; the name is a digest of the files' names, sizes, beginnings and ends."""
        return await self._thread.run(self._open)

    async def read(self) -> list[Sample] | None:
        """See ``Source``."""
        samples, self._mark = await self._thread.run(self._next)
        return samples

    def mark(self) -> Mark | None:
        """See ``Source``."""
        return self._mark

    async def resume(self, mark: Mark) -> None:
        """See ``Source``."""
        if mark:
            await self._thread.run(lambda: self._resume(mark))

    async def leftover(self) -> list[Sample]:
        """It is read again."""
        return []

    async def rewind(self) -> None:
        """See ``Source``."""
        await self._thread.run(self._rewind)

    async def close(self) -> None:
        """See ``Source``."""
        await self._thread.run(self._close_file)
        self._thread.close()

    def _open(self) -> str:
        self._files = expand(self._path)
        digest = xxhash.xxh3_64()
        for path in self._files:
            with naming(path):
                content = Content(path)
                digest.update(content.fingerprint().encode())
                self.progress.bytes_total += content.size
                content.close()
        return digest.hexdigest()

    def _rewind(self) -> None:
        self._close_file()
        self._number = self._before = self.progress.bytes_read = 0
        self._mark = {}

    def _next(self) -> tuple[list[Sample] | None, Mark]:
        """The next chunk, and the mark behind it."""
        if self._number >= len(self._files):
            return None, self._mark
        path = self._files[self._number]
        with naming(path):
            if self._reading is None:
                self._content = Content(path)
                self._reading = begin_file(self._content, self._settings, self.progress)
            samples = self._reading.next_chunk()
            if self._content is not None:
                self.progress.bytes_read = self._before + self._content.raw_position
            if samples is not None:
                return samples, {"path": str(path), **self._reading.mark()}
            return self._end(path, self._reading)

    def _end(self, path: Path, reading: Reading) -> tuple[list[Sample], Mark]:
        samples = reading.last_chunk()
        mark = {"path": str(path), "ended": True, **reading.mark()}
        self._go_to_next()
        return samples, mark

    def _go_to_next(self) -> None:
        self._before = self.progress.bytes_read
        self._close_file()
        self._number += 1

    def _resume(self, mark: Mark) -> None:
        names = [str(path) for path in self._files]
        if mark["path"] not in names:
            raise SourceError(f"{mark['path']}, where the mark is, is not among the files any more")
        self._number = names.index(mark["path"])
        self._before = sum(path.stat().st_size for path in self._files[: self._number])
        path = self._files[self._number]
        with naming(path):
            content = self._content = Content(path)
            self._reading = begin_file(content, self._settings, self.progress, open_place(mark))
            resume_reading(self._reading, content, mark)
            self.progress.bytes_read = self._before + content.raw_position
        if mark.get("ended"):
            self._go_to_next()
        self.progress.forget_counts()
        self._mark = mark

    def _close_file(self) -> None:
        if self._content is not None:
            self._content.close()
        self._content = self._reading = None


def begin_file(
    content: Content, settings: CsvSettings, progress: Progress, place: Place | None = None
) -> Reading:
    """Understand a file and begin to read it, from ``place`` on."""
    layout = understand(content.head, content.start, plain_stem(content.path.name), settings)
    way = Way(layout, settings, FileTime(content.modified_ms))
    return Reading(content.text, way, content.head, progress, place)
