"""The broker's metrics, read from the truth at every scrape."""

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from broker.group_metrics import group_metrics
from broker.idleness import Idleness
from broker.partition import Partition
from broker.topic import Topic
from broker.topics import Topics
from common.clock import Clock

Table = dict[str, tuple[str, Callable[[Partition], float]]]

_PLACE = ["topic", "partition"]
_COUNTERS: Table = {
    "messages_produced": ("Messages stored since the log began.", lambda p: p.end),
    "frames_corrupt": ("Damaged places met in the log.", lambda p: p.corrupt_frames),
    "commits": ("Times the log was written to.", lambda p: p.commits[0]),
    "commit_records": ("Requests that those commits wrote.", lambda p: p.commits[1]),
}
_GAUGES: Table = {
    "message_queue_size": ("Messages some group has not acked.", lambda p: p.depth),
    "partition_bytes": ("Bytes of the log on disk.", lambda p: p.disk_bytes),
    "partition_memory_messages": ("Messages held in memory.", lambda p: p.window.messages),
    "partition_memory_bytes": ("Bytes held in memory.", lambda p: p.window.bytes),
    "partition_spilled_messages": ("Unsettled messages on disk alone.", lambda p: p.spilled),
    "partition_subscribers": ("Open streams.", lambda p: len(p.wakers)),
    "partition_read_only": ("1 when nothing can be produced.", lambda p: int(bool(p.problem))),
}


class BrokerCollector(Collector):
    """Counts and gauges per partition, and per group in it."""

    def __init__(
        self, topics: Topics, clock: Clock, idleness: Idleness, draining: Callable[[], bool]
    ) -> None:
        self._topics = topics
        self._clock = clock
        self._idleness = idleness
        self._draining = draining

    def collect(self) -> Iterator[Metric]:
        partitions = self._topics.partitions()
        yield from partition_metrics(partitions)
        yield from group_metrics(partitions, self._clock.wall())
        yield from topic_metrics(self._topics.all(), self._idleness)
        yield GaugeMetricFamily(
            "broker_draining", "1 while no produce is taken.", value=self._draining()
        )


def partition_metrics(partitions: list[Partition]) -> Iterator[Metric]:
    """What a partition holds."""
    for name, (text, value) in _COUNTERS.items():
        counter = CounterMetricFamily(name, text, labels=_PLACE)
        for part in partitions:
            counter.add_metric([part.topic, str(part.number)], value(part))
        yield counter
    for name, (text, value) in _GAUGES.items():
        gauge = GaugeMetricFamily(name, text, labels=_PLACE)
        for part in partitions:
            gauge.add_metric([part.topic, str(part.number)], value(part))
        yield gauge


def topic_metrics(topics: list[Topic], idleness: Idleness) -> Iterator[Metric]:
    """Dead letters that wait for somebody to look at them, pauses, groups that expired."""
    dead = GaugeMetricFamily(
        "dead_letters", "Messages in the dead-letter queue.", labels=["topic", "group"]
    )
    paused = GaugeMetricFamily(
        "group_paused", "1 while nothing is delivered to it.", labels=["topic", "group"]
    )
    expired = CounterMetricFamily(
        "groups_expired", "Groups forgotten since nobody used them.", labels=["topic"]
    )
    for topic in topics:
        for group, letters in topic.dead.items():
            dead.add_metric([topic.name, group], letters.depth)
        for group in topic.groups():
            paused.add_metric([topic.name, group], topic.is_paused(group))
        expired.add_metric([topic.name], idleness.expired.get(topic.name, 0))
    yield from (dead, paused, expired)
