"""What any source of samples must give the streamer."""

from typing import Any, Protocol

from common.models import Sample
from streamer.sources.outcomes import OUTCOMES, Outcome, TargetState
from streamer.sources.rejects import Rejects

Mark = dict[str, Any]


class SourceError(Exception):
    """The source cannot be read at all; the text says what is missing."""


class Progress:
    """How far a source has come. Written by the source alone, read by whoever asks.

    ``rows_read``, ``values_read``, ``missing``, ``duplicates`` and ``rejects`` count over all
    passes. A row of a long file holds one value, one of a wide file a value a column; one that is
    refused whole counts as one. So ``values_read`` is points, duplicates and rejects; ``missing``
    are the cells that say there is no value. ``bytes_read`` is of the pass that runs, out of
    ``bytes_total`` (0 when a source has no size). ``targets`` are those of a source that scrapes,
    by name, and ``scrapes`` counts its scrapes by their end.
    """

    def __init__(self) -> None:
        self.rows_read = 0
        self.values_read = 0
        self.missing = 0
        self.duplicates = 0
        self.bytes_read = 0
        self.bytes_total = 0
        self.rejects = Rejects()
        self.targets: dict[str, TargetState] = {}
        self.scrapes: dict[Outcome, int] = dict.fromkeys(OUTCOMES, 0)

    def forget_counts(self) -> None:
        """Count anew: what was read so far had been counted by another process."""
        self.rows_read = self.values_read = self.missing = self.duplicates = 0
        self.rejects = Rejects()


class Source(Protocol):
    """Gives whole samples, in order per GPU, a chunk at a time.

    A source never blocks the event loop: it reads in a thread of its own, waits on the clock it
    was given, or awaits the network.
    """

    progress: Progress
    live: bool
    """True when samples are of the present: they are never given a second time."""
    grows: bool
    """True when the name of ``open`` stands for more as time goes on: only marks tell what."""

    async def open(self) -> str:
        """Get ready and return a text that names the content; raises SourceError.

        The same content has the same name after a restart; of live samples no two runs share one.
        """

    async def read(self) -> list[Sample] | None:
        """Return the next chunk, perhaps empty, or None at the end; raises SourceError.

        One that is cancelled may have taken a chunk: only ``leftover`` and ``close`` follow it.
        """

    def mark(self) -> Mark | None:
        """Say where the source is after the last chunk that ``read`` returned, as JSON can hold it.

        It does not depend on the pass. Empty before the first ``read``; None when a source cannot
        go on where it was.
        """

    async def resume(self, mark: Mark) -> None:
        """Go on from a mark; after ``open`` and before the first ``read``.

        The samples that follow are, in order and content, those that followed the mark. Raises
        SourceError when the content is another one. Counts begin anew.
        """

    async def leftover(self) -> list[Sample]:
        """Return what was read and not given out, at a stop; nothing is read afterwards.

        Nothing of a source that gives it again after the next start.
        """

    async def rewind(self) -> None:
        """Go back to the beginning, for another pass."""

    async def close(self) -> None:
        """Let go of files and threads."""
