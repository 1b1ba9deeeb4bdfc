"""A consumer group's member: the thread that owns Kafka's client."""

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer as Client
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from common import logs
from common.errors import TelemetryError
from common.queue.base import Delivery
from common.queue.kafka.ledger import KafkaLedger, Message
from common.queue.kafka.settings import Complaints, KafkaAddress

log = logs.get("queue")

POLL_SECONDS = 0.1
MOST_AT_ONCE = 500
COMMIT_SECONDS = 0.1
CLOSE_SECONDS = 1.0
SESSION_MS = 10_000
ONE_GROUP = "telemetry-group"  # the header of a message that only this group is to see
METADATA_MS = 30_000  # partitions that were added are read after that, at the latest

_SETTINGS = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "earliest",
    "partition.assignment.strategy": "cooperative-sticky",
}
_DEFAULTS = {"session.timeout.ms": SESSION_MS, "topic.metadata.refresh.interval.ms": METADATA_MS}
_PASSING = {KafkaError._PARTITION_EOF, KafkaError._MAX_POLL_EXCEEDED}
_GONE = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC}


class KafkaMember:
    """Reads one topic for one group. Every method blocks, and belongs to one thread."""

    def __init__(
        self, address: KafkaAddress, topic: str, group: str, instance_id: str, ledger: KafkaLedger
    ) -> None:
        self.topic_is_gone = False
        self._complaints = Complaints()
        self._topic = topic
        self._group = group.encode()
        self._ledger = ledger
        self._paused = False
        self._committed_at = 0.0
        self._begun = False
        self._committing = 0  # commits that are not answered yet
        self._leaving = False
        named = {"group.id": group, "client.id": instance_id, "error_cb": self._complaints.hear}
        settings = {**_DEFAULTS, **address.settings, **_SETTINGS, **named}
        settings["on_commit"] = self._on_commit
        try:
            self._client = Client(settings)
        except KafkaException as error:
            raise self._complaints.of(error) from error
        self._client.subscribe(
            [topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    @property
    def problem(self) -> str:
        """What the client said last of its connections."""
        return self._complaints.last

    def turn(self, room: int) -> list[Delivery]:
        """Wait a moment for messages, at most ``room``, and commit what is due.

        Without room it goes on as a member of its group and takes nothing. Raises a TelemetryError
        when Kafka refuses us.
        """
        try:
            messages = self._read(room) if room > 0 else self._rest()
        except KafkaException as error:
            raise self._complaints.of(error) from error
        if time.monotonic() - self._committed_at >= COMMIT_SECONDS:
            self.commit()
        if not self._begun and self._complaints.refusal is not None:
            raise self._complaints.refusal
        return self._ledger.take(messages)

    def commit(self) -> None:
        """Write down how far the group has come."""
        self._committed_at = time.monotonic()
        self._commit(self._ledger.to_commit())

    def close(self) -> None:
        """Commit and leave the group; its other members take over at once.

        A broker that is away is not waited for: what was acked and not committed comes again.
        """
        self.commit()
        until = time.monotonic() + CLOSE_SECONDS
        while self._committing and time.monotonic() < until:
            self._rest()
            self.commit()  # what was refused while the group changed
        self._leaving = True
        leaving = threading.Thread(target=self._client.close, name="kafka-close", daemon=True)
        leaving.start()
        leaving.join(CLOSE_SECONDS)

    def _read(self, room: int) -> list[Message]:
        if self._paused:
            self._paused = False
            self._client.resume(self._client.assignment())
        first = self._client.poll(POLL_SECONDS)
        if first is None:
            return []
        rest = self._client.consume(min(room - 1, MOST_AT_ONCE), 0) if room > 1 else []
        return self._good([first, *rest])

    def _rest(self) -> list[Message]:
        """Answer the group's coordinator; paused partitions give no messages."""
        if not self._paused:
            self._paused = True
            self._client.pause(self._client.assignment())
        return self._good(self._client.consume(1, POLL_SECONDS))

    def _good(self, messages: Sequence[Any]) -> list[Message]:
        found: list[Message] = []
        for message in messages:
            error = message.error()
            if error is None:
                ours = is_for(message.headers(), self._group)
                payload = message.value() or b"" if ours else None
                found.append((message.partition(), message.offset(), payload))
            else:
                self._complain(error)
        return found

    def _complain(self, error: Any) -> None:
        if error.code() in _PASSING:
            return
        self._complaints.hear(error)
        self.topic_is_gone = self.topic_is_gone or error.code() in _GONE

    def _commit(self, places: Mapping[int, int], wait: bool = False) -> None:
        if not places:
            return
        offsets = [TopicPartition(self._topic, at, offset) for at, offset in places.items()]
        try:
            self._client.commit(offsets=offsets, asynchronous=not wait)
            self._committing += not wait
        except KafkaException as error:
            self._not_committed(error.args[0], list(places))

    def _on_commit(self, error: Any, places: Sequence[Any]) -> None:
        self._committing -= 1
        failed = [place.partition for place in places if error or place.error]
        if failed:
            self._not_committed(error or places[0].error, failed)

    def _not_committed(self, error: Any, partitions: Sequence[int]) -> None:
        """What was acked and is not committed may come again; it is said again, if it is ours."""
        log.warning("place in the queue not written down", reason=error.str())
        self._ledger.forget_commit(partitions)

    def _on_assign(self, client: Any, places: Sequence[Any]) -> None:
        self._begun = True
        self._ledger.assign([place.partition for place in places])
        client.incremental_assign(places)
        if self._paused:
            client.pause(places)
        log.info("partitions taken", partitions=sorted(place.partition for place in places))

    def _on_revoke(self, client: Any, places: Sequence[Any]) -> None:
        partitions = [place.partition for place in places]
        settled = self._ledger.revoke(partitions)
        if not self._leaving:
            self._commit(settled, wait=True)
        client.incremental_unassign(places)
        log.info("partitions given back", partitions=sorted(partitions))

    def _on_lost(self, client: Any, places: Sequence[Any]) -> None:
        self._ledger.revoke([place.partition for place in places])
        client.incremental_unassign(places)
        log.warning("partitions lost", partitions=sorted(place.partition for place in places))


def is_for(headers: Sequence[tuple[str, bytes]] | None, group: bytes) -> bool:
    """Whether a message is for a group: all are, but what was driven again for another."""
    return not headers or all(value == group for name, value in headers if name == ONE_GROUP)


def refused(error: TelemetryError) -> bool:
    """Whether asking again cannot help."""
    return error.retry_after_seconds is None and error.status < 500
