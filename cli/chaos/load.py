"""Producers and consumers of the bare queue that go on whatever happens, and tell the oracle."""

import asyncio
import contextlib
import itertools
import random
from collections.abc import Callable

from pydantic import SecretStr

from cli.chaos.oracle import Oracle, Order, payload_of
from cli.chaos.plan import LATE_GROUP, ORDERED_GROUP, RAW_GROUP, RAW_TOPIC
from common.clock import SystemClock
from common.errors import TelemetryError
from common.queue.address import QueueAddress
from common.queue.base import Consumer, Delivery, Producer, Subscription
from common.queue.factory import open_consumer, open_producer
from common.wire import parse_receipt

BATCH = 10
PAUSE_SECONDS = 0.1
RETRY_SECONDS = 0.2
IN_FLIGHT = 200
DELIVERY, ALONE_DELIVERY, LATE_DELIVERY = 20, 200, 500  # a lone reader acks one after the other
ACK_TRIES = 5
KEPT_SHARE = 0.02
NAME = "chaos"
FIRST_LATE_SECONDS = 20.0
LATE_SECONDS = (2.0, 8.0)
LATE_READS_SECONDS = 10.0


class Load:
    """One producer and one consumer a proxy, and one of each that goes straight to the brokers.

    They share a group, in which a few deliveries are kept without an ack. Another consumer is alone
    in a group of its own and looks at the order. A third group reads now and then: what the brokers
    forget, it never sees. ``is_listed`` says whether a broker is one of those that proxies know.
    """

    def __init__(
        self,
        proxy_urls: list[str],
        token: str,
        partitions: int,
        oracle: Oracle,
        seed: int,
        is_listed: Callable[[str], bool],
    ) -> None:
        self.order = Order()
        self._clock = clock = SystemClock()
        secret = SecretStr(token)
        self._last = QueueAddress(proxy_urls[-1], secret)
        ways = [(url, False) for url in proxy_urls] + [(proxy_urls[0], True)]
        self._oracle = oracle
        self._partitions = partitions
        self._is_listed = is_listed
        self._rng = random.Random(seed)  # noqa: S311  no secret
        places = [QueueAddress(url, secret, direct=direct) for url, direct in ways]
        self._producers = [open_producer(where, clock) for where in places]
        self._consumers = [
            open_consumer(
                where, Subscription(RAW_TOPIC, RAW_GROUP, IN_FLIGHT, DELIVERY, NAME), clock
            )
            for where in places
        ]
        self._alone = self._open(ORDERED_GROUP, ALONE_DELIVERY)
        self._late = self._open(LATE_GROUP, LATE_DELIVERY)
        self._sending: list[asyncio.Task[None]] = []
        self._receiving: list[asyncio.Task[None]] = []
        self._stop = asyncio.Event()
        self._keeping = True
        self._hurry = asyncio.Event()

    def start(self) -> None:
        """Begin to send and to receive."""
        for number in range(len(self._producers)):
            self._sending.append(asyncio.create_task(self._send(number)))
        for consumer in self._consumers:
            self._receiving.append(asyncio.create_task(self._receive(consumer)))
        self._receiving.append(asyncio.create_task(self._watch()))
        self._receiving.append(asyncio.create_task(self._come_late()))

    def hurry(self) -> None:
        """Ack everything from now on, and read all the time."""
        self._keeping = False
        self._hurry.set()

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
        for consumer in [*self._consumers, self._alone, self._late]:
            await consumer.close()

    async def _send(self, number: int) -> None:
        for turn in itertools.count():
            if self._stop.is_set():
                return
            names = [f"{number}-{turn}-{n}" for n in range(BATCH)]
            self._oracle.tried.update(names)
            partition = self._rng.randrange(self._partitions)
            await self._until_stored(number, f"{number}-{turn}", partition, names)
            self._oracle.stored.update(names)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _until_stored(self, first: int, key: str, partition: int, names: list[str]) -> None:
        """Send a batch until it is answered, each time by way of the next client."""
        payloads = [payload_of(name) for name in names]
        for number in itertools.count(first):
            producer: Producer = self._producers[number % len(self._producers)]
            try:
                await producer.send(RAW_TOPIC, partition, payloads, key)
            except TelemetryError as error:
                await wait_or_raise(error)
            else:
                return

    async def _receive(self, consumer: Consumer) -> None:
        async for delivery in consumer.deliveries():
            names = [self._oracle.deliver(payload) for payload in delivery.payloads]
            if self._keeping and self._rng.random() < KEPT_SHARE:
                self._oracle.keep(names)
            elif await self._ack(consumer, delivery):
                self._oracle.settled.update(names)

    async def _watch(self) -> None:
        async for delivery in self._alone.deliveries():
            names = [payload.partition(b":")[0].decode() for payload in delivery.payloads]
            broker = parse_receipt(delivery.receipt).broker
            self.order.look(broker, delivery.partition, delivery.offset, delivery.attempt, names)
            await self._ack(self._alone, delivery)

    async def _come_late(self) -> None:
        """Read for a moment, stay away, and so on; for ever once it is time to hurry."""
        await self._stay_away(FIRST_LATE_SECONDS)
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if self._hurry.is_set() else LATE_READS_SECONDS):
                    async for delivery in self._late.deliveries():
                        for payload in delivery.payloads:
                            self._oracle.deliver_late(payload)
                        await self._ack(self._late, delivery)
            await self._stay_away(self._rng.uniform(*LATE_SECONDS))

    async def _stay_away(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hurry.wait()

    def _open(self, group: str, delivery: int) -> Consumer:
        """A consumer through the last proxy, alone in its group."""
        wanted = Subscription(RAW_TOPIC, group, 10 * delivery, delivery, NAME)
        return open_consumer(self._last, wanted, self._clock)

    async def _ack(self, consumer: Consumer, delivery: Delivery) -> bool:
        """Ack a delivery; whether it was this consumer's to ack."""
        for _ in range(ACK_TRIES):
            try:
                settled = await consumer.ack([delivery.receipt])
            except TelemetryError as error:
                await wait_or_raise(error)
            else:
                for receipt, why in settled.refused.items():
                    self._oracle.refuse(why, self._is_listed(parse_receipt(receipt).broker))
                return not settled.refused
        return False


async def wait_or_raise(error: TelemetryError) -> None:
    """Wait a moment before a request is repeated; one that may not be is a defect."""
    if error.retry_after_seconds is None:
        raise error
    await asyncio.sleep(RETRY_SECONDS)
