"""One broker of this project: fsync before each answer, every message acked."""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import aiohttp
import uvloop
from pydantic import SecretStr

from benchmarks.harness import Contender, Gate, Server, Work
from common.queue.base import Consumer, Producer
from common.queue.http import HttpConsumer, HttpProducer

ROOT = Path(__file__).parents[1]
TOKEN = SecretStr("a-token-for-benchmarks-only")
TOPIC, GROUP = "bench", "bench"
MAX_IN_FLIGHT = 20_000
EVENT_MESSAGES = 2_000
ACKED_TOGETHER = 4
SINGLES_ACKED_TOGETHER = 1_000
READY_LOOKS = 400
LOOK_SECONDS = 0.05


def produce(address: str, work: Work, gate: Gate) -> None:
    """See ``Client``."""
    uvloop.run(_produce(address, work, gate))


async def _produce(address: str, work: Work, gate: Gate) -> None:
    await produce_with(HttpProducer(address, TOKEN), work, gate)


async def produce_with(producer: Producer, work: Work, gate: Gate) -> None:
    """Send everything, so many requests at a time, to the partitions in turn."""
    partitions = await producer.partitions(TOPIC)
    payloads = [work.payload()] * work.batch
    gate()

    async def lane(first: int) -> None:
        for number in range(first, work.messages // work.batch, work.lanes):
            await producer.send(TOPIC, number % partitions, payloads)

    await asyncio.gather(*(lane(first) for first in range(work.lanes)))
    await producer.close()


def consume(address: str, work: Work, gate: Gate) -> None:
    """See ``Client``: with a receipt for all messages of an event."""
    uvloop.run(_consume(address, work, gate, EVENT_MESSAGES, ACKED_TOGETHER))


def consume_singly(address: str, work: Work, gate: Gate) -> None:
    """See ``Client``: with a receipt for each message."""
    uvloop.run(_consume(address, work, gate, EVENT_MESSAGES, SINGLES_ACKED_TOGETHER))


def consume_event_by_event(address: str, work: Work, gate: Gate) -> None:
    """See ``Client``: each message in an event of its own, with its receipt."""
    uvloop.run(_consume(address, work, gate, None, SINGLES_ACKED_TOGETHER))


async def _consume(
    address: str, work: Work, gate: Gate, batch: int | None, acked_together: int
) -> None:
    consumer = HttpConsumer(address, TOKEN, TOPIC, GROUP, MAX_IN_FLIGHT, batch)
    await consume_with(consumer, work, gate, acked_together)


async def consume_with(consumer: Consumer, work: Work, gate: Gate, acked_together: int) -> None:
    """Receive until every message is acked, by so many receipts in a request.

    More than a few are receipts of single messages.
    """
    singly = acked_together > ACKED_TOGETHER
    gate()
    receipts: list[str] = []
    received = acked = 0
    async for delivery in consumer.deliveries():
        received += len(delivery.payloads)
        receipts += delivery.receipts() if singly else [delivery.receipt]
        if len(receipts) >= acked_together or received == work.messages:
            acked += (await consumer.ack(receipts)).acked
            receipts = []
        if acked == work.messages:
            break
    await consumer.close()


@contextlib.contextmanager
def python_server(command: Sequence[str], environment: dict[str, str]) -> Iterator[Server]:
    """A process of ours that answers ``/ready``; ``environment`` is added to its own."""
    port = free_port()
    given = os.environ | environment | {"PORT": str(port)}
    process = subprocess.Popen([sys.executable, *command], cwd=ROOT, env=given)
    try:
        address = f"http://127.0.0.1:{port}"
        asyncio.run(until_ready(address))
        yield Server(address, (process.pid,))
    finally:
        process.terminate()
        process.wait()


def start_broker(directory: Path) -> contextlib.AbstractContextManager[Server]:
    """A broker with its defaults."""
    environment = {
        "DATA_DIR": str(directory),
        "SERVICE_TOKEN": TOKEN.get_secret_value(),
        "LOG_LEVEL": "warning",
    }
    return python_server(["-m", "broker"], environment)


async def until_ready(address: str) -> None:
    """Return when a server takes requests."""
    async with aiohttp.ClientSession() as session:
        for _ in range(READY_LOOKS):
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(address + "/ready") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(LOOK_SECONDS)
    raise TimeoutError("the server does not get ready")


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


OURS = Contender("telemetry-stack", start_broker, produce, consume)
SINGLY = "telemetry-stack, a receipt a message"
OURS_SINGLY = Contender(SINGLY, start_broker, produce, consume_singly)
EVENTS = "telemetry-stack, an event a message"
OURS_EVENTS = Contender(EVENTS, start_broker, produce, consume_event_by_event)
