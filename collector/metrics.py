"""The collector's metrics, read from the truth at every scrape."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector as MetricsCollector

_COUNTERS = {
    "queue_delivered": ("collector_delivered", "Messages delivered, those that came again too."),
    "messages_processed": ("collector_messages", "Messages kept, or rejected, and settled."),
    "acks_refused": ("collector_acks_refused", "Receipts that had run out; they come again."),
    "telemetry_stored": ("telemetry_data_points", "Points the store has confirmed."),
    "telemetry_new": ("telemetry_new_points", "Of those, points not stored before."),
    "store_failures": ("store_write_failures", "Writes the store did not take; each is repeated."),
    "spool_corrupt_frames": ("spool_corrupt_frames", "Damaged places met in the spool."),
}
_GAUGES = {
    "spool_messages": ("spool_messages", "Messages that wait for the store."),
    "spool_bytes": ("spool_bytes", "Bytes of the spool on disk."),
}


class HasStats(Protocol):
    """Whose numbers these are."""

    def stats(self) -> Mapping[str, Any]:
        """The numbers by name."""


class CollectorMetrics(MetricsCollector):
    """Reads the statistics of one collector."""

    def __init__(self, collector: HasStats) -> None:
        self._collector = collector

    def describe(self) -> Iterator[Metric]:
        """Nothing ahead of time: the numbers are there once the collector has started."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        stats = self._collector.stats()
        for key, (name, text) in _COUNTERS.items():
            counter = CounterMetricFamily(name, text)
            counter.add_metric([], stats[key])
            yield counter
        for key, (name, text) in _GAUGES.items():
            gauge = GaugeMetricFamily(name, text)
            gauge.add_metric([], stats[key])
            yield gauge
        rejected = CounterMetricFamily(
            "samples_rejected",
            "Points not stored, by reason; what cannot be read at all counts as one.",
            labels=["reason"],
        )
        for reason, count in stats["messages_errors"].items():
            rejected.add_metric([reason], count)
        yield rejected
        available = GaugeMetricFamily("store_available", "1 when the last write was taken.")
        available.add_metric([], int(not stats["store_problem"]))
        yield available
        alarm = GaugeMetricFamily("store_alarm", "1 while the store refuses us: see to it.")
        alarm.add_metric([], int(stats["store_alarm"]))
        yield alarm
        lag = GaugeMetricFamily("collector_group_lag", "Messages the group must settle.")
        lag.add_metric([], math.nan if stats["lag"] is None else stats["lag"])
        yield lag
