"""Producers and consumers that go on whatever happens, and tell the oracle."""

import asyncio
import itertools
import random

from pydantic import SecretStr

from common.clock import SystemClock
from common.errors import TelemetryError
from common.queue.address import QueueAddress
from common.queue.base import Consumer, Delivery, Producer
from common.queue.factory import open_consumer, open_producer
from tests.chaos.fleet import TOPIC
from tests.chaos.oracle import Oracle, payload_of
from tests.support.client import TOKEN

GROUP = "g"
PARTITIONS = 8
BATCH = 20
PAUSE_SECONDS = 0.05
RETRY_SECONDS = 0.2
IN_FLIGHT = 200
ACK_TRIES = 5

SECRET = SecretStr(TOKEN)


class Load:
    """One producer and one consumer a proxy, and one of each that goes straight to the brokers."""

    def __init__(self, proxy_urls: list[str], oracle: Oracle, seed: int) -> None:
        clock = SystemClock()
        ways = [(url, False) for url in proxy_urls] + [(proxy_urls[0], True)]
        self._oracle = oracle
        self._rng = random.Random(seed)
        places = [QueueAddress(url, SECRET, direct=direct) for url, direct in ways]
        self._producers = [open_producer(where, clock) for where in places]
        self._consumers = [
            open_consumer(where, TOPIC, GROUP, IN_FLIGHT, 20, "c", clock) for where in places
        ]
        self._sending: list[asyncio.Task[None]] = []
        self._receiving: list[asyncio.Task[None]] = []
        self._stop = asyncio.Event()

    def start(self) -> None:
        """Begin to send and to receive."""
        for number in range(len(self._producers)):
            self._sending.append(asyncio.create_task(self._send(number)))
        for consumer in self._consumers:
            self._receiving.append(asyncio.create_task(self._receive(consumer)))

    async def stop_sending(self) -> None:
        """Let every send end that is under way; raises what broke a task."""
        self._stop.set()
        await asyncio.gather(*self._sending)

    def check(self) -> None:
        """Raise what broke a consumer."""
        for task in self._receiving:
            if task.done():
                task.result()

    async def close(self) -> None:
        """End everything."""
        for task in [*self._sending, *self._receiving]:
            task.cancel()
        await asyncio.gather(*self._sending, *self._receiving, return_exceptions=True)
        for producer in self._producers:
            await producer.close()
        for consumer in self._consumers:
            await consumer.close()

    async def _send(self, number: int) -> None:
        for turn in itertools.count():
            if self._stop.is_set():
                return
            names = [f"{number}-{turn}-{n}" for n in range(BATCH)]
            self._oracle.tried.update(names)
            partition = self._rng.randrange(PARTITIONS)
            await self._until_stored(number, f"{number}-{turn}", partition, names)
            self._oracle.stored.update(names)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _until_stored(self, first: int, key: str, partition: int, names: list[str]) -> None:
        """Send a batch until it is answered, each time by way of the next client."""
        payloads = [payload_of(name) for name in names]
        for number in itertools.count(first):
            producer: Producer = self._producers[number % len(self._producers)]
            try:
                await producer.send(TOPIC, partition, payloads, key)
            except TelemetryError as error:
                if error.retry_after_seconds is None:
                    raise
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return

    async def _receive(self, consumer: Consumer) -> None:
        async for delivery in consumer.deliveries():
            for payload in delivery.payloads:
                self._oracle.deliver(payload)
            await self._ack(consumer, delivery)

    async def _ack(self, consumer: Consumer, delivery: Delivery) -> None:
        for _ in range(ACK_TRIES):
            try:
                settled = await consumer.ack([delivery.receipt])
            except TelemetryError as error:
                if error.retry_after_seconds is None:
                    raise
                await asyncio.sleep(RETRY_SECONDS)
            else:
                self._oracle.refused.update(settled.refused.values())
                return
