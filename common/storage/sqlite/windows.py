"""Windows of a GPU's points, made of its rows, or of its rollups where these say the same.

A window that is a minute or an hour wide is what a rollup holds, and the least, greatest and last
of several rollups are those of their points. A mean or p95 of other windows is made of points,
while there are any; of expired ones only a mean is left, the same to within rounding.

Both are read in slices that begin and end where windows do, so that a page costs what it holds
and not what its range holds.
"""

from collections.abc import Iterable, Iterator

import apsw

from common.errors import InvalidParameter
from common.storage.aggregates import Part, finish, join
from common.storage.base import Point, WindowQuery
from common.storage.rollup import HOUR_MS, MINUTE_MS, MINUTES
from common.storage.sqlite.rollup import read_hours, read_minutes, rolled_hours
from common.storage.sqlite.rows import SchemasOf, WindowParts, cut, read_runs
from common.storage.timeline import Piece, Timeline

MIN_ROWS = 64

_NTH = "SELECT ts FROM sample WHERE gpu = ? AND ts BETWEEN ? AND ? ORDER BY ts {} LIMIT 1 OFFSET ?"
_NTH_FIRST, _NTH_LAST = _NTH.format("ASC"), _NTH.format("DESC")


class Windows:
    """Answers one query of one GPU. A reading transaction must be open."""

    def __init__(
        self, db: apsw.Connection, schemas_of: SchemasOf, rowid: int, query: WindowQuery
    ) -> None:
        self._db = db
        self._schemas_of = schemas_of
        self._rowid = rowid
        self._query = query
        self._wanted = frozenset(query.metrics)
        self._hours = query.window_ms % HOUR_MS == 0
        self._start, self._end = query.start_ms, query.end_ms
        self._timeline = Timeline(self._start, self._end, self._usable_hours())
        self._rows = self._rows_likely()
        if query.after is not None:
            self._go_on_from(query.after.timestamp)

    def fill(self) -> list[Point]:
        """Return up to one window more than the limit, so that the end shows."""
        found: list[Point] = []
        while len(found) <= self._query.limit and self._start <= self._end:
            windows = list(self._windows(*self._next_slice()))
            if self._query.descending:
                windows.reverse()
            found += [point for points in windows for point in points]
        return found[: self._query.limit + 1]

    def _usable_hours(self) -> list[int]:
        """Hours of which the rollups are read: expired ones, and those that say the same.

        A rollup is of a whole hour or minute. Where the range cuts one, the points are read; if
        they have expired, the rollup stands for what is in the range.
        """
        query = self._query
        if query.window_ms % MINUTE_MS:
            return []
        first, last = self._start // HOUR_MS, self._end // HOUR_MS
        expired, hours = rolled_hours(self._db, self._rowid, first, last)
        if query.window_ms in (MINUTE_MS, HOUR_MS) or query.aggregate in ("min", "max", "last"):
            whole = range(-(-self._start // HOUR_MS), (self._end + 1) // HOUR_MS)
            return [hour for hour in hours if hour < expired or hour in whole]
        hours = [hour for hour in hours if hour < expired]
        if hours and query.aggregate == "p95":
            raise InvalidParameter(
                "p95 of points that have expired is known for windows of a minute or an hour only"
            )
        return hours

    def _rows_likely(self) -> int:
        width = self._schemas_of(()).widest()
        if self._wanted:
            width = min(width, len(self._wanted))
        return max(MIN_ROWS, self._query.limit // width + 2)

    def _next_slice(self) -> tuple[int, int]:
        """Cut off the next slice: rows enough, and whole windows unless the range cuts them."""
        start, end, width = self._start, self._end, self._query.window_ms
        if self._query.descending:
            edge = self._far_edge(self._timeline.at(end, start, end))
            start = max(start, edge // width * width)
            self._end = start - 1
        else:
            edge = self._far_edge(self._timeline.at(start, start, end))
            end = min(end, edge // width * width + width - 1)
            self._start = end + 1
        self._rows *= 2
        return start, end

    def _far_edge(self, piece: Piece) -> int:
        """Where so many rows of a piece end."""
        start, end, rolled = piece
        descending = self._query.descending
        if rolled:
            span = (self._rows if self._hours else self._rows // MINUTES + 1) * HOUR_MS
            return max(start, end - span) if descending else min(end, start + span)
        sql, otherwise = (_NTH_LAST, start) if descending else (_NTH_FIRST, end)
        nth = self._db.execute(sql, (self._rowid, start, end, self._rows)).get
        return otherwise if nth is None else int(nth)

    def _windows(self, start: int, end: int) -> Iterator[list[Point]]:
        """Yield the aggregates of each window in a slice, oldest first."""
        open_window = -1
        parts: dict[str, Part] = {}
        for window, more in self._parts(start, end):
            if window != open_window:
                yield self._close(open_window, parts)
                open_window, parts = window, more
                continue
            for name, part in more.items():
                parts[name] = join(parts[name], part) if name in parts else part
        yield self._close(open_window, parts)

    def _parts(self, start: int, end: int) -> Iterator[WindowParts]:
        """Yield what is known of each window, oldest first."""
        width = self._query.window_ms
        for piece in self._timeline.between(start, end):
            if not piece.rolled:
                runs = read_runs(self._db, self._schemas_of, self._rowid, piece.start, piece.end)
                yield from cut(runs, width, self._wanted)
                continue
            for moment, parts in self._rolled(piece):
                yield moment // width, parts

    def _rolled(self, piece: Piece) -> Iterable[WindowParts]:
        given = (self._db, self._schemas_of, self._rowid, piece.start, piece.end, self._wanted)
        return read_hours(*given) if self._hours else read_minutes(*given)

    def _close(self, window: int, parts: dict[str, Part]) -> list[Point]:
        start = window * self._query.window_ms
        after = self._query.after
        names = sorted(parts)
        if after is not None and after.timestamp == start:
            names = [name for name in names if name > after.metric]
        return [Point(start, name, finish(self._query.aggregate, parts[name])) for name in names]

    def _go_on_from(self, window: int) -> None:
        if self._query.descending:
            self._end = min(self._end, window + self._query.window_ms - 1)
        else:
            self._start = max(self._start, window)
