"""A producer and a consumer as fast as they get: every message acked."""

import asyncio

import uvloop
from pydantic import SecretStr

from cli.bench.drive import Gate, Work
from cli.tls import believed
from common.queue.base import Consumer, Producer
from common.queue.http import HttpConsumer, HttpProducer

TOPIC, GROUP = "bench", "bench"
MAX_IN_FLIGHT = 20_000
EVENT_MESSAGES = 2_000
ACKED_TOGETHER = 4


def produce(token: str, address: str, work: Work, gate: Gate) -> None:
    """Send everything over HTTP, to a broker or a proxy."""
    uvloop.run(_produce(token, address, work, gate))


async def _produce(token: str, address: str, work: Work, gate: Gate) -> None:
    await produce_with(HttpProducer(address, SecretStr(token), tls=believed()), work, gate)


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


def consume(token: str, address: str, work: Work, gate: Gate) -> None:
    """Receive everything over HTTP, with a receipt for all messages of an event."""
    uvloop.run(_consume(token, address, work, gate))


async def _consume(token: str, address: str, work: Work, gate: Gate) -> None:
    consumer = HttpConsumer(
        address,
        SecretStr(token),
        TOPIC,
        GROUP,
        MAX_IN_FLIGHT,
        EVENT_MESSAGES,
        tls=believed(),
    )
    await consume_with(consumer, work, gate, ACKED_TOGETHER)


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
