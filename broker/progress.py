"""How far a group is in a partition, and what became of the messages it is done with."""

from typing import Any

from broker.ranges import Ranges, Span


class Progress:
    """Messages from ``start`` on: all below ``floor`` are settled, and those of ``acked`` above it.

    Of the settled ones ``dead`` lie in the dead-letter queue, ``lost`` were not on the disk any
    more, and ``dropped`` (by reason) were let go; the rest was acked.
    """

    def __init__(self, floor: int) -> None:
        self.begin(floor)

    def begin(self, floor: int) -> None:
        """Start anew."""
        self.start = self.floor = floor
        self.acked = Ranges()
        self.dead = self.lost = 0
        self.dropped: dict[str, int] = {}
        self.dirty = True

    @property
    def finished(self) -> int:
        """Messages settled, in whatever way."""
        return self.floor - self.start + len(self.acked)

    def finish(self, spans: list[Span]) -> int:
        """Settle messages; return how many."""
        for low, high in spans:
            self.acked.add(low, high)
        self._raise_floor()
        return sum(high - low for low, high in spans)

    def finished_within(self, start: int, stop: int) -> int:
        """How many of ``[start, stop)`` are settled."""
        below = max(0, min(stop, self.floor) - max(start, self.start))
        return below + sum(high - low for low, high in self.acked.overlap(start, stop))

    def skip(self, stop: int, reason: str) -> int:
        """Be done with everything below ``stop``; return how many had not been settled."""
        if stop <= self.floor:
            return 0
        count = stop - self.floor - sum(h - low for low, h in self.acked.overlap(self.floor, stop))
        self.finish([(self.floor, stop)])
        if count:
            self.dropped[reason] = self.dropped.get(reason, 0) + count
        return count

    def state(self) -> dict[str, Any]:
        """What is kept over a restart."""
        return {
            "start": self.start,
            "floor": self.floor,
            "acked": list(self.acked),
            "dead": self.dead,
            "lost": self.lost,
            "dropped": self.dropped,
        }

    def restore(self, state: dict[str, Any], first: int, end: int) -> bool:
        """Take up a place kept before, within what the log holds now; return if it was cut.

        A log that lost its unsynced tail ends below the kept place: other messages get those
        offsets. One that begins above it lacks messages that the group never got: they are lost.
        """
        floor, acked = int(state["floor"]), Ranges([(low, high) for low, high in state["acked"]])
        missing = max(0, first - floor) - sum(b - a for a, b in acked.overlap(floor, first))
        self.floor = min(max(floor, first), end)
        self.start = min(int(state["start"]), self.floor)
        self.acked = Ranges(acked.overlap(self.floor, end))
        self._raise_floor()
        left = self.finished
        self.dead = min(int(state.get("dead", 0)), left)
        self.lost = min(int(state.get("lost", 0)) + missing, left - self.dead)
        left -= self.dead + self.lost
        for reason, count in state.get("dropped", {}).items():
            self.dropped[reason] = min(int(count), left)
            left -= self.dropped[reason]
        return max([floor, *(stop for _, stop in acked)]) > end

    def _raise_floor(self) -> None:
        self.floor = self.acked.pop_from(self.floor)
        self.dirty = True
