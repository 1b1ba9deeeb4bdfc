"""The one writer of a SQLite file: a call is a transaction of a handful of statements.

Each statement does its whole work in one step. A step per row would let another thread take
the interpreter after every row, and get it back only 5 ms later: beside a busy event loop that
costs a hundred times what the row does.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from typing import Any

import apsw
import msgspec

from common.models import Sample
from common.storage.base import Written
from common.storage.packing import VALUE_BYTES, Schemas
from common.storage.sqlite.expire import expire_points, expire_rollups, give_back
from common.storage.sqlite.gpus import KnownGpus
from common.storage.sqlite.rollup import roll_up_due
from common.storage.sqlite.schema import ask, load_schemas
from common.storage.sqlite.touch import Touch, gather

ROWS_PER_STATEMENT = 1_000
MAX_DUE = 200_000
"""Due hours that are remembered as stored; past that they are stored again."""

# A row as `sqlite_touch` packs it.
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
WHERE name IN ('points', 'samples')
"""
_ADD_DUE = "INSERT OR IGNORE INTO due SELECT value->>1, value->>0 FROM json_each(?)"

StoredRow = tuple[int, int, int, int, str | None]


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
        self._due: set[tuple[int, int]] = set()

    def write(self, samples: Sequence[Sample]) -> Written:
        """Store all samples in one transaction, or none."""
        with self._transaction():
            return self._store(samples)

    def roll_up(self, before_hour: int) -> int:
        """Roll up a step of the hours that are due from before an hour; return how many."""
        with self._transaction():
            done = roll_up_due(self._db, self._schemas, before_hour)
            self._add_schemas()
            self._due.difference_update(done)
        return len(done)

    def expire_points(self, gpus: list[int], before_hour: int) -> int:
        """See `sqlite_expire.expire_points`."""
        with self._transaction():
            return expire_points(self._db, gpus, before_hour)

    def expire_rollups(self, gpus: list[int], before_hour: int) -> int:
        """See `sqlite_expire.expire_rollups`."""
        with self._transaction():
            return expire_rollups(self._db, gpus, before_hour)

    def give_back(self) -> None:
        """See `sqlite_expire.give_back`."""
        with self._transaction():
            give_back(self._db)

    def close(self) -> None:
        """Close the connection; the last one of all folds the WAL into the file."""
        self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """What is done within is done as a whole, or not at all."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._refresh()
            yield
            self._db.execute("COMMIT")
        except BaseException:
            self._version = None
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _refresh(self) -> None:
        version = self._db.pragma("data_version")
        if version != self._version:
            self._schemas = load_schemas(self._db)
            self._gpus = KnownGpus(self._db)
            self._due.clear()
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
        self._add_due(touches)
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

    def _add_due(self, touches: list[Touch]) -> None:
        """Note which hours have points that no rollup holds yet."""
        if len(self._due) > MAX_DUE:
            self._due.clear()
        new = [pair for touch in touches for pair in touch.hours() if pair not in self._due]
        if new:
            self._db.execute(_ADD_DUE, (msgspec.json.encode(new).decode(),))
            self._due.update(new)


def _packed(touches: list[Touch]) -> Iterator[bytes]:
    """All rows in the order of the table, so that each of its pages is visited once."""
    return chain.from_iterable(touch.packed(sorted(touch.rows)) for touch in touches)


def _arrays(rows: Iterator[bytes]) -> Iterator[Any]:
    """Cut rows into arrays that a statement takes."""
    while batch := tuple(islice(rows, ROWS_PER_STATEMENT)):
        yield apsw.carray(batch)
