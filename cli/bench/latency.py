"""How long a message is under way, at an even rate of single messages.

Each message says when it was due: one that is sent late is late, and its wait counts.
"""

import asyncio
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from threading import Barrier
from typing import NamedTuple

import uvloop
from pydantic import SecretStr

from cli.bench.clients import GROUP, TOPIC
from cli.tls import believed
from common.queue.http import HttpConsumer, HttpProducer

SIZE = 300
LEAD_SECONDS = 0.5
START_SECONDS = 60.0
LATE_SECONDS = 60.0
MAX_IN_FLIGHT = 10_000
EVENT_MESSAGES = 100
ACKED_TOGETHER = 50

Times = list[float]


class Pace(NamedTuple):
    """So many messages a second for so long, once both sides have passed ``barrier``."""

    rate: int
    seconds: int
    barrier: Barrier


class Latencies(NamedTuple):
    """Seconds of every message: until the produce was answered, and until a consumer had it."""

    answered: Times
    delivered: Times


def percentile(times: Times, percent: float) -> float:
    """The time that so many of them do not exceed."""
    ordered = sorted(times)
    return ordered[min(int(len(ordered) * percent / 100), len(ordered) - 1)]


def measure_latency(address: str, token: str, rate: int, seconds: int) -> Latencies:
    """Run a producer and a consumer process; blocks.

    CLOCK_MONOTONIC is one clock for all processes of a machine.
    """
    context = multiprocessing.get_context("spawn")
    with context.Manager() as shared, ProcessPoolExecutor(2, context) as processes:
        pace = Pace(rate, seconds, shared.Barrier(2))
        sides = [processes.submit(side, address, token, pace) for side in (produce, consume)]
        return Latencies(*(side.result(START_SECONDS + seconds + LATE_SECONDS) for side in sides))


def produce(address: str, token: str, pace: Pace) -> Times:
    """The body of the producer process."""
    return uvloop.run(_produce(address, token, pace))


def consume(address: str, token: str, pace: Pace) -> Times:
    """The body of the consumer process."""
    return uvloop.run(_consume(address, token, pace))


async def _produce(address: str, token: str, pace: Pace) -> Times:
    producer = HttpProducer(address, SecretStr(token), tls=believed())
    partitions = await producer.partitions(TOPIC)
    taken: Times = []
    filler = b"x" * SIZE
    await asyncio.to_thread(pace.barrier.wait, START_SECONDS)
    begin = time.perf_counter() + LEAD_SECONDS

    async def send(number: int, due: float) -> None:
        await producer.send(TOPIC, number % partitions, [(b"%.6f " % due + filler)[:SIZE]])
        taken.append(time.perf_counter() - due)

    async with asyncio.TaskGroup() as sends:
        for number in range(pace.rate * pace.seconds):
            due = begin + number / pace.rate
            ahead = due - time.perf_counter()
            if ahead > 0:
                await asyncio.sleep(ahead)
            sends.create_task(send(number, due))
    await producer.close()
    return taken


async def _consume(address: str, token: str, pace: Pace) -> Times:
    consumer = HttpConsumer(
        address,
        SecretStr(token),
        TOPIC,
        GROUP,
        MAX_IN_FLIGHT,
        EVENT_MESSAGES,
        tls=believed(),
    )
    taken: Times = []
    receipts: list[str] = []
    messages = pace.rate * pace.seconds
    await asyncio.to_thread(pace.barrier.wait, START_SECONDS)
    async with asyncio.TaskGroup() as acks:
        async for delivery in consumer.deliveries():
            now = time.perf_counter()
            taken += [now - float(payload.split(b" ", 1)[0]) for payload in delivery.payloads]
            receipts.append(delivery.receipt)
            if len(receipts) == ACKED_TOGETHER or len(taken) == messages:
                acks.create_task(consumer.ack(receipts))
                receipts = []
            if len(taken) == messages:
                break
    await consumer.close()
    return taken
