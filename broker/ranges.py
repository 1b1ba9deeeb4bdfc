"""A set of whole numbers kept as ranges."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

Span = tuple[int, int]


class Ranges:
    """Half-open ranges ``[start, stop)``, disjoint, never touching, in order.

    Adding, removing and looking up cost the logarithm of the number of ranges plus the number of
    ranges touched.
    """

    def __init__(self, spans: list[Span] | None = None) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []
        for start, stop in spans or []:
            self.add(start, stop)

    def __iter__(self) -> Iterator[Span]:
        return zip(self._starts, self._stops, strict=True)

    def __bool__(self) -> bool:
        return bool(self._starts)

    def __len__(self) -> int:
        """How many numbers are in the set."""
        return sum(self._stops) - sum(self._starts)

    def add(self, start: int, stop: int) -> None:
        """Put every number of ``[start, stop)`` in."""
        first = bisect_left(self._stops, start)
        last = bisect_right(self._starts, stop)
        if first < last:
            start = min(start, self._starts[first])
            stop = max(stop, self._stops[last - 1])
        self._starts[first:last] = [start]
        self._stops[first:last] = [stop]

    def remove(self, start: int, stop: int) -> list[Span]:
        """Take every number of ``[start, stop)`` out; return what was there."""
        taken = self.overlap(start, stop)
        if not taken:
            return taken
        first = bisect_right(self._stops, start)
        last = bisect_left(self._starts, stop)
        keep = [
            (low, high)
            for low, high in ((self._starts[first], start), (stop, self._stops[last - 1]))
            if low < high
        ]
        self._starts[first:last] = [low for low, _ in keep]
        self._stops[first:last] = [high for _, high in keep]
        return taken

    def overlap(self, start: int, stop: int) -> list[Span]:
        """The parts of ``[start, stop)`` that are in the set."""
        first = bisect_right(self._stops, start)
        last = bisect_left(self._starts, stop)
        pairs = zip(self._starts[first:last], self._stops[first:last], strict=True)
        return [(max(low, start), min(high, stop)) for low, high in pairs]

    def gap(self, start: int, stop: int) -> Span:
        """The first part of ``[start, stop)`` that is not in the set; empty when there is none."""
        found = bisect_right(self._stops, start)
        if found < len(self._starts) and self._starts[found] <= start:
            start, found = self._stops[found], found + 1
        if found < len(self._starts):
            stop = min(stop, self._starts[found])
        return (start, max(start, stop))

    def pop_from(self, floor: int) -> int:
        """Drop the range that begins at ``floor``, if there is one; return where it ended."""
        if not self._starts or self._starts[0] > floor:
            return floor
        del self._starts[0]
        return max(floor, self._stops.pop(0))
