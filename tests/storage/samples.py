"""Samples and the model that a store is compared with."""

from collections.abc import Iterable

import msgspec

from common.models import Gpu, Sample
from common.storage.base import Aggregate, Point, Store, TelemetryQuery, WindowQuery

T0 = 1_752_871_354_000
MANY = 100_000


def gpu(name: str = "a", *, pod: str = "", model: str = "") -> Gpu:
    """A GPU with a uuid and little else."""
    return Gpu(uuid=f"GPU-{name}", pod=pod, model=model)


def sample(name: str, at: int, **metrics: float) -> Sample:
    """What GPU ``name`` had ``at`` seconds after T0."""
    return Sample(gpu(name), T0 + at * 1000, metrics)


class Model:
    """The law of a store in a dict: (gpu, metric, timestamp) is a point, the last value wins."""

    def __init__(self) -> None:
        self.points: dict[tuple[str, int, str], float] = {}

    def write(self, samples: Iterable[Sample]) -> int:
        """Return how many points are new."""
        before = len(self.points)
        for each in samples:
            for name, value in each.metrics.items():
                self.points[each.gpu.id, each.timestamp, name] = float(value)
        return len(self.points) - before

    def of(self, gpu_id: str) -> list[Point]:
        return [
            Point(ts, name, v) for (g, ts, name), v in sorted(self.points.items()) if g == gpu_id
        ]


def points(store: Store, gpu_id: str, **query: object) -> list[Point]:
    """All points of a GPU in one page."""
    page = store.telemetry(TelemetryQuery(gpu_id, MANY, **query))  # type: ignore[arg-type] # spread
    assert page is not None
    assert page.next is None
    return page.points


def pages(store: Store, gpu_id: str, limit: int, **query: object) -> list[Point]:
    """All points of a GPU, page by page."""
    found: list[Point] = []
    after = None
    while True:
        page = store.telemetry(
            TelemetryQuery(gpu_id, limit, after=after, **query)  # type: ignore[arg-type] # spread
        )
        assert page is not None
        assert len(page.points) <= limit
        found += page.points
        after = page.next
        if after is None:
            return found


def windows(store: Store, query: WindowQuery) -> list[Point]:
    """All windows of a query, page by page."""
    found: list[Point] = []
    while True:
        page = store.windows(query)
        assert page is not None
        assert len(page.points) <= query.limit
        found += page.points
        if page.next is None:
            return found
        query = msgspec.structs.replace(query, after=page.next)


def windows_by_hand(points: Iterable[Point], query: WindowQuery) -> list[Point]:
    """What the windows of some points must be, worked out from the definitions."""
    kept: dict[tuple[int, str], list[float]] = {}
    for point in sorted(points, key=lambda point: point.timestamp):
        if query.metrics and point.metric not in query.metrics:
            continue
        if query.start_ms <= point.timestamp <= query.end_ms:
            start = point.timestamp - point.timestamp % query.window_ms
            kept.setdefault((start, point.metric), []).append(point.value)
    found = [Point(*key, aggregate_by_hand(kept[key], query.aggregate)) for key in sorted(kept)]
    if query.descending:
        found.sort(key=lambda point: -point.timestamp)
    return found


def aggregate_by_hand(values: list[float], aggregate: Aggregate) -> float:
    """The definitions of `WindowQuery`, word by word."""
    if aggregate == "mean":
        total = 0.0
        for value in values:
            total += value
        return total / len(values)
    if aggregate == "p95":
        enough = [v for v in values if sum(w <= v for w in values) * 100 >= 95 * len(values)]
        return min(enough)
    if aggregate == "last":
        return values[-1]
    return min(values) if aggregate == "min" else max(values)
