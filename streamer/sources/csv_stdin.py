"""A CSV from standard input."""

from typing import BinaryIO, cast

from common.clock import Clock
from common.models import Sample
from streamer.sources.arrival import ArrivalTime
from streamer.sources.base import Mark, Progress, SourceError
from streamer.sources.content import HEAD_BYTES, Text, naming, unwrap
from streamer.sources.layout import CsvSettings
from streamer.sources.pipe import Pipe
from streamer.sources.reading import Reading, Way
from streamer.sources.thread import ReaderThread
from streamer.sources.understand import understand

NAME = "standard input"
HOST = "stdin"
MS_PER_SECOND = 1000
LINES_WAITED_FOR = 2
STDIN = 0


class CsvStdin:
    """Reads what comes, as it comes; see ``Source``. It cannot be read twice."""

    live = False
    grows = False

    def __init__(self, settings: CsvSettings, clock: Clock, descriptor: int = STDIN) -> None:
        self.progress = Progress()
        self._settings = settings
        self._clock = clock
        self._pipe = Pipe(descriptor)
        self._reading: Reading | None = None
        self._ended = False
        self._untaken: list[Sample] = []
        self._thread = ReaderThread()

    async def open(self) -> str:
        """See ``Source``; no two starts give the same name."""
        return f"stdin-{int(self._clock.wall() * MS_PER_SECOND)}"

    async def read(self) -> list[Sample] | None:
        """See ``Source``."""
        samples = await self._thread.run(self._next)
        self._untaken = []
        return samples

    def mark(self) -> Mark | None:
        """What was read is gone."""
        return None

    async def resume(self, mark: Mark) -> None:
        """There are no marks."""
        raise SourceError(f"{NAME} cannot go on where it was")

    async def leftover(self) -> list[Sample]:
        """See ``Source``; half a line is none."""
        self._pipe.stop()
        return await self._thread.run(self._leave)

    async def rewind(self) -> None:
        """There is no second time."""
        raise SourceError(f"{NAME} cannot be read twice")

    async def close(self) -> None:
        """See ``Source``."""
        self._pipe.stop()
        self._thread.close()

    def _next(self) -> list[Sample] | None:
        if self._ended:
            return None
        with naming(NAME):
            if self._reading is None:
                self._reading = begin_stdin(self._pipe, self._settings, self._clock, self.progress)
            samples = self._reading.next_chunk()
            self.progress.bytes_read = self._reading.lines.position
            if samples is None:
                self._ended = True
                samples = [] if self._pipe.stopped else self._reading.last_chunk()
            self._untaken = samples
            return samples

    def _leave(self) -> list[Sample]:
        return self._untaken + (self._reading.close_open() if self._reading else [])


def begin_stdin(pipe: Pipe, settings: CsvSettings, clock: Clock, progress: Progress) -> Reading:
    """Wait for the first lines and understand them."""
    text, start, _ = unwrap(cast("BinaryIO", pipe))  # it reads and seeks
    text.seek(start)
    head = read_head(text)
    layout = understand(head, start, HOST, settings)
    reading = Reading(text, Way(layout, settings, ArrivalTime(clock)), head, progress)
    pipe.settle()
    return reading


def read_head(text: Text) -> bytes:
    """Return the first lines, as many as it takes to tell what they are."""
    head = b""
    while head.count(b"\n") < LINES_WAITED_FOR and len(head) < HEAD_BYTES:
        data = text.read(HEAD_BYTES - len(head))
        if not data:
            break
        head += data
    return head
