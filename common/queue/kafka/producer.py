"""Sending to Kafka: idempotent, acknowledged by every replica in sync."""

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from confluent_kafka import KafkaException
from confluent_kafka import Producer as Client

from common import ndjson
from common.clock import Clock
from common.errors import TelemetryError, TooLarge
from common.queue.base import Produced
from common.queue.kafka.settings import Complaints, KafkaAddress, read_kafka_url
from common.queue.kafka.topics import KafkaTopics

POLL_SECONDS = 0.1
GIVE_UP_MS = 30_000  # then the caller, who knows whether to go on, sends again
FULL_SECONDS = 0.01
CLOSE_SECONDS = 3.0
LINGER_MS = 2
PLACE = "kafka"
DURABILITY = "disk"

Headers = Sequence[tuple[str, bytes]]

_SETTINGS = {
    "acks": "all",
    "enable.idempotence": True,
}
_DEFAULTS = {"linger.ms": LINGER_MS, "delivery.timeout.ms": GIVE_UP_MS}


class KafkaWriter:
    """Puts records into partitions; a thread of its own hears what became of them."""

    def __init__(self, address: KafkaAddress) -> None:
        self._address = address
        self._complaints = Complaints()
        self._running: _Running | None = None

    async def put(
        self, topic: str, partition: int, records: Sequence[tuple[bytes, Headers | None]]
    ) -> int:
        """Return the first record's offset once all are acknowledged; raises a TelemetryError."""
        if any(len(value) > self._address.record_bytes for value, _ in records):
            raise TooLarge(
                f"Kafka: a message is over message.max.bytes, {self._address.record_bytes}"
            )
        client = self._open()
        sending = _Sending(asyncio.get_running_loop(), len(records))
        for value, headers in records:
            given = {"headers": headers} if headers else {}
            while True:
                try:
                    client.produce(
                        topic, value, partition=partition, on_delivery=sending.hear, **given
                    )
                    break
                except BufferError:
                    await asyncio.sleep(FULL_SECONDS)
                except KafkaException as refusal:
                    raise self._failed(refusal.args[0]) from refusal
        error = await sending.done
        if error is not None:
            raise self._failed(error)
        return sending.offset

    async def close(self) -> None:
        """Give what is under way a moment, then let go."""
        if self._running is not None:
            running, self._running = self._running, None
            await asyncio.to_thread(_close, running)

    def _open(self) -> Client:
        if self._running is None:
            settings = {**_DEFAULTS, **self._address.settings, **_SETTINGS}
            try:
                client = Client({**settings, "error_cb": self._complaints.hear})
            except KafkaException as error:
                raise self._complaints.of(error) from error
            closing = threading.Event()
            thread = threading.Thread(
                target=_listen, args=(client, closing), name="kafka", daemon=True
            )
            thread.start()
            self._running = _Running(client, thread, closing)
        return self._running.client

    def _failed(self, error: Any) -> TelemetryError:
        """What went wrong; a client that cannot go on is replaced at the next send."""
        if error.fatal() and self._running is not None:
            self._running.closing.set()
            self._running = None
        return self._complaints.of(error)


class _Running(NamedTuple):
    """A client, and the thread that hears it until it is told that all is over."""

    client: Client
    thread: threading.Thread
    closing: threading.Event


def _close(running: _Running) -> None:
    running.client.flush(CLOSE_SECONDS)
    running.client.purge()
    running.closing.set()
    running.thread.join(CLOSE_SECONDS)


class _Sending:
    """Records of one send that are not acknowledged yet; ``hear`` is called in another thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, count: int) -> None:
        self.done: asyncio.Future[Any] = loop.create_future()
        self.offset = -1
        self._loop = loop
        self._left = count
        self._error: Any = None

    def hear(self, error: Any, message: Any) -> None:
        """The callback ``on_delivery``, in the order of the records."""
        if error is not None:
            self._error = self._error or error
        elif self.offset < 0:
            self.offset = message.offset()
        self._left -= 1
        if not self._left:
            self._loop.call_soon_threadsafe(self._finish)

    def _finish(self) -> None:
        if not self.done.done():
            self.done.set_result(self._error)


def _listen(client: Client, closing: threading.Event) -> None:
    while not closing.is_set():
        client.poll(POLL_SECONDS)


class KafkaProducer:
    """See ``Producer``. A topic's partitions are Kafka's own, and so are offsets.

    No idempotency key: librdkafka repeats what is under way without doubling it, and a send that is
    made again, after an error or a restart, is stored again.
    """

    def __init__(self, url: str, tls_ca_file: Path | None, clock: Clock) -> None:
        address = read_kafka_url(url, tls_ca_file)
        self._topics = KafkaTopics(address)
        self._writer = KafkaWriter(address)

    async def partitions(self, topic: str) -> int:
        """See ``Producer``."""
        return await asyncio.to_thread(self._topics.ensure, topic)

    async def send(
        self, topic: str, partition: int, payloads: Sequence[bytes], idempotency_key: str = ""
    ) -> Produced:
        """See ``Producer``."""
        ndjson.check(payloads)
        offset = await self._writer.put(topic, partition, [(each, None) for each in payloads])
        name = f"{PLACE}:{partition}:{offset}"
        return Produced(name, topic, partition, offset, len(payloads), DURABILITY)

    async def close(self) -> None:
        """See ``Producer``."""
        await self._writer.close()
