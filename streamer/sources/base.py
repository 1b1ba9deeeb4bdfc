"""What any source of samples must give the streamer."""

from typing import Protocol

from common.models import Sample
from streamer.sources.rejects import Rejects


class SourceError(Exception):
    """The source cannot be read at all; the text says what is missing."""


class Progress:
    """How far a source has come. Written by the source alone, read by whoever asks.

    ``rows_read``, ``duplicates`` and ``rejects`` count over all passes; ``bytes_read`` is of the
    pass that runs, out of ``bytes_total`` (0 when a source has no size).
    """

    def __init__(self) -> None:
        self.rows_read = 0
        self.duplicates = 0
        self.bytes_read = 0
        self.bytes_total = 0
        self.rejects = Rejects()


class Source(Protocol):
    """Gives whole samples, in order per GPU, a chunk at a time.

    A source never blocks the event loop: it reads in a thread of its own, waits on the clock it
    was given, or awaits the network.
    """

    progress: Progress
    live: bool
    """True when samples are of the present: they are never given a second time."""

    async def open(self) -> str:
        """Get ready and return a text that names the content; raises SourceError.

        The same content has the same name after a restart; of live samples no two runs share one.
        """

    async def read(self) -> list[Sample] | None:
        """Return the next chunk, perhaps empty, or None at the end; raises SourceError."""

    async def rewind(self) -> None:
        """Go back to the beginning, for another pass."""

    async def close(self) -> None:
        """Let go of files and threads."""
