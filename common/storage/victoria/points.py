"""Points from the series that hold them: each once, the value that was written last."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import groupby

from common.errors import InvalidParameter
from common.storage.aggregates import AGGREGATES, MAX_WINDOW_POINTS
from common.storage.base import Aggregate, Point
from common.storage.influx.lines import decode
from common.storage.victoria.lines import BITS, GPU, HALF, METRIC, NAME, REVISION, Column
from common.storage.victoria.shapes import Labels, Series
from common.storage.victoria.values import HIGH, LOW, join

Revisions = dict[int, Column]
"""Values by how often their points had been written with another value before."""


class Gathered:
    """Points by GPU, metric and revision."""

    def __init__(self) -> None:
        self._columns: dict[tuple[str, str], Revisions] = defaultdict(lambda: defaultdict(dict))
        self._halves: dict[tuple[str, str, int], dict[str, dict[int, set[float]]]] = {}

    def take(self, series: Iterable[Series]) -> "Gathered":
        """Take in points as they come."""
        for part in series:
            gpu, metric, revision = _place(part.metric)
            if HALF in part.metric:
                halves = self._halves.setdefault((gpu, metric, revision), {HIGH: {}, LOW: {}})
                half = halves[part.metric[HALF]]
                for at, value in zip(part.timestamps, part.values, strict=True):
                    half.setdefault(at, set()).add(value)
            else:
                column = self._columns[gpu, metric][revision]
                add(column, part.timestamps, part.values)
        return self

    def columns(self) -> Iterator[tuple[str, str, Revisions]]:
        """Yield GPU, metric and values; of what is only half there is nothing."""
        for (gpu, metric, revision), halves in self._halves.items():
            column = self._columns[gpu, metric][revision]
            for at in halves[HIGH].keys() & halves[LOW].keys():
                for value in join(halves[HIGH][at], halves[LOW][at]):
                    add(column, [at], [value])
        self._halves.clear()
        for (gpu, metric), revisions in self._columns.items():
            yield gpu, metric, revisions

    def latest(self) -> Iterator[tuple[str, str, Column]]:
        """Yield GPU, metric and the values that stand."""
        for gpu, metric, revisions in self.columns():
            column: Column = {}
            for revision in sorted(revisions):
                column.update(revisions[revision])
            yield gpu, metric, column


def add(column: Column, times: list[int], values: list[float]) -> None:
    """Take points into a column; of two values of one time, which nobody can tell the order of,
    the greater stands.
    """
    new = dict(zip(times, values, strict=True))
    if len(new) == len(times) and column.keys().isdisjoint(new):
        column.update(new)
        return
    for at, value in zip(times, values, strict=True):
        column[at] = max(value, column.get(at, value))


def points(gathered: Gathered) -> list[Point]:
    """All points, in no order."""
    return [
        Point(at, metric, value)
        for _, metric, column in gathered.latest()
        for at, value in column.items()
    ]


def windows(gathered: Gathered, window_ms: int, aggregate: Aggregate) -> list[Point]:
    """What the windows of one GPU's points come to, in no order."""
    work = AGGREGATES[aggregate]
    found = []
    for _, metric, column in gathered.latest():
        for number, part in groupby(sorted(column), key=lambda at: at // window_ms):
            values = [column[at] for at in part]
            if len(values) > MAX_WINDOW_POINTS:
                raise InvalidParameter(
                    f"a window holds over {MAX_WINDOW_POINTS:,} points of a metric"
                )
            found.append(Point(number * window_ms, metric, work(values)))
    return found


def _place(labels: Labels) -> tuple[str, str, int]:
    name = labels[METRIC] if labels[NAME] == BITS else labels[NAME]
    return decode(labels[GPU]), decode(name), int(labels.get(REVISION, "0"))
