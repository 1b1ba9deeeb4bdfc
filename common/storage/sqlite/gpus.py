"""What the writer knows of each GPU: its row, its latest identity, when it was seen."""

import apsw
import msgspec

from common.models import Gpu
from common.storage.identity import IDENTITY, Identity
from common.storage.sqlite.schema import GPU_JSON, ask

MAX_KNOWN = 50_000
"""GPUs kept in memory; past that they are read again as they come."""

_KNOWN = """
SELECT json_group_array(json_object(
  'rowid', rowid, 'id', id, 'first', first_seen, 'last', last_seen, 'older', json(older),
  'schemas', json((SELECT json_group_array(schema) FROM gpu_schema WHERE gpu = gpu.rowid)),
  'gpu', {gpu}))
FROM gpu WHERE id IN (SELECT value FROM json_each(?))
"""
_LOAD = _KNOWN.format(gpu=GPU_JSON)
_SAVE = """
INSERT INTO gpu
SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7,
  value->>8, value->>9, value->10, value->11, value->>12, value->>13, 0
FROM json_each(?) WHERE true
ON CONFLICT(rowid) DO UPDATE SET uuid = excluded.uuid, hostname = excluded.hostname,
  gpu_id = excluded.gpu_id, device = excluded.device, model = excluded.model,
  namespace = excluded.namespace, pod = excluded.pod, container = excluded.container,
  labels = excluded.labels, older = excluded.older
"""
_COUNT = """
UPDATE gpu SET first_seen = seen.value->>1, last_seen = seen.value->>2,
  points = points + (seen.value->>3)
FROM json_each(?) AS seen WHERE gpu.rowid = seen.value->>0
"""


class KnownGpu(Identity):
    """One GPU as stored, the number of its row, and the schemas its rows have had."""

    rowid: int
    schemas: set[int]


class KnownGpus:
    """The GPUs by id, read when first met; ids of rows are given out here."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db
        self._by_id: dict[str, KnownGpu] = {}
        self._last_rowid: int = db.execute("SELECT coalesce(max(rowid), 0) FROM gpu").get

    def load(self, ids: set[str]) -> None:
        """Read what is stored of the ids that are not in memory, in one question."""
        if len(self._by_id) > MAX_KNOWN:
            self._by_id.clear()
        missing = ids - self._by_id.keys()
        if missing:
            wanted = msgspec.json.encode(missing).decode()
            for known in ask(self._db, _LOAD, (wanted,), list[KnownGpu]):
                self._by_id[known.id] = known

    def find(self, gpu_id: str) -> KnownGpu | None:
        """Return a GPU that is stored; its id has been loaded."""
        return self._by_id.get(gpu_id)

    def add(self, gpu_id: str, gpu: Gpu, at: int) -> KnownGpu:
        """Take in a GPU that is not stored yet; it was seen so at time ``at``."""
        self._last_rowid += 1
        known = KnownGpu(gpu_id, gpu, at, at, {}, self._last_rowid, set())
        self._by_id[gpu_id] = known
        return known

    def save(self, changed: list[KnownGpu]) -> None:
        """Store identities that are new or not what they were."""
        rows = [
            [k.rowid, k.id, *map(k.gpu.__getattribute__, IDENTITY), k.older, k.first, k.last]
            for k in changed
        ]
        self._db.execute(_SAVE, (msgspec.json.encode(rows).decode(),))

    def count(self, seen: list[tuple[int, int, int, int]]) -> None:
        """Store ``(rowid, first, last, new points)`` of each GPU that a call touched."""
        self._db.execute(_COUNT, (msgspec.json.encode(seen).decode(),))
