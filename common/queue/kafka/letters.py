"""A group's dead letters in Kafka, for who looks after them."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import Consumer as Client
from confluent_kafka import KafkaException, TopicPartition

from common.clock import Clock
from common.errors import Unavailable
from common.queue.base import DeadLetter
from common.queue.kafka.client import ONE_GROUP
from common.queue.kafka.producer import KafkaWriter
from common.queue.kafka.records import dead_topic, letter_of
from common.queue.kafka.settings import REQUEST_SECONDS, Complaints, read_kafka_url
from common.queue.kafka.topics import KafkaTopics

READ_AT_ONCE = 500
REDRIVEN_AT_ONCE = 100
POLL_SECONDS = 0.2
_SETTINGS = {"enable.auto.commit": False, "auto.offset.reset": "earliest"}


class KafkaDeadLetters:
    """See ``DeadLetters``. What lies there is what the topic still has: taking out is deleting.

    A letter that is redriven is a new message of the topic, with a header that says whose it is:
    our consumers of other groups pass over it.
    """

    def __init__(
        self, url: str, topic: str, group: str, tls_ca_file: Path | None, clock: Clock
    ) -> None:
        self._address = read_kafka_url(url, tls_ca_file)
        self._topics = KafkaTopics(self._address)
        self._writer = KafkaWriter(self._address)
        self._topic, self._dead = topic, dead_topic(topic, group)
        self._again = [(ONE_GROUP, group.encode())]
        self._clock = clock

    async def page(self, limit: int) -> list[DeadLetter]:
        """See ``DeadLetters``."""
        first, end = await asyncio.to_thread(self._bounds)
        _, letters = await asyncio.to_thread(self._read, first, end, limit)
        return letters

    async def redrive(self, rate: float) -> int:
        """See ``DeadLetters``; a crash brings up to a second's worth, or 100, twice."""
        at, end = await asyncio.to_thread(self._bounds)
        count = await asyncio.to_thread(self._topics.ensure, self._topic)
        done: set[str] = set()
        while at < end:
            some = max(1, min(REDRIVEN_AT_ONCE, int(rate)))
            at, letters = await asyncio.to_thread(self._read, at, end, some)
            for letter in letters:
                if letter.id not in done:
                    where = letter.partition % count
                    await self._writer.put(self._topic, where, [(letter.payload, self._again)])
                    done.add(letter.id)
            await asyncio.to_thread(self._topics.delete_before, self._dead, at)
            if at < end:
                await self._clock.sleep(len(letters) / rate)
        return len(done)

    async def purge(self) -> int:
        """See ``DeadLetters``; they are read once more, since a letter may lie there twice."""
        at, end = await asyncio.to_thread(self._bounds)
        known: set[str] = set()
        while at < end:
            at, letters = await asyncio.to_thread(self._read, at, end, READ_AT_ONCE)
            known |= {letter.id for letter in letters}
        if known:
            await asyncio.to_thread(self._topics.delete_before, self._dead, end)
        return len(known)

    async def close(self) -> None:
        """See ``DeadLetters``."""
        await self._writer.close()

    def _bounds(self) -> tuple[int, int]:
        """Where letters begin and end; a topic that is not there has none."""
        if not self._topics.count(self._dead):
            return 0, 0
        return self._topics.bounds(self._dead, 1)[0]

    def _read(self, first: int, end: int, limit: int) -> tuple[int, list[DeadLetter]]:
        """Letters from an offset on, one of each id, and the offset behind the last one read."""
        found: dict[str, DeadLetter] = {}
        at = first
        if first >= end:
            return end, []
        until = time.monotonic() + REQUEST_SECONDS
        with self._reader(first) as client:
            while at < end and len(found) < limit:
                if time.monotonic() > until:
                    raise Unavailable(f"Kafka: {self._dead} is not read to its end")
                for record in client.consume(min(READ_AT_ONCE, limit - len(found)), POLL_SECONDS):
                    if record.error() is None and record.offset() < end:
                        letter = letter_of(record)
                        found.setdefault(letter.id, letter)
                        at = record.offset() + 1
                at = max(at, client.position([TopicPartition(self._dead, 0)])[0].offset)
        return min(at, end), list(found.values())

    @contextmanager
    def _reader(self, first: int) -> Iterator[Client]:
        complaints = Complaints()
        ours = {"group.id": self._dead, **_SETTINGS}
        try:
            client = Client({**self._address.settings, **ours, "error_cb": complaints.hear})
        except KafkaException as error:
            raise complaints.of(error) from error
        try:
            client.assign([TopicPartition(self._dead, 0, first)])
            yield client
        except KafkaException as error:
            raise complaints.of(error) from error
        finally:
            client.close()
