"""Where a streamer goes on after a crash, so that no row is missing and none is there twice.

The law:

1. Samples are numbered from 0, over all passes, after the selection of hosts. The same source with
   the same options gives the same samples the same numbers.
2. A **place** says that every sample below its number is confirmed by the queue. Partitions confirm
   in any order, so a place is first *offered*, with what each partition had gathered then, and is
   written once each of them has confirmed that much.
3. A place holds a **mark**, where the source was, and the number of the sample that followed it.
   Who resumes goes to the mark, reads, and skips what lies below the place's number: a mark may be
   older than its place, and a source without marks is read again from the start of its pass.
4. A time that is not the source's own is **noted** before the first sample that gets it is sent,
   so what is sent again after a crash is the same point. Notes that a place covers go with it.
5. Positions in partitions go on from the place, and batches are cut at multiples of their size.
   What was confirmed and not yet noted is sent again under the same keys, which the broker knows;
   only a batch that lies across the place is new to it, and its points are known to the store.

The file is one JSON document with a checksum, replaced whole and synced before it counts
(``common.journal.position``). Only a place of the same content and options is gone on from.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from streamer.timing import Decision


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """What the file holds.

    ``run`` names the batches of this run. ``mark`` is where the source was before sample number
    ``marked``, None at the beginning of pass ``passes``. Samples below ``samples`` are confirmed.
    """

    content: str
    run: str
    passes: int = 0
    mark: dict[str, Any] | None = None
    marked: int = 0
    samples: int = 0
    positions: list[int] = []
    timing: dict[str, int] = {}
    decisions: list[Decision] = []
    finished: bool = False


class Keeper(Protocol):
    """Keeps the place of a run; told by the feed, which alone knows the numbers."""

    def mark(self, mark: dict[str, Any] | None, passes: int, number: int) -> None:
        """The sample that follows ``mark`` in pass ``passes`` has this number."""

    def offer(self, number: int, timing: dict[str, int]) -> None:
        """Everything below ``number`` was gathered; take it as a place if it is time for one."""

    async def note(self, decision: Decision) -> None:
        """Return when a decision is on disk."""


class NoKeeper:
    """Keeps nothing."""

    def mark(self, mark: dict[str, Any] | None, passes: int, number: int) -> None:
        """See ``Keeper``."""

    def offer(self, number: int, timing: dict[str, int]) -> None:
        """See ``Keeper``."""

    async def note(self, decision: Decision) -> None:
        """See ``Keeper``."""


def skipped(place: Place | None) -> int:
    """How many samples behind the mark are confirmed already."""
    return 0 if place is None else place.samples - place.marked


def positions_of(place: Place | None) -> Sequence[int]:
    """Where the partitions were."""
    return () if place is None else place.positions
