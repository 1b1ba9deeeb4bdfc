"""The store's interface: what every kind of store can be told and asked.

All methods block and may be called from any thread; callers on an event loop run them in
threads. Times are milliseconds since 1970 UTC, and a range includes both of its ends.
A store that cannot answer raises `StoreUnavailable`; it never answers with less.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from common.errors import StoreUnavailable
from common.models import EARLIEST_MS, LATEST_MS, Gpu, Sample


class StoreRefused(StoreUnavailable):
    """The store is one that this program must not use; waiting does not help."""


class Written(msgspec.Struct, frozen=True):
    """``points`` were given; ``new_points`` of them had an identity not stored before."""

    points: int
    new_points: int


class GpuFilter(msgspec.Struct, frozen=True):
    """Which GPUs are meant; None is any."""

    host: str | None = None
    model: str | None = None
    namespace: str | None = None


class GpuRecord(msgspec.Struct, frozen=True):
    """One GPU: its latest known identity, and when it was first and last heard of.

    ``first_seen`` and ``last_seen`` are the least and greatest sample time ever stored.
    """

    id: str
    gpu: Gpu
    first_seen: int
    last_seen: int
    points: int


class HostRecord(msgspec.Struct, frozen=True):
    """A host that has GPUs."""

    host: str
    gpus: int
    last_seen: int


class NamespaceRecord(msgspec.Struct, frozen=True):
    """A namespace whose pods hold GPUs."""

    namespace: str
    gpus: int
    last_seen: int


class Position(msgspec.Struct, frozen=True, array_like=True):
    """A point's place among those of its GPU; a page goes on after it."""

    timestamp: int
    metric: str


class Point(msgspec.Struct, frozen=True, gc=False):
    """One metric of one GPU at one moment."""

    timestamp: int
    metric: str
    value: float


class TelemetryQuery(msgspec.Struct, frozen=True):
    """Which points of a GPU are wanted, in which order, and after which one.

    No ``metrics`` means all of them. Points come by time, newest first when ``descending``;
    those of one moment always by metric name, ascending.
    """

    gpu_id: str
    limit: int
    start_ms: int = EARLIEST_MS
    end_ms: int = LATEST_MS
    metrics: tuple[str, ...] = ()
    after: Position | None = None
    descending: bool = False


class Telemetry(msgspec.Struct, frozen=True):
    """A page of points, and the last one's position when there are more."""

    points: list[Point]
    next: Position | None


class StoreStats(msgspec.Struct, frozen=True):
    """What a store holds; the times are None while it is empty."""

    gpus: int
    hosts: int
    metrics: int
    points: int
    samples: int
    oldest_ms: int | None
    newest_ms: int | None


class Store(Protocol):
    """A point is (gpu, metric, timestamp): stored twice it is stored once, the last value wins."""

    def write(self, samples: Sequence[Sample]) -> Written:
        """Store all samples or none; they are durable when it returns.

        The samples have passed `common.models.sample_problem`. Of a GPU's identity each
        field keeps the value of the latest sample that knew it.
        """

    def check(self) -> None:
        """Return when the store can be asked; cheap enough for every readiness probe."""

    def gpus(
        self, which: GpuFilter, limit: int, after: str = "", offset: int = 0
    ) -> list[GpuRecord]:
        """Return up to ``limit`` GPUs by ascending id, from after an id, ``offset`` skipped."""

    def gpu(self, gpu_id: str) -> GpuRecord | None:
        """Return one GPU, or None when it is not known."""

    def gpu_metrics(self, gpu_id: str) -> list[str] | None:
        """Return the names of the metrics a GPU has, sorted; None when it is not known."""

    def telemetry(self, query: TelemetryQuery) -> Telemetry | None:
        """Return one page of a GPU's points; None when the GPU is not known."""

    def count_points(self, gpu_id: str, start_ms: int, end_ms: int) -> int:
        """Count a GPU's points in a range one by one, trusting no running total."""

    def hosts(self, limit: int, after: str = "") -> list[HostRecord]:
        """Return up to ``limit`` hosts by ascending name, from after a name."""

    def namespaces(self, limit: int, after: str = "") -> list[NamespaceRecord]:
        """Return up to ``limit`` namespaces by ascending name, from after a name."""

    def metrics(self) -> list[str]:
        """Return the names of all metrics, sorted."""

    def stats(self) -> StoreStats:
        """Return what the store holds, as of one moment."""

    def close(self) -> None:
        """Give back files and connections; nothing is asked of the store afterwards."""
