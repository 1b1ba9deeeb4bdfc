"""A queue engine as the contract's tests see it, and how they use one."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import pytest

from common.clock import SystemClock
from common.queue.address import QueueAddress
from common.queue.base import Consumer, DeadLetters, Producer, Subscription
from common.queue.factory import open_consumer, open_dead_letters, open_producer

ROOT = Path(__file__).parents[2]
SOON_SECONDS = 30.0
GROUP = "g"


class Engine(Protocol):
    """A server that runs, killed and started again as the tests say.

    ``not_given`` maps the name of a test to what the engine does not give: the words stand in
    docs/engines.md, and the test is not run. ``visibility_seconds`` is that of the hasty address,
    ``max_deliveries`` is small, ``partitions`` those of a topic that is made by its first use, a
    message of ``too_large`` bytes is not taken.
    """

    name: str
    not_given: Mapping[str, str]
    partitions: int
    visibility_seconds: float
    max_deliveries: int
    too_large: int

    def address(self) -> QueueAddress:
        """Where it is, with credentials that it knows."""

    def hasty_address(self) -> QueueAddress:
        """The same, where a message that nobody settles is another's after a short time."""

    def wrong_address(self) -> QueueAddress:
        """Where nobody listens."""

    def wrong_credentials(self) -> QueueAddress | None:
        """Where it is, with a password ``wrong-password``; None when it asks for none."""

    async def grow(self, topic: str, partitions: int) -> None:
        """Give a topic more partitions, as its operators do."""

    def start(self) -> None:
        """Start it, and return when it answers."""

    def kill(self) -> None:
        """kill -9."""


class Message(NamedTuple):
    """One message of a delivery, with a receipt of its own."""

    partition: int
    offset: int
    attempt: int
    payload: bytes
    receipt: str


class Reader:
    """A consumer whose deliveries are read in the background, and counted."""

    def __init__(self, consumer: Consumer) -> None:
        self.consumer = consumer
        self.most_out = 0
        self._out = 0
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self._pump = asyncio.create_task(self._read())

    @property
    def waiting(self) -> int:
        """Messages that came and were not taken."""
        return self._messages.qsize()

    async def take(self, count: int, seconds: float = SOON_SECONDS) -> list[Message]:
        """The next messages; raises TimeoutError, or what ended the deliveries."""
        found: list[Message] = []
        async with asyncio.timeout(seconds):
            while len(found) < count:
                getting = asyncio.ensure_future(self._messages.get())
                await asyncio.wait({getting, self._pump}, return_when=asyncio.FIRST_COMPLETED)
                if not getting.done():
                    getting.cancel()
                    await self._pump
                    raise AssertionError("the deliveries ended")
                found.append(getting.result())
        return found

    async def ack(self, messages: Sequence[Message]) -> int:
        """Ack, and return how many that settled."""
        self._out -= len(messages)  # before it is answered: the next may come sooner
        settled = await self.consumer.ack([message.receipt for message in messages])
        assert not settled.refused
        return settled.acked

    async def take_and_ack(self, count: int) -> list[Message]:
        """The next messages, each acked as it comes."""
        found: list[Message] = []
        while len(found) < count:
            (message,) = await self.take(1)
            await self.ack([message])
            found.append(message)
        return found

    async def stop(self) -> None:
        """Read no more; the consumer lives on."""
        self._pump.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._pump

    async def _read(self) -> None:
        async for delivery in self.consumer.deliveries():
            self._out += len(delivery.payloads)
            self.most_out = max(self.most_out, self._out)
            for index, receipt in enumerate(delivery.receipts()):
                place = delivery.partition, delivery.offset + index, delivery.attempt
                self._messages.put_nowait(Message(*place, delivery.payloads[index], receipt))


class Client:
    """Producers, consumers and dead letters of one topic of an engine, closed at the end."""

    def __init__(self, engine: Engine, topic: str, hasty: bool = False) -> None:
        self.engine = engine
        self._where = engine.hasty_address() if hasty else engine.address()
        self.topic = topic
        self._open = contextlib.AsyncExitStack()

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def producer(self) -> Producer:
        """A producer that knows its topic."""
        found = open_producer(self._where, SystemClock())
        self._open.push_async_callback(found.close)
        await found.partitions(self.topic)
        return found

    def consumer(
        self, group: str = GROUP, max_in_flight: int = 100, batch: int = 5, name: str = "one"
    ) -> Consumer:
        """A consumer that the test closes itself, or not."""
        wanted = Subscription(self.topic, group, max_in_flight, batch, name)
        found = open_consumer(self._where, wanted, SystemClock())
        self._open.push_async_callback(found.close)
        return found

    def reader(
        self, group: str = GROUP, max_in_flight: int = 100, batch: int = 5, name: str = "one"
    ) -> Reader:
        """A consumer that is read."""
        found = Reader(self.consumer(group, max_in_flight, batch, name))
        self._open.push_async_callback(found.stop)
        return found

    def letters(self, group: str = GROUP) -> DeadLetters:
        """A group's dead letters."""
        found = open_dead_letters(self._where, self.topic, group, SystemClock())
        self._open.push_async_callback(found.close)
        return found


async def send(producer: Producer, topic: str, *payloads: bytes, partition: int = 0) -> None:
    """Send messages, again until the queue takes them; a repeat is the same send."""
    key = payloads[0].hex()[:40] + f"-{partition}-{len(payloads)}"
    async with asyncio.timeout(SOON_SECONDS):
        await producer.send(topic, partition, payloads, key)


@contextlib.asynccontextmanager
async def holder(engine: Engine, topic: str, group: str, wanted: int) -> AsyncIterator[int]:
    """A process that holds ``wanted`` messages of a group unacked; it is killed at the end."""
    where = engine.hasty_address()
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "QUEUE_URL": where.url,
        "SERVICE_TOKEN": where.token.get_secret_value(),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.queue.holder", topic, group, str(wanted)),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(SOON_SECONDS):
            while (line := await process.stdout.readline()) != b"holding\n":
                assert line, "the holder ended"  # it logs, too
        yield process.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        await process.wait()


def run_or_explain(engine: Engine, request: pytest.FixtureRequest) -> None:
    """Skip a test of something that the engine does not give, with the words of its page."""
    name = request.node.originalname
    if name in engine.not_given:
        words = engine.not_given[name]
        page = (ROOT / "docs/engines.md").read_text()
        assert words in " ".join(page.split()), f"docs/engines.md does not say: {words}"
        pytest.skip(f"{engine.name} does not give it: {words}")
