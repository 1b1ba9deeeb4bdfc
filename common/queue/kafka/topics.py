"""Topics of a Kafka cluster: found, made, measured, shortened. Every call blocks."""

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from typing import Any

from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from common.errors import Unavailable
from common.queue.kafka.settings import REQUEST_SECONDS, Complaints, KafkaAddress

LOOK_SECONDS = 0.05


class KafkaTopics:
    """Asks the cluster as an administrator would; raises a TelemetryError."""

    def __init__(self, address: KafkaAddress) -> None:
        self._address = address
        self._complaints = Complaints()
        self._client: Any = None

    def ensure(self, topic: str, partitions: int | None = None) -> int:
        """Return a topic's partition count; one that is not there is made, and waited for."""
        found = self.count(topic)
        if found:
            return found
        wanted = partitions or self._address.partitions
        new = NewTopic(topic, wanted, self._address.replicas)
        made = self._admin().create_topics([new], request_timeout=REQUEST_SECONDS)
        self._done(made.values(), {KafkaError.TOPIC_ALREADY_EXISTS})
        until = time.monotonic() + REQUEST_SECONDS
        while not (found := self.count(topic)):
            if time.monotonic() > until:
                raise Unavailable(f"Kafka: the topic {topic} was made and does not show")
            time.sleep(LOOK_SECONDS)
        return found

    def count(self, topic: str) -> int:
        """A topic's partition count, 0 when it is not there."""
        asked = self._admin().describe_topics(
            TopicCollection([topic]), request_timeout=REQUEST_SECONDS
        )
        found = self._done(asked.values(), {KafkaError.UNKNOWN_TOPIC_OR_PART})
        return len(found[0].partitions) if found else 0

    def bounds(self, topic: str, partitions: int) -> list[tuple[int, int]]:
        """The first offset of each partition, and the one after its last."""
        edges = []
        for spec in (OffsetSpec.earliest(), OffsetSpec.latest()):
            places = {TopicPartition(topic, number): spec for number in range(partitions)}
            asked = self._admin().list_offsets(places, request_timeout=REQUEST_SECONDS)
            at = {place.partition: each for place, each in asked.items()}
            edges.append([each.offset for each in self._done(map(at.__getitem__, sorted(at)))])
        return list(zip(*edges, strict=True))

    def committed(self, group: str, topic: str) -> Mapping[int, int]:
        """How far a group has come, by partition; one where it has not begun is left out."""
        asked = self._admin().list_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(group)], request_timeout=REQUEST_SECONDS
        )
        rows = self._done(asked.values(), {KafkaError.GROUP_ID_NOT_FOUND})
        places = rows[0].topic_partitions if rows else []
        return {p.partition: p.offset for p in places if p.topic == topic and p.offset >= 0}

    def delete_before(self, topic: str, offset: int) -> None:
        """Forget a one-partition topic's records before ``offset``."""
        place = TopicPartition(topic, 0, offset)
        asked = self._admin().delete_records([place], request_timeout=REQUEST_SECONDS)
        self._done(asked.values())

    def _admin(self) -> Any:
        if self._client is None:
            settings = {**self._address.settings, "error_cb": self._complaints.hear}
            try:
                self._client = AdminClient(settings)
            except KafkaException as error:
                raise self._complaints.of(error) from error
        self._complaints.begin()
        return self._client

    def _done(self, asked: Iterable[Future[Any]], fine: Iterable[int] = ()) -> list[Any]:
        """The answers; errors whose codes are ``fine`` give none."""
        found = []
        for each in asked:
            while not each.done():
                self._client.poll(LOOK_SECONDS)
                if self._complaints.now is not None:
                    raise self._complaints.now
            try:
                found.append(each.result())
            except KafkaException as error:
                if error.args[0].code() not in fine:
                    raise self._complaints.of(error) from error
        return found
