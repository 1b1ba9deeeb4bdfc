"""The one writer of a SQLite file: a call is a transaction of a handful of statements.

Each statement does its whole work in one step. A step per row would let another thread take
the interpreter after every row, and get it back only 5 ms later: beside a busy event loop that
costs a hundred times what the row does.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

import apsw
import msgspec

from common.models import EARLIEST_MS, LATEST_MS, Gpu, Sample
from common.storage.base import Written
from common.storage.packing import VALUE_BYTES, Row, Schemas, width
from common.storage.sqlite_expire import delete_step
from common.storage.sqlite_gpus import KnownGpu, KnownGpus
from common.storage.sqlite_schema import ask, load_schemas

ROWS_PER_STATEMENT = 1_000

# A row on its way in: gpu, time and schema as decimals of fixed width, then the values.
_GPU = b"%010d"
_REST = b"%015d%010d%b"
_ROWS = """
SELECT CAST(substr(value, 1, 10) AS INTEGER) AS gpu, CAST(substr(value, 11, 15) AS INTEGER) AS ts,
  CAST(substr(value, 26, 10) AS INTEGER) AS schema, substr(value, 36) AS vals FROM carray(?)
"""
_INSERT_ROWS = """
INSERT INTO sample SELECT gpu, ts, schema, vals FROM ({rows}) WHERE true
ON CONFLICT(gpu, ts) DO UPDATE SET schema = excluded.schema, vals = excluded.vals
"""
_INSERT = _INSERT_ROWS.format(rows=_ROWS)
_ROWS_STORED = """
SELECT json_group_array(json_array(old.gpu, old.ts, old.schema, length(old.vals),
  CASE WHEN old.schema <> new.schema THEN hex(old.vals) END))
FROM ({rows}) AS new CROSS JOIN sample AS old ON old.gpu = new.gpu AND old.ts = new.ts
"""
_STORED = _ROWS_STORED.format(rows=_ROWS)
_ADD_SCHEMAS = """
INSERT INTO schema SELECT value->>0, value->1 FROM json_each(?)
"""
_ADD_GPU_SCHEMAS = """
INSERT INTO gpu_schema SELECT value->>0, value->>1 FROM json_each(?)
"""
_ADD_TOTALS = """
UPDATE meta SET value = value + CASE name WHEN 'points' THEN ? ELSE ? END
"""

StoredRow = tuple[int, int, int, int, str | None]


class Touch:
    """What one call brings for one GPU: its rows by time, and the identities it was seen with.

    ``sightings`` are identities with the latest time of each, in the order they came.
    ``late`` are the times that may be stored already: none is later than the GPU's last.
    """

    __slots__ = ("known", "late", "replaced_points", "replaced_rows", "rows", "sightings")

    known: KnownGpu
    late: list[int]

    def __init__(self) -> None:
        self.rows: dict[int, Row] = {}
        self.sightings: list[tuple[Gpu, int]] = []
        self.replaced_rows = 0
        self.replaced_points = 0

    def see(self, gpu: Gpu, at: int) -> None:
        """Note that the GPU was seen so; a run of one identity is one sighting."""
        if self.sightings and self.sightings[-1][0] == gpu:
            at = max(at, self.sightings.pop()[1])
        self.sightings.append((gpu, at))

    def meet(self) -> bool:
        """Compare with what is known of the GPU; True when its identity has changed."""
        first, last = min(self.rows), max(self.rows)
        if first < EARLIEST_MS or last > LATEST_MS:
            raise ValueError(f"a sample's time is out of bounds: {first} to {last}")
        known = self.known
        self.late = [ts for ts in self.rows if ts <= known.last] if first <= known.last else []
        known.first = min(known.first, first)
        changes = [known.learn(gpu, at) for gpu, at in self.sightings]
        return any(changes)

    def packed(self, times: Iterable[int]) -> Iterator[bytes]:
        """The rows of the given times, as the statements take them."""
        gpu = _GPU % self.known.rowid
        for ts in times:
            yield gpu + _REST % (ts, *self.rows[ts])

    def new_points(self) -> int:
        """How many points there are more than before."""
        return sum(map(width, self.rows.values())) - self.replaced_points

    def seen(self) -> tuple[int, int, int, int]:
        """What the GPU's row counts by."""
        return self.known.rowid, self.known.first, self.known.last, self.new_points()


class Writer:
    """Owns the writing connection. Not for two threads at once.

    What it remembers of the file holds while nobody else writes; another writer is noticed
    at the start of a call, and everything is read anew.
    """

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db
        self._version: int | None = None
        self._schemas = Schemas()
        self._gpus = KnownGpus(db)

    def write(self, samples: Sequence[Sample]) -> Written:
        """Store all samples in one transaction, or none."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._refresh()
            written = self._store(samples)
            self._db.execute("COMMIT")
        except BaseException:
            self._version = None
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        return written

    def expire(self, gpus: Sequence[int], before_ms: int) -> int:
        """Delete a step of what some GPUs have from before ``before_ms``; return the points."""
        return delete_step(self._db, gpus, before_ms)

    def close(self) -> None:
        """Close the connection; the last one of all folds the WAL into the file."""
        self._db.close()

    def _refresh(self) -> None:
        version = self._db.pragma("data_version")
        if version != self._version:
            self._schemas = load_schemas(self._db)
            self._gpus = KnownGpus(self._db)
            self._version = version

    def _store(self, samples: Sequence[Sample]) -> Written:
        by_id = gather(samples, self._schemas)
        self._identify(by_id)
        touches = sorted(by_id.values(), key=lambda touch: touch.known.rowid)
        self._merge_late(touches)
        self._add_schemas()
        for rows in _arrays(_packed(touches)):
            self._db.execute(_INSERT, (rows,))
        self._add_gpu_schemas(touches)
        self._gpus.count([touch.seen() for touch in touches])
        new_points = sum(touch.new_points() for touch in touches)
        new_samples = sum(len(touch.rows) - touch.replaced_rows for touch in touches)
        self._db.execute(_ADD_TOTALS, (new_points, new_samples))
        return Written(sum(len(sample.metrics) for sample in samples), new_points)

    def _identify(self, by_id: dict[str, Touch]) -> None:
        """Give each touch its GPU's row, storing identities that are new or have changed."""
        self._gpus.load(set(by_id))
        changed = []
        for gpu_id, touch in by_id.items():
            known = self._gpus.find(gpu_id)
            touch.known = known or self._gpus.add(gpu_id, *touch.sightings[0])
            if touch.meet() or known is None:
                changed.append(touch.known)
        if changed:
            self._gpus.save(changed)

    def _merge_late(self, touches: list[Touch]) -> None:
        """Merge what is stored already into the rows that come for the same moments."""
        by_rowid = {touch.known.rowid: touch for touch in touches}
        late = chain.from_iterable(touch.packed(touch.late) for touch in touches)
        for rows in _arrays(late):
            for rowid, ts, schema, size, vals in ask(self._db, _STORED, (rows,), list[StoredRow]):
                touch = by_rowid[rowid]
                touch.replaced_rows += 1
                touch.replaced_points += size // VALUE_BYTES
                if vals is not None:
                    old = (schema, bytes.fromhex(vals))
                    touch.rows[ts] = self._schemas.merge(old, touch.rows[ts])

    def _add_schemas(self) -> None:
        rows = [(schema.id, schema.names) for schema in self._schemas.added]
        if rows:
            self._db.execute(_ADD_SCHEMAS, (msgspec.json.encode(rows).decode(),))
            self._schemas.added.clear()

    def _add_gpu_schemas(self, touches: list[Touch]) -> None:
        rows = []
        for touch in touches:
            new = {schema for schema, _ in touch.rows.values()} - touch.known.schemas
            touch.known.schemas |= new
            rows += [(touch.known.rowid, schema) for schema in new]
        if rows:
            self._db.execute(_ADD_GPU_SCHEMAS, (msgspec.json.encode(rows).decode(),))


def gather(samples: Sequence[Sample], schemas: Schemas) -> dict[str, Touch]:
    """Sort samples into touches, one per GPU id; the hot loop of a write."""
    by_id: dict[str, Touch] = {}
    for sample in samples:
        gpu, ts = sample.gpu, sample.timestamp
        gpu_id = gpu.uuid or gpu.id
        touch = by_id.get(gpu_id)
        if touch is None:
            touch = by_id[gpu_id] = Touch()
        touch.see(gpu, ts)
        row = schemas.pack(sample.metrics)
        old = touch.rows.get(ts)
        touch.rows[ts] = row if old is None else schemas.merge(old, row)
    return by_id


def _packed(touches: list[Touch]) -> Iterator[bytes]:
    """All rows in the order of the table, so that each of its pages is visited once."""
    return chain.from_iterable(touch.packed(sorted(touch.rows)) for touch in touches)


def _arrays(rows: Iterator[bytes]) -> Iterator[Any]:
    """Cut rows into arrays that a statement takes."""
    while batch := tuple(islice(rows, ROWS_PER_STATEMENT)):
        yield apsw.carray(batch)
