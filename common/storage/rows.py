"""Rows of one GPU in memory, by time, and what can be asked of them."""

from collections.abc import Iterator, Mapping

from sortedcontainers import SortedDict

from common.storage.aggregates import AGGREGATES
from common.storage.base import (
    Point,
    Position,
    Telemetry,
    TelemetryQuery,
    WindowQuery,
    page_of,
)

Metrics = dict[str, float]
Values = dict[str, list[float]]


class Rows:
    """The metrics of each moment. A moment that comes again is the union, the newer standing."""

    def __init__(self) -> None:
        self._by_time: SortedDict[int, Metrics] = SortedDict()

    def __len__(self) -> int:
        return len(self._by_time)

    def __contains__(self, timestamp: int) -> bool:
        return timestamp in self._by_time

    def add(self, timestamp: int, metrics: Mapping[str, float]) -> int:
        """Take in a moment; return how many of its points are new."""
        row = self._by_time.setdefault(timestamp, {})
        before = len(row)
        row.update((name, float(value)) for name, value in metrics.items())
        return len(row) - before

    def oldest(self) -> int | None:
        """The time of the first row."""
        return self._by_time.peekitem(0)[0] if self._by_time else None

    def pop_oldest(self) -> tuple[int, Metrics]:
        """Take the first row out."""
        timestamp, metrics = self._by_time.popitem(0)
        return int(timestamp), metrics

    def count_points(self, start_ms: int, end_ms: int) -> int:
        """Count the points of a range."""
        return sum(len(self._by_time[ts]) for ts in self._by_time.irange(start_ms, end_ms))

    def telemetry(self, query: TelemetryQuery) -> Telemetry:
        """Return one page of points."""
        found: list[Point] = []
        for timestamp in self._times(query, 1):
            metrics = _wanted(self._by_time[timestamp], query.metrics)
            points = [Point(timestamp, name, metrics[name]) for name in sorted(metrics)]
            found += _after(points, query.after)
            if len(found) > query.limit:
                break
        return page_of(found, query.limit)

    def windows(self, query: WindowQuery) -> Telemetry:
        """Return one page of aggregates."""
        found: list[Point] = []
        aggregate = AGGREGATES[query.aggregate]
        for start, values in self._windows(query):
            points = [Point(start, name, aggregate(values[name])) for name in sorted(values)]
            found += _after(points, query.after)
            if len(found) > query.limit:
                break
        return page_of(found, query.limit)

    def _windows(self, query: WindowQuery) -> Iterator[tuple[int, Values]]:
        """Yield the values of each window, in order of time, in the order of the query."""
        width = query.window_ms
        moments: list[int] = []
        for timestamp in self._times(query, width):
            if moments and moments[0] // width != timestamp // width:
                yield self._values(moments, query)
                moments = []
            moments.append(timestamp)
        if moments:
            yield self._values(moments, query)

    def _values(self, moments: list[int], query: WindowQuery) -> tuple[int, Values]:
        values: Values = {}
        for timestamp in sorted(moments):
            for name, value in _wanted(self._by_time[timestamp], query.metrics).items():
                values.setdefault(name, []).append(value)
        return moments[0] // query.window_ms * query.window_ms, values

    def _times(self, query: TelemetryQuery | WindowQuery, width: int) -> Iterator[int]:
        """Yield the times of a query from after its position on; ``width`` is a window's."""
        start, end = query.start_ms, query.end_ms
        if query.after is not None and query.descending:
            end = min(end, query.after.timestamp + width - 1)
        elif query.after is not None:
            start = max(start, query.after.timestamp)
        times: Iterator[int] = self._by_time.irange(start, end, reverse=query.descending)
        return times


def _wanted(row: Metrics, names: tuple[str, ...]) -> Metrics:
    return {name: row[name] for name in names if name in row} if names else row


def _after(points: list[Point], after: Position | None) -> list[Point]:
    """Leave out what a page before has shown of this moment or window."""
    if after is None or not points or points[0].timestamp != after.timestamp:
        return points
    return [point for point in points if point.metric > after.metric]
