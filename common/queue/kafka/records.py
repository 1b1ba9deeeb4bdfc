"""Dead letters as Kafka's records, in a topic of one partition for each group."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from common.clock import Clock
from common.queue.base import DeadLetter, Letter
from common.queue.kafka.producer import Headers, KafkaWriter
from common.queue.kafka.settings import KafkaAddress
from common.queue.kafka.topics import KafkaTopics

REJECTED = "REJECTED"
MAX_ERROR = 1024


def dead_topic(topic: str, group: str) -> str:
    """Where a group's dead letters lie."""
    return f"{topic}.dead.{group}"


class LetterBox:
    """Writes a group's dead letters; makes their topic at the first."""

    def __init__(self, address: KafkaAddress, topic: str, group: str, clock: Clock) -> None:
        self._topics = KafkaTopics(address)
        self._writer = KafkaWriter(address)
        self._dead = dead_topic(topic, group)
        self._clock = clock
        self._made = False

    async def put(self, letters: Sequence[Letter]) -> None:
        """Return when all are acknowledged; raises a TelemetryError."""
        if not letters:
            return
        if not self._made:
            await asyncio.to_thread(self._topics.ensure, self._dead, 1)
            self._made = True
        now = int(self._clock.wall() * 1000)
        records = [(each.payload, headers_of(each, now)) for each in letters]
        await self._writer.put(self._dead, 0, records)

    async def close(self) -> None:
        """Let go of every connection."""
        await self._writer.close()


def headers_of(letter: Letter, dead_at: int) -> Headers:
    """All of a letter but its payload, as text."""
    fields = {
        "id": letter.id,
        "partition": letter.partition,
        "offset": letter.offset,
        "attempts": letter.attempts,
        "dead-at": dead_at,
        "reason": REJECTED,
        "error": letter.error[:MAX_ERROR],
    }
    return [(name, str(value).encode()) for name, value in fields.items()]


def letter_of(record: Any) -> DeadLetter:
    """A record as a letter; one that somebody else wrote is named by its own place."""
    headers = record.headers() or ()
    given = {name: value.decode(errors="replace") for name, value in headers if value}
    return DeadLetter(
        id=given.get("id") or f"{record.topic()}:{record.partition()}:{record.offset()}",
        partition=_whole(given, "partition"),
        offset=_whole(given, "offset"),
        attempts=_whole(given, "attempts"),
        dead_at=_whole(given, "dead-at") or record.timestamp()[1],
        reason=given.get("reason", REJECTED),
        error=given.get("error", "")[:MAX_ERROR],
        payload=record.value() or b"",
    )


def _whole(given: Mapping[str, str], name: str) -> int:
    text = given.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else 0
