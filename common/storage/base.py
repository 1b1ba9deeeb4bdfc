"""The store's interface: what every kind of store can be told and asked.

All methods block and may be called from any thread; callers on an event loop run them in
threads. Times are milliseconds since 1970 UTC, and a range includes both of its ends.
A store that cannot answer raises `StoreUnavailable`; it never answers with less.
"""

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from common.errors import StoreUnavailable
from common.models import EARLIEST_MS, LATEST_MS, Gpu, Sample

Aggregate = Literal["mean", "min", "max", "last", "p95"]


class StoreRefused(StoreUnavailable):
    """The store must not or may not be used: a foreign file, a wrong token, no such bucket.

    Trying again helps only once somebody has changed something.
    """


class WriteRefused(Exception):
    """The store refuses something in this write; the message holds the store's own words.

    What else was in the write may or may not have been stored. Written again in parts, down to
    one metric of one sample, the good is stored and the bad is alone.
    """


class Written(msgspec.Struct, frozen=True):
    """``points`` were given; ``new_points`` of them had an identity not stored before.

    It is None from a store that cannot tell without looking for each one.
    """

    points: int
    new_points: int | None


class GpuFilter(msgspec.Struct, frozen=True):
    """Which GPUs are meant; None is any."""

    host: str | None = None
    model: str | None = None
    namespace: str | None = None


class GpuRecord(msgspec.Struct, frozen=True):
    """One GPU: its latest known identity, and when it was first and last heard of.

    ``first_seen`` and ``last_seen`` are the least and greatest sample time ever stored. A store
    whose server applies the retention forgets a GPU with its last point.
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


class WindowQuery(msgspec.Struct, frozen=True):
    """Which windows of a GPU's points are wanted; as `TelemetryQuery`, a window for a point.

    Windows of ``window_ms`` lie side by side from 1970 on; the first and the last hold only what
    is in the range. A window without points is left out. ``mean`` is the sum in order of time
    divided by the count, ``last`` the newest value, ``p95`` the least value that 95 % of the
    window's values do not exceed.

    Where points have expired and rollups are left, windows of whole minutes are answered from
    these: a ``mean`` of more than one is the same to within rounding, a window that the range
    cuts is answered whole, and a ``p95`` of other windows than a minute or an hour raises
    InvalidParameter.
    """

    gpu_id: str
    window_ms: int
    aggregate: Aggregate
    limit: int
    start_ms: int = EARLIEST_MS
    end_ms: int = LATEST_MS
    metrics: tuple[str, ...] = ()
    after: Position | None = None
    descending: bool = False


def page_of(found: list[Point], limit: int) -> Telemetry:
    """Return a page of ``limit`` points; one point more was looked for, so that the end shows."""
    if len(found) <= limit:
        return Telemetry(found, None)
    last = found[limit - 1]
    return Telemetry(found[:limit], Position(last.timestamp, last.metric))


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
        """Store all samples; they are durable when it returns.

        What is stored when it raises is some of them; the same write again changes nothing but
        what is missing. An embedded store stores all or none, and nobody sees a part of a write.
        The samples have passed `common.models.sample_problem`. Of a GPU's identity each
        field keeps the value of the latest sample that knew it. Raises WriteRefused.
        """

    def check(self) -> None:
        """Return when the store can be asked; cheap enough for every readiness probe."""

    def gpus(
        self, which: GpuFilter, limit: int, after: str = "", offset: int = 0
    ) -> list[GpuRecord]:
        """Return up to ``limit`` GPUs by ascending id, from after an id, ``offset`` skipped."""

    def gpu_ids(self) -> list[str]:
        """Return the ids of all GPUs, sorted."""

    def gpu(self, gpu_id: str) -> GpuRecord | None:
        """Return one GPU, or None when it is not known."""

    def gpu_metrics(self, gpu_id: str) -> list[str] | None:
        """Return the names of the metrics a GPU has, sorted; None when it is not known."""

    def telemetry(self, query: TelemetryQuery) -> Telemetry | None:
        """Return one page of a GPU's points; None when the GPU is not known."""

    def windows(self, query: WindowQuery) -> Telemetry | None:
        """Return one page of aggregates, each at its window's start; None for no such GPU."""

    def roll_up(self, before_ms: int) -> int:
        """Aggregate a bounded part of the hours that ended before ``before_ms``; 0 at the end.

        Makes long ranges quick to answer and lets windows of whole minutes outlive their
        points; it changes no answer. Returns how many hours of a GPU were rolled up. Points
        that come late make their hour due again. A store that has no rollups answers 0.
        """

    def expire(self, before_ms: int, rollups_before_ms: int = 0) -> int:
        """Delete a bounded part of the points older than ``before_ms``; 0 when none is left.

        Then of the rollups older than ``rollups_before_ms``. Returns how many went. One call
        keeps no reader and no writer waiting for more than 100 ms. A store may keep the hour
        that holds ``before_ms`` whole; one whose server applies the retention itself answers 0.
        GPUs stay, with when they were first and last seen.
        """

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
