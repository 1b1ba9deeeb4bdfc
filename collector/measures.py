"""How long writes to the store take, and how late what they bring is."""

import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import cast

from prometheus_client import CollectorRegistry, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from common.clock import Clock
from common.models import Sample
from common.storage.base import Store, Written

AGE_BOUNDS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0, 86400.0)
WRITE_BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Freshness(Collector):
    """From a sample's own time to its confirmation by the store, and the newest time confirmed.

    A write brings thousands of samples: their ages are sorted once instead of observed each.
    """

    def __init__(self) -> None:
        self._counts = [0] * (len(AGE_BOUNDS) + 1)
        self._total = 0.0
        self._newest_ms = 0

    def stored(self, samples: Sequence[Sample], now: float) -> None:
        """The store confirmed samples at ``now``, in seconds since 1970 UTC."""
        ages = sorted([max(0.0, now - sample.timestamp / 1000) for sample in samples])
        ends = [0, *(bisect_right(ages, bound) for bound in AGE_BOUNDS), len(ages)]
        for index, (start, stop) in enumerate(pairwise(ends)):
            self._counts[index] += stop - start
        self._total += sum(ages)
        self._newest_ms = max(self._newest_ms, max(sample.timestamp for sample in samples))

    def collect(self) -> Iterator[Metric]:
        """See ``Collector``."""
        below, buckets = 0, []
        for bound, count in zip([*map(str, AGE_BOUNDS), "+Inf"], self._counts, strict=True):
            below += count
            buckets.append((bound, float(below)))
        late = HistogramMetricFamily(
            "telemetry_end_to_end_seconds", "From a sample's time to its confirmation by the store."
        )
        late.add_metric([], buckets, self._total)
        newest = GaugeMetricFamily(
            "telemetry_watermark_seconds", "The newest sample's time that the store has confirmed."
        )
        newest.add_metric([], self._newest_ms / 1000)
        yield from (late, newest)


class Measures:
    """What is measured of a collector where it happens; the rest is read from its statistics."""

    def __init__(self, registry: CollectorRegistry, spool_bytes: int, clock: Clock) -> None:
        self._clock = clock
        self._freshness = Freshness()
        registry.register(self._freshness)
        self._writes = Histogram(
            "store_write_duration_seconds",
            "Time of a write to the store, those that fail too.",
            buckets=WRITE_BOUNDS,
            registry=registry,
        )
        Gauge(
            "spool_capacity_bytes", "Spool size above which consumption stops.", registry=registry
        ).set(spool_bytes)

    def of(self, store: Store) -> Store:
        """The store, its writes measured."""
        return cast(Store, MeasuredStore(store, self))

    def write(self, store: Store, samples: Sequence[Sample]) -> Written:
        """Write and measure."""
        began = time.perf_counter()
        try:
            written = store.write(samples)
        finally:
            self._writes.observe(time.perf_counter() - began)
        if samples:
            self._freshness.stored(samples, self._clock.wall())
        return written


class MeasuredStore:
    """A store as it is, but for what is seen of its writes."""

    def __init__(self, store: Store, measures: Measures) -> None:
        self._store = store
        self._measures = measures

    def write(self, samples: Sequence[Sample]) -> Written:
        """See ``Store``."""
        return self._measures.write(self._store, samples)

    def __getattr__(self, name: str) -> object:
        """Everything else is the store's own."""
        return getattr(self._store, name)
