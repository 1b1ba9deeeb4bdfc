"""The broker's metrics, read from the truth at every scrape."""

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from broker.partition import Partition
from broker.topics import Topic, Topics

Table = dict[str, tuple[str, Callable[[Partition], float]]]

_PLACE = ["topic", "partition"]
_GROUP = ["topic", "partition", "group"]


class BrokerCollector(Collector):
    """Counts and gauges per partition, and per group in it."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics

    def collect(self) -> Iterator[Metric]:
        partitions = self._topics.partitions()
        yield from partition_metrics(partitions)
        yield from group_metrics(partitions)
        yield dead_letter_metric(self._topics.all())


def partition_metrics(partitions: list[Partition]) -> Iterator[Metric]:
    """What a partition holds."""
    counters: Table = {
        "messages_produced": ("Messages stored since the log began.", lambda p: p.end),
        "frames_corrupt": ("Damaged places met in the log.", lambda p: p.corrupt_frames),
    }
    gauges: Table = {
        "message_queue_size": ("Messages some group has not acked.", lambda p: p.depth),
        "partition_bytes": ("Bytes of the log on disk.", lambda p: p.disk_bytes),
        "partition_memory_messages": ("Messages held in memory.", lambda p: p.window.messages),
        "partition_memory_bytes": ("Bytes held in memory.", lambda p: p.window.bytes),
        "partition_read_only": ("1 when nothing can be produced.", lambda p: int(bool(p.problem))),
    }
    for name, (text, value) in counters.items():
        counter = CounterMetricFamily(name, text, labels=_PLACE)
        for part in partitions:
            counter.add_metric([part.topic, str(part.number)], value(part))
        yield counter
    for name, (text, value) in gauges.items():
        gauge = GaugeMetricFamily(name, text, labels=_PLACE)
        for part in partitions:
            gauge.add_metric([part.topic, str(part.number)], value(part))
        yield gauge


def group_metrics(partitions: list[Partition]) -> Iterator[Metric]:
    """Where each group stands in each partition."""
    counters = {
        "messages_consumed": ("Messages acked.", "acked"),
        "messages_delivered": ("Messages sent, those sent again included.", "delivered"),
        "messages_redelivered": ("Messages sent again.", "redelivered"),
        "messages_expired": ("Messages whose visibility timeout passed.", "expired"),
        "messages_dead_lettered": ("Messages put into the dead-letter queue.", "dead"),
        "messages_lost": ("Messages the disk no longer had.", "lost"),
    }
    gauges = {
        "group_lag": ("Messages not acked yet.", "lag"),
        "group_ready": ("Messages waiting to be sent.", "ready"),
        "group_in_flight": ("Messages sent and not acked.", "in_flight"),
    }
    rows = [
        ([part.topic, str(part.number), group.name], group.counts(part.end))
        for part in partitions
        for group in part.groups
    ]
    for metric, (text, key) in counters.items():
        counter = CounterMetricFamily(metric, text, labels=_GROUP)
        for labels, counts in rows:
            counter.add_metric(labels, counts[key])
        yield counter
    for metric, (text, key) in gauges.items():
        gauge = GaugeMetricFamily(metric, text, labels=_GROUP)
        for labels, counts in rows:
            gauge.add_metric(labels, counts[key])
        yield gauge


def dead_letter_metric(topics: list[Topic]) -> Metric:
    """How many dead letters wait for somebody to look at them."""
    gauge = GaugeMetricFamily(
        "dead_letters", "Messages in the dead-letter queue.", labels=["topic", "group"]
    )
    for topic in topics:
        for group, dead in topic.dead.items():
            gauge.add_metric([topic.name, group], dead.depth)
    return gauge
