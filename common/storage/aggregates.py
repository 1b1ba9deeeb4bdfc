"""What a window's values come to, one by one and in order of time: the same on every store."""

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from operator import add

from common.errors import InvalidParameter
from common.storage.base import Aggregate

MAX_WINDOW_POINTS = 5_000_000
"""Points of one metric that a window may hold; they are in memory at once, 8 bytes each."""


def mean(values: Sequence[float]) -> float:
    """The plain sum in order of time, divided by the count: as InfluxDB adds.

    Not `sum`, which from Python 3.12 on rounds in another way.
    """
    return reduce(add, values, 0.0) / len(values)


def last(values: Sequence[float]) -> float:
    """The newest."""
    return values[-1]


def p95(values: Sequence[float]) -> float:
    """The least value that 95 % of the values do not exceed (nearest rank)."""
    return sorted(values)[-(-95 * len(values) // 100) - 1]


AGGREGATES: Mapping[Aggregate, Callable[[Sequence[float]], float]] = {
    "mean": mean,
    "min": min,
    "max": max,
    "last": last,
    "p95": p95,
}


def check_window(points: int) -> None:
    """Raise InvalidParameter for a window that holds more points than are kept in memory."""
    if points > MAX_WINDOW_POINTS:
        raise InvalidParameter(
            f"a window holds over {MAX_WINDOW_POINTS:,} points of a metric; ask for narrower ones"
        )
