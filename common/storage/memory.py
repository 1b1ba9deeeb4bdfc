"""The store that is in memory only: for demonstrations and tests, gone with its process."""

import threading
from collections import defaultdict
from collections.abc import Sequence

from common.models import EARLIEST_MS, LATEST_MS, Sample
from common.storage.base import (
    GpuFilter,
    GpuRecord,
    HostRecord,
    NamespaceRecord,
    StoreStats,
    Telemetry,
    TelemetryQuery,
    WindowQuery,
    Written,
)
from common.storage.inventory import Inventory
from common.storage.rows import Rows

ROWS_A_STEP = 1_000


class MemoryStore:
    """A `Store` for one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inventory = Inventory()
        self._rows: defaultdict[str, Rows] = defaultdict(Rows)

    def write(self, samples: Sequence[Sample]) -> Written:
        check_times(samples)
        with self._lock:
            new_points = sum(map(self._take, samples))
        return Written(sum(len(sample.metrics) for sample in samples), new_points)

    def check(self) -> None:
        """It is always there."""

    def gpus(
        self, which: GpuFilter, limit: int, after: str = "", offset: int = 0
    ) -> list[GpuRecord]:
        with self._lock:
            return self._inventory.gpus(which, limit, after, offset)

    def gpu_ids(self) -> list[str]:
        with self._lock:
            return [member.id for member in self._inventory]

    def gpu(self, gpu_id: str) -> GpuRecord | None:
        with self._lock:
            member = self._inventory.find(gpu_id)
            return None if member is None else member.record()

    def gpu_metrics(self, gpu_id: str) -> list[str] | None:
        with self._lock:
            member = self._inventory.find(gpu_id)
            return None if member is None else sorted(member.metrics)

    def telemetry(self, query: TelemetryQuery) -> Telemetry | None:
        with self._lock:
            known = self._inventory.find(query.gpu_id)
            return None if known is None else self._rows[query.gpu_id].telemetry(query)

    def windows(self, query: WindowQuery) -> Telemetry | None:
        with self._lock:
            known = self._inventory.find(query.gpu_id)
            return None if known is None else self._rows[query.gpu_id].windows(query)

    def roll_up(self, before_ms: int) -> int:
        return 0

    def expire(self, before_ms: int, rollups_before_ms: int = 0) -> int:
        with self._lock:
            for member in self._inventory:
                rows, gone = self._rows[member.id], 0
                for _ in range(ROWS_A_STEP):
                    oldest = rows.oldest()
                    if oldest is None or oldest >= before_ms:
                        break
                    gone += len(rows.pop_oldest()[1])
                    member.samples -= 1
                member.points -= gone
                if gone:
                    return gone
        return 0

    def count_points(self, gpu_id: str, start_ms: int, end_ms: int) -> int:
        with self._lock:
            if self._inventory.find(gpu_id) is None:
                return 0
            return self._rows[gpu_id].count_points(start_ms, end_ms)

    def hosts(self, limit: int, after: str = "") -> list[HostRecord]:
        with self._lock:
            return self._inventory.hosts(limit, after)

    def namespaces(self, limit: int, after: str = "") -> list[NamespaceRecord]:
        with self._lock:
            return self._inventory.namespaces(limit, after)

    def metrics(self) -> list[str]:
        with self._lock:
            return self._inventory.metrics()

    def stats(self) -> StoreStats:
        with self._lock:
            oldest = (rows.oldest() for rows in self._rows.values())
            return self._inventory.stats(min((ts for ts in oldest if ts is not None), default=None))

    def close(self) -> None:
        """Nothing to give back; who holds it goes on holding it."""

    def _take(self, sample: Sample) -> int:
        member = self._inventory.see(sample.gpu, sample.timestamp)
        rows = self._rows[member.id]
        member.samples += sample.timestamp not in rows
        new_points = rows.add(sample.timestamp, sample.metrics)
        member.points += new_points
        member.metrics.update(sample.metrics)
        return new_points


def check_times(samples: Sequence[Sample]) -> None:
    """Raise ValueError for a sample whose time no store takes, as nothing should let pass."""
    for sample in samples:
        if not EARLIEST_MS <= sample.timestamp <= LATEST_MS:
            raise ValueError(f"a sample's time is out of bounds: {sample.timestamp}")
