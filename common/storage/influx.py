"""The store in a bucket of an InfluxDB 2 server."""

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from common.errors import StoreUnavailable
from common.models import Sample
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
from common.storage.influx_answers import tables
from common.storage.influx_link import Link
from common.storage.influx_read import Reader
from common.storage.influx_write import Writer

T = TypeVar("T")


class InfluxStore:
    """A `Store` in a bucket.

    A store for writing makes the bucket when it is not there, and its retention what is wanted,
    once. A bucket that is deleted later is not made again: whoever deleted it may decide.
    """

    def __init__(self, link: Link, *, writable: bool = True, retention_seconds: int = 0) -> None:
        self._link = link
        self._retention_seconds = retention_seconds
        self._writable = writable
        self._writing = threading.Lock()
        self._prepared = False
        self._reader = Reader(link)
        self._writer = Writer(link, self._reader)

    def prepare(self) -> None:
        """See to the bucket, unless that was done or others do it; any request does so first."""
        if self._writable and not self._prepared:
            with self._writing:
                self._link.prepare(self._retention_seconds)
                self._prepared = True

    def write(self, samples: Sequence[Sample]) -> Written:
        if not self._writable:
            raise StoreUnavailable(f"{self._link.where} was opened for reading")
        self.prepare()
        with self._writing:
            return self._writer.write(samples)

    def check(self) -> None:
        self.prepare()
        self._link.check()

    def gpus(
        self, which: GpuFilter, limit: int, after: str = "", offset: int = 0
    ) -> list[GpuRecord]:
        return self._ask(lambda reader: reader.gpus(which, limit, after, offset))

    def gpu_ids(self) -> list[str]:
        return self._ask(Reader.gpu_ids)

    def gpu(self, gpu_id: str) -> GpuRecord | None:
        return self._ask(lambda reader: reader.gpu(gpu_id))

    def gpu_metrics(self, gpu_id: str) -> list[str] | None:
        return self._ask(lambda reader: reader.gpu_metrics(gpu_id))

    def telemetry(self, query: TelemetryQuery) -> Telemetry | None:
        return self._ask(lambda reader: reader.telemetry(query))

    def windows(self, query: WindowQuery) -> Telemetry | None:
        return self._ask(lambda reader: reader.windows(query))

    def roll_up(self, before_ms: int) -> int:
        """There are no rollups: the server aggregates as it reads."""
        return 0

    def expire(self, before_ms: int, rollups_before_ms: int = 0) -> int:
        """The server does it, shard by shard."""
        return 0

    def count_points(self, gpu_id: str, start_ms: int, end_ms: int) -> int:
        return self._ask(lambda reader: reader.count_points(gpu_id, start_ms, end_ms))

    def hosts(self, limit: int, after: str = "") -> list[HostRecord]:
        return self._ask(lambda reader: reader.hosts(limit, after))

    def namespaces(self, limit: int, after: str = "") -> list[NamespaceRecord]:
        return self._ask(lambda reader: reader.namespaces(limit, after))

    def metrics(self) -> list[str]:
        return self._ask(Reader.metrics)

    def stats(self) -> StoreStats:
        return self._ask(Reader.stats)

    def close(self) -> None:
        self._link.close()

    def _ask(self, question: Callable[[Reader], T]) -> T:
        self.prepare()
        with tables(self._link.where):
            return question(self._reader)
