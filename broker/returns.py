"""Messages that come again: at once, or after a delay."""

from typing import NamedTuple

from sortedcontainers import SortedList

from broker.ranges import Span


class Returned(NamedTuple):
    """Messages ``start`` to ``stop`` that were tried ``tried`` times."""

    start: int
    stop: int
    tried: int


class Returns:
    """What goes out again before anything new does, the lowest offset first."""

    def __init__(self) -> None:
        self.messages = 0
        self._ready: SortedList[Returned] = SortedList()
        self._delayed: SortedList[tuple[float, Returned]] = SortedList()

    def add(self, spans: list[Span], tried: int) -> None:
        """Have messages go out again at once."""
        for start, stop in spans:
            self._ready.add(Returned(start, stop, tried))
            self.messages += stop - start

    def delay(self, spans: list[Span], tried: int, due: float) -> None:
        """Have messages go out again at ``due``, on the monotonic clock."""
        for start, stop in spans:
            self._delayed.add((due, Returned(start, stop, tried)))
            self.messages += stop - start

    def wake(self, now: float) -> int:
        """Make those ready whose delay is over; return how many messages."""
        woken = 0
        while self._delayed and self._delayed[0][0] <= now:
            returned = self._delayed.pop(0)[1]
            self._ready.add(returned)
            woken += returned.stop - returned.start
        return woken

    def take(self, limit: int) -> Returned | None:
        """Take up to ``limit`` messages that go out next, all tried equally often."""
        if not self._ready:
            return None
        first: Returned = self._ready.pop(0)
        stop = min(first.stop, first.start + limit)
        if stop < first.stop:
            self._ready.add(first._replace(start=stop))
        self.messages -= stop - first.start
        return first._replace(stop=stop)

    def tried(self, offset: int) -> int:
        """How often a message among these was delivered; 0 when it is none of them."""
        delayed = (returned for _, returned in self._delayed)
        here = (it for it in (*self._ready, *delayed) if it.start <= offset < it.stop)
        return next((it.tried for it in here), 0)

    def let_go(self, below: int) -> None:
        """Forget messages below an offset."""
        ready = list(self._ready)
        delayed: list[tuple[float, Returned]] = list(self._delayed)
        self.clear()
        for returned in ready:
            if returned.stop > below:
                self.add([(max(returned.start, below), returned.stop)], returned.tried)
        for due, returned in delayed:
            if returned.stop > below:
                self.delay([(max(returned.start, below), returned.stop)], returned.tried, due)

    def clear(self) -> None:
        """Forget everything."""
        self._ready.clear()
        self._delayed.clear()
        self.messages = 0
