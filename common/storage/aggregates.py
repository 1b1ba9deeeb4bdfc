"""What a window's values come to, one by one and in order of time: the same on every store."""

from array import array
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from operator import add
from typing import NamedTuple

from common.errors import InvalidParameter
from common.storage.base import Aggregate

MAX_WINDOW_POINTS = 5_000_000
"""Points of one metric that a window may hold; they are in memory at once, 8 bytes each."""


def mean(values: Sequence[float]) -> float:
    """The plain sum in order of time, divided by the count: as InfluxDB adds."""
    return total(values) / len(values)


def total(values: Sequence[float]) -> float:
    """The plain sum. Not `sum`, which from Python 3.12 on rounds in another way."""
    return reduce(add, values, 0.0)


def last(values: Sequence[float]) -> float:
    """The newest."""
    return values[-1]


def p95(values: Sequence[float]) -> float:
    """The least value that 95 % of the values do not exceed (nearest rank)."""
    return sorted(values)[rank_95(len(values))]


def rank_95(count: int) -> int:
    """The place of the p95 among so many sorted values."""
    return -(-95 * count // 100) - 1


AGGREGATES: Mapping[Aggregate, Callable[[Sequence[float]], float]] = {
    "mean": mean,
    "min": min,
    "max": max,
    "last": last,
    "p95": p95,
}


class Summary(NamedTuple):
    """All that is kept of a window's values. Two of them join; only ``p95`` is lost in that."""

    points: float
    total: float
    min: float
    max: float
    last: float
    p95: float

    @property
    def mean(self) -> float:
        """As `mean` of the values."""
        return self.total / self.points


Part = array | Summary  # type: ignore[type-arg] # array takes no argument when it runs
"""What is known of a window's values: the values themselves, in order of time, or a summary."""


def summarise(values: Sequence[float]) -> Summary:
    """Return what is kept of values."""
    count, ordered = len(values), sorted(values)
    at_95 = ordered[rank_95(count)]
    # of zeros with both signs `max` is the first, and so not the last in order
    return Summary(count, total(values), ordered[0], max(values), values[-1], at_95)


def summary_of(part: Part) -> Summary:
    """Return a part as a summary."""
    return part if isinstance(part, Summary) else summarise(part)


def join(old: Part, new: Part) -> Part:
    """Return two parts of a window as one; ``new`` follows on ``old``, which may be changed.

    Raises InvalidParameter for a window that holds more points than are kept in memory.
    """
    if isinstance(old, array) and isinstance(new, array):
        if len(old) + len(new) > MAX_WINDOW_POINTS:
            raise InvalidParameter(f"a window holds over {MAX_WINDOW_POINTS:,} points of a metric")
        old.extend(new)
        return old
    a, b = summary_of(old), summary_of(new)
    return Summary(
        a.points + b.points,
        a.total + b.total,
        min(a.min, b.min),
        max(a.max, b.max),
        b.last,
        max(a.p95, b.p95),
    )


def finish(aggregate: Aggregate, part: Part) -> float:
    """Return what a window's values come to."""
    if isinstance(part, Summary):
        value: float = getattr(part, aggregate)
        return value
    return AGGREGATES[aggregate](part)
