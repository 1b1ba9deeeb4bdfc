"""Where each group stands in each partition, as metrics."""

import itertools
from collections.abc import Iterator

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from broker.durations import BOUNDS, Durations, summed
from broker.group import Group
from broker.partition import Partition

Row = tuple[list[str], dict[str, int], Group]

_GROUP = ["topic", "partition", "group"]
_COUNTERS = {
    "messages_consumed": ("Messages acked.", "acked"),
    "messages_delivered": ("Messages sent, those sent again included.", "delivered"),
    "messages_redelivered": ("Messages sent again.", "redelivered"),
    "messages_expired": ("Messages whose visibility timeout passed.", "expired"),
    "messages_dead_lettered": ("Messages put into the dead-letter queue.", "dead"),
    "messages_lost": ("Messages the disk no longer had.", "lost"),
}
_GAUGES = {
    "group_lag": ("Messages not acked yet.", "lag"),
    "group_ready": ("Messages waiting to be sent.", "ready"),
    "group_in_flight": ("Messages sent and not acked.", "in_flight"),
}


def group_metrics(partitions: list[Partition], now: float) -> Iterator[Metric]:
    """Every group's books, drops by reason, oldest message, time from delivery to ack."""
    rows = [
        ([part.topic, str(part.number), group.name], group.counts(part.end), group)
        for part in partitions
        for group in part.groups
    ]
    for metric, (text, key) in _COUNTERS.items():
        counter = CounterMetricFamily(metric, text, labels=_GROUP)
        for labels, counts, _ in rows:
            counter.add_metric(labels, counts[key])
        yield counter
    for metric, (text, key) in _GAUGES.items():
        gauge = GaugeMetricFamily(metric, text, labels=_GROUP)
        for labels, counts, _ in rows:
            gauge.add_metric(labels, counts[key])
        yield gauge
    yield dropped_metric(partitions, rows)
    yield from age_metrics(partitions, now)
    yield processing_metric(rows)


def dropped_metric(partitions: list[Partition], rows: list[Row]) -> Metric:
    """What groups were not to see, by reason; with no group's name what was there for none."""
    counter = CounterMetricFamily(
        "messages_dropped", "Messages let go unacked.", labels=[*_GROUP, "reason"]
    )
    for labels, _, group in rows:
        for reason, count in group.dropped.items():
            counter.add_metric([*labels, reason], count)
    for part in partitions:
        for reason, count in part.retention.dropped_unseen.items():
            counter.add_metric([part.topic, str(part.number), "", reason], count)
    return counter


def age_metrics(partitions: list[Partition], now: float) -> Iterator[Metric]:
    """Since when the first message that a group has not settled has been there."""
    age = GaugeMetricFamily(
        "group_oldest_age_seconds", "Age of the oldest message not acked yet.", labels=_GROUP
    )
    watermark = GaugeMetricFamily(
        "group_watermark_seconds", "Time before which everything is settled.", labels=_GROUP
    )
    for part in partitions:
        for group in part.groups:
            labels = [part.topic, str(part.number), group.name]
            age.add_metric(labels, group.oldest_age(part.end, now))
            watermark.add_metric(labels, group.watermark(part.end, part.newest_ms))
    yield from (age, watermark)


def processing_metric(rows: list[Row]) -> Metric:
    """Time from delivery to ack, of a group over all its partitions."""
    histogram = HistogramMetricFamily(
        "message_processing_duration_seconds",
        "Time from delivery to ack.",
        labels=["topic", "group"],
    )
    by_group: dict[tuple[str, str], list[Durations]] = {}
    for (topic, _, name), _, group in rows:
        by_group.setdefault((topic, name), []).append(group.processing)
    for (topic, name), parts in by_group.items():
        whole = summed(parts)
        ends = [*map(str, BOUNDS), "+Inf"]
        buckets = list(zip(ends, map(float, itertools.accumulate(whole.counts)), strict=True))
        histogram.add_metric([topic, name], buckets, whole.total)
    return histogram
