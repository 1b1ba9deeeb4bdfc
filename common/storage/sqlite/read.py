"""What a SQLite file is asked. One reader is one connection, for one thread at a time."""

from collections.abc import Iterable
from typing import Any

import apsw
import msgspec

from common.storage.base import (
    GpuFilter,
    GpuRecord,
    HostRecord,
    NamespaceRecord,
    Point,
    StoreStats,
    Telemetry,
    TelemetryQuery,
    WindowQuery,
    page_of,
)
from common.storage.packing import VALUE_BYTES, Row, Schemas
from common.storage.rollup import HOUR_MS
from common.storage.sqlite.schema import GPU_JSON, ask, load_schemas
from common.storage.sqlite.windows import Windows

MIN_ROWS = 8
MAX_KNOWN_ROWIDS = 50_000
GPUS_AT_ONCE = 200

_RECORDS = """
SELECT json_group_array(json_object('id', id, 'first_seen', first_seen, 'last_seen', last_seen,
  'points', points, 'gpu', {gpu}) ORDER BY id) FROM ({rows})
"""
_SOME_GPUS = """
SELECT * FROM gpu WHERE id > :after AND (:host IS NULL OR hostname = :host)
  AND (:model IS NULL OR model = :model) AND (:namespace IS NULL OR namespace = :namespace)
ORDER BY id LIMIT :limit OFFSET :offset
"""
_IDS = "SELECT json_group_array(id ORDER BY id) FROM gpu"
_GPU = _RECORDS.format(gpu=GPU_JSON, rows="SELECT * FROM gpu WHERE id = ?")
_GPUS = _RECORDS.format(gpu=GPU_JSON, rows=_SOME_GPUS)
_GROUPS = """
SELECT json_group_array(json_object('{0}', name, 'gpus', gpus, 'last_seen', seen) ORDER BY name)
FROM (SELECT {1} AS name, count(*) AS gpus, max(last_seen) AS seen FROM gpu
      WHERE {1} > ? GROUP BY {1} ORDER BY {1} LIMIT ?)
"""
_HOSTS = _GROUPS.format("host", "hostname")
_NAMESPACES = _GROUPS.format("namespace", "namespace")
_NAMES = """
SELECT json_group_array(DISTINCT name.value ORDER BY name.value)
FROM schema, json_each(names) AS name {where}
"""
_METRICS = _NAMES.format(where="")
_GPU_METRICS = _NAMES.format(
    where="WHERE schema.id IN (SELECT schema FROM gpu_schema WHERE gpu = ?)"
)
_STATS = """
SELECT json_object('gpus', count(*), 'hosts', count(DISTINCT nullif(hostname, '')),
  'oldest_ms', min((SELECT min(ts) FROM sample WHERE gpu = gpu.rowid)),
  'newest_ms', max(last_seen) FILTER (WHERE points > 0),
  'metrics', (SELECT count(DISTINCT name.value) FROM schema, json_each(names) AS name),
  'points', (SELECT value FROM meta WHERE name = 'points'),
  'samples', (SELECT value FROM meta WHERE name = 'samples')) FROM gpu
"""
_GPUS_WITH = """
SELECT json_group_array(rowid) FROM (
  SELECT rowid FROM gpu WHERE EXISTS (SELECT 1 FROM {table} WHERE gpu = gpu.rowid AND {column} < ?)
  ORDER BY rowid LIMIT {limit})
"""
_WITH_POINTS = _GPUS_WITH.format(table="sample", column="ts", limit=GPUS_AT_ONCE)
_WITH_ROLLUPS = _GPUS_WITH.format(table="hour_rollup", column="hour", limit=GPUS_AT_ONCE)
_ROWID = "SELECT json_group_array(rowid) FROM gpu WHERE id = ?"
_BYTES = "SELECT coalesce(sum(length(vals)), 0) FROM sample WHERE gpu = ? AND ts BETWEEN ? AND ?"
_ROWS = """
SELECT json_group_array(json_array(ts, schema, hex(vals)) ORDER BY ts {order}) FROM (
  SELECT ts, schema, vals FROM sample WHERE gpu = ? AND ts BETWEEN ? AND ? {filter}
  ORDER BY ts {order} LIMIT ?)
"""
_WITH_METRIC = """
AND schema IN (SELECT schema.id FROM schema, json_each(names) AS name
               WHERE name.value IN (SELECT value FROM json_each(?)))
"""
_ROWS_BY = {
    (descending, some): _ROWS.format(
        order="DESC" if descending else "ASC", filter=_WITH_METRIC if some else ""
    )
    for descending in (False, True)
    for some in (False, True)
}

PackedRow = tuple[int, int, str]


class Reader:
    """Asks one connection; each answer is of one moment."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db
        self._rowids: dict[str, int] = {}
        self.schemas = Schemas()

    def close(self) -> None:
        self._db.close()

    def check(self) -> None:
        """Read a row, so that a damaged or missing file shows."""
        self._db.execute("SELECT value FROM meta LIMIT 1").get  # noqa: B018 reading it is the point

    def gpus(self, which: GpuFilter, limit: int, after: str, offset: int) -> list[GpuRecord]:
        given = {**msgspec.to_builtins(which), "limit": limit, "after": after, "offset": offset}
        return ask(self._db, _GPUS, given, list[GpuRecord])

    def gpu_ids(self) -> list[str]:
        return ask(self._db, _IDS, (), list[str])

    def gpu(self, gpu_id: str) -> GpuRecord | None:
        return next(iter(ask(self._db, _GPU, (gpu_id,), list[GpuRecord])), None)

    def gpu_metrics(self, gpu_id: str) -> list[str] | None:
        rowid = self._rowid(gpu_id)
        return None if rowid is None else ask(self._db, _GPU_METRICS, (rowid,), list[str])

    def hosts(self, limit: int, after: str) -> list[HostRecord]:
        return ask(self._db, _HOSTS, (after, limit), list[HostRecord])

    def namespaces(self, limit: int, after: str) -> list[NamespaceRecord]:
        return ask(self._db, _NAMESPACES, (after, limit), list[NamespaceRecord])

    def metrics(self) -> list[str]:
        return ask(self._db, _METRICS, (), list[str])

    def stats(self) -> StoreStats:
        return ask(self._db, _STATS, (), StoreStats)

    def with_points_before(self, hour: int) -> list[int]:
        """Return the rowids of some GPUs that have points from before an hour."""
        return ask(self._db, _WITH_POINTS, (hour * HOUR_MS,), list[int])

    def with_rollups_before(self, hour: int) -> list[int]:
        """Return the rowids of some GPUs that have rollups from before an hour."""
        return ask(self._db, _WITH_ROLLUPS, (hour,), list[int])

    def count_points(self, gpu_id: str, start_ms: int, end_ms: int) -> int:
        rowid = self._rowid(gpu_id)
        if rowid is None:
            return 0
        stored: int = self._db.execute(_BYTES, (rowid, start_ms, end_ms)).get
        return stored // VALUE_BYTES

    def telemetry(self, query: TelemetryQuery) -> Telemetry | None:
        rowid = self._rowid(query.gpu_id)
        if rowid is None:
            return None
        return page_of(Page(self, query).fill(rowid), query.limit)

    def windows(self, query: WindowQuery) -> Telemetry | None:
        with self._db:
            rowid = self._rowid(query.gpu_id)
            if rowid is None:
                return None
            points = Windows(self._db, self.schemas_of, rowid, query).fill()
        return page_of(points, query.limit)

    def rows(self, query: TelemetryQuery, given: tuple[Any, ...]) -> list[PackedRow]:
        """Return rows in the order of the query; all of their schemas are known afterwards."""
        sql = _ROWS_BY[query.descending, bool(query.metrics)]
        rows = ask(self._db, sql, given, list[PackedRow])
        self.schemas_of(schema for _, schema, _ in rows)
        return rows

    def schemas_of(self, ids: Iterable[int]) -> Schemas:
        """Return all schemas; those of the given ids are among them, read anew if need be."""
        if not all(schema in self.schemas for schema in ids):
            self.schemas = load_schemas(self._db)
        return self.schemas

    def _rowid(self, gpu_id: str) -> int | None:
        """A GPU's rowid never changes, so it is asked once."""
        if gpu_id not in self._rowids:
            found = ask(self._db, _ROWID, (gpu_id,), list[int])
            if not found:
                return None
            if len(self._rowids) >= MAX_KNOWN_ROWIDS:
                self._rowids.clear()
            self._rowids[gpu_id] = found[0]
        return self._rowids[gpu_id]


class Page:
    """Collects the points of one query, a run of rows at a time."""

    def __init__(self, reader: Reader, query: TelemetryQuery) -> None:
        self._reader = reader
        self._query = query
        self._wanted = frozenset(query.metrics)
        self._points: list[Point] = []
        self._start, self._end = query.start_ms, query.end_ms
        if query.after is not None:
            self._go_on_from(query.after.timestamp)

    def fill(self, rowid: int) -> list[Point]:
        """Return up to one point more than the limit, so that the end shows."""
        metrics = (msgspec.json.encode(self._wanted).decode(),) if self._wanted else ()
        count = self._rows_likely()
        while len(self._points) <= self._query.limit:
            given = (rowid, self._start, self._end, *metrics, count)
            rows = self._reader.rows(self._query, given)
            for ts, schema, vals in rows:
                self._take(ts, (schema, bytes.fromhex(vals)))
            if len(rows) < count:
                break
            self._go_on_from(rows[-1][0] + (-1 if self._query.descending else 1))
            count *= 2
        return self._points[: self._query.limit + 1]

    def _take(self, ts: int, row: Row) -> None:
        schema = self._reader.schemas[row[0]]
        found = [Point(ts, *pair) for pair in zip(schema.names, schema.unpack(row[1]), strict=True)]
        if self._wanted:
            found = [point for point in found if point.metric in self._wanted]
        after = self._query.after
        if after is not None and after.timestamp == ts:
            found = [point for point in found if point.metric > after.metric]
        self._points += found

    def _rows_likely(self) -> int:
        """Rows that hold the page if each is as wide as the widest, and the ends are cut."""
        width = self._reader.schemas.widest()
        if self._wanted:
            width = min(width, len(self._wanted))
        return max(MIN_ROWS, self._query.limit // width + 2)

    def _go_on_from(self, ts: int) -> None:
        if self._query.descending:
            self._end = min(self._end, ts)
        else:
            self._start = max(self._start, ts)
