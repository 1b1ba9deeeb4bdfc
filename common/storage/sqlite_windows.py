"""Windows of a GPU's points, made of its rows.

Rows are read in slices that begin and end where windows do, so that a page costs what it holds
and not what its range holds. Within a slice, the values of a run of rows are one flat array, of
which a metric's are every n-th: no object is made per point.
"""

import sys
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import apsw
import msgspec

from common.storage.aggregates import AGGREGATES, check_window
from common.storage.base import Point, WindowQuery
from common.storage.packing import Schema, Schemas

ROWS_AT_ONCE = 10_000
MIN_ROWS = 64

# The subquery's order is the order in which its rows are put together.
_ROWS = """
SELECT json_group_array(ts), json_group_array(schema), group_concat(hex(vals), '') FROM (
  SELECT ts, schema, vals FROM sample WHERE gpu = ? AND ts BETWEEN ? AND ? ORDER BY ts LIMIT ?)
"""
_NTH = "SELECT ts FROM sample WHERE gpu = ? AND ts BETWEEN ? AND ? ORDER BY ts {} LIMIT 1 OFFSET ?"
_NTH_FIRST, _NTH_LAST = _NTH.format("ASC"), _NTH.format("DESC")

_TIMES = msgspec.json.Decoder(list[int])


SchemasOf = Callable[[Iterable[int]], Schemas]
"""All schemas, those of the given ids among them."""


class Run(NamedTuple):
    """Rows of one schema that follow on one another: their times, and their values row by row."""

    times: list[int]
    schema: Schema
    values: "array[float]"


class Windows:
    """Answers one query of one GPU."""

    def __init__(
        self, db: apsw.Connection, schemas_of: SchemasOf, rowid: int, query: WindowQuery
    ) -> None:
        self._db = db
        self._schemas_of = schemas_of
        self._rowid = rowid
        self._query = query
        self._wanted = frozenset(query.metrics)
        self._aggregate = AGGREGATES[query.aggregate]
        self._start, self._end = query.start_ms, query.end_ms
        self._rows = max(MIN_ROWS, query.limit // self._width_likely() + 2)
        if query.after is not None:
            self._go_on_from(query.after.timestamp)

    def fill(self) -> list[Point]:
        """Return up to one window more than the limit, so that the end shows."""
        found: list[Point] = []
        while len(found) <= self._query.limit and (edges := self._next_slice()):
            windows = list(self._windows(*edges))
            if self._query.descending:
                windows.reverse()
            found += [point for points in windows for point in points]
        return found[: self._query.limit + 1]

    def _next_slice(self) -> tuple[int, int] | None:
        """Cut off the next slice: rows enough, and whole windows unless the range cuts them."""
        if self._start > self._end:
            return None
        width, descending = self._query.window_ms, self._query.descending
        sql = _NTH_LAST if descending else _NTH_FIRST
        given = (self._rowid, self._start, self._end, self._rows)
        start, end = self._start, self._end
        nth = self._db.execute(sql, given).get
        if nth is not None and descending:
            start = max(start, nth // width * width)
        elif nth is not None:
            end = min(end, nth // width * width + width - 1)
        self._rows *= 2
        if descending:
            self._end = start - 1
        else:
            self._start = end + 1
        return start, end

    def _windows(self, start: int, end: int) -> Iterator[list[Point]]:
        """Yield the aggregates of each window in a slice, oldest first."""
        width = self._query.window_ms
        open_window = -1
        parts: dict[str, array[float]] = {}
        for run in self._runs(start, end):
            times, names = run.times, run.schema.names
            metrics = [pair for pair in enumerate(names) if self._wants(pair[1])]
            at = 0
            while at < len(times):
                window = times[at] // width
                until = bisect_left(times, (window + 1) * width, at)
                if window != open_window:
                    if parts:
                        yield self._close(open_window, parts)
                    open_window, parts = window, {}
                for nth, name in metrics:
                    part = run.values[at * len(names) + nth : until * len(names) : len(names)]
                    if name in parts:
                        parts[name].extend(part)
                        check_window(len(parts[name]))
                    else:
                        parts[name] = part
                at = until
        if parts:
            yield self._close(open_window, parts)

    def _close(self, window: int, parts: "dict[str, array[float]]") -> list[Point]:
        start = window * self._query.window_ms
        after = self._query.after
        names = sorted(parts)
        if after is not None and after.timestamp == start:
            names = [name for name in names if name > after.metric]
        return [Point(start, name, self._aggregate(parts[name])) for name in names]

    def _width_likely(self) -> int:
        width = self._schemas_of(()).widest()
        return min(width, len(self._wanted)) if self._wanted else width

    def _wants(self, name: str) -> bool:
        return not self._wanted or name in self._wanted

    def _runs(self, start: int, end: int) -> Iterator[Run]:
        """Read the rows of a slice, a bounded number at a time."""
        while True:
            given = (self._rowid, start, end, ROWS_AT_ONCE)
            times_json, schemas_json, vals = next(self._db.execute(_ROWS, given))
            times = _TIMES.decode(times_json)
            if times:
                yield from self._split(times, _TIMES.decode(schemas_json), vals)
            if len(times) < ROWS_AT_ONCE:
                return
            start = times[-1] + 1

    def _split(self, times: list[int], schema_ids: list[int], vals: str) -> Iterator[Run]:
        """Cut rows where the schema changes."""
        schemas = self._schemas_of(set(schema_ids))
        values = array("d", bytes.fromhex(vals))
        if sys.byteorder == "big":
            values.byteswap()
        at = value_at = 0
        while at < len(times):
            schema = schemas[schema_ids[at]]
            until = run_end(schema_ids, at)
            value_until = value_at + (until - at) * len(schema.names)
            yield Run(times[at:until], schema, values[value_at:value_until])
            at, value_at = until, value_until

    def _go_on_from(self, window: int) -> None:
        if self._query.descending:
            self._end = min(self._end, window + self._query.window_ms - 1)
        else:
            self._start = max(self._start, window)


def run_end(ids: list[int], at: int) -> int:
    """Where the run of equal ids that begins at ``at`` ends."""
    first = ids[at]
    for place in range(at, len(ids)):
        if ids[place] != first:
            return place
    return len(ids)
