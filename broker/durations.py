"""A histogram that costs a bisection: for numbers taken on the hot path."""

from bisect import bisect_left
from collections.abc import Iterable

BOUNDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0)


class Durations:
    """How many took how long, in buckets up to each of ``BOUNDS`` seconds and one above."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0.0

    def observe(self, seconds: float, count: int) -> None:
        """``count`` things took so long."""
        self.counts[bisect_left(BOUNDS, seconds)] += count
        self.total += seconds * count


def summed(all_durations: Iterable[Durations]) -> Durations:
    """Several histograms as one."""
    whole = Durations()
    for durations in all_durations:
        whole.counts = [a + b for a, b in zip(whole.counts, durations.counts, strict=True)]
        whole.total += durations.total
    return whole
