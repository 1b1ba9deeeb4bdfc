"""`telemetry ping`: one message through the queue and back, and a look at the API."""

import asyncio
import secrets
import time

from pydantic import SecretStr
from rich.console import Console

from cli.ping_options import PingOptions
from common.clock import SystemClock
from common.errors import TelemetryError
from common.http.tls import client_context
from common.queue.address import QueueAddress
from common.queue.base import Consumer, Producer, Subscription
from common.queue.factory import open_consumer, open_producer
from common.queue.http import open_session, request
from common.queue.options import queue_address

GROUP = "ping"
ENGINE_TOPIC = "telemetry-ping"
AGAIN_SECONDS = 2.0
EXIT_FAILED = 1
NO_TOKEN = SecretStr("")  # the API has no use for it


def run_ping(options: PingOptions) -> int:
    """Try it and say how long it took; return the exit code."""
    try:
        lines = asyncio.run(ping(options))
    except (TelemetryError, TimeoutError) as error:
        reason = str(error) or f"no answer within {options.timeout_seconds:g} s"
        Console(stderr=True, highlight=False).print(f"error: {reason}", style="red", markup=False)
        return EXIT_FAILED
    Console(highlight=False, soft_wrap=True).print("\n".join(lines), markup=False)
    return 0


async def ping(options: PingOptions) -> list[str]:
    """A line for everything that answered; raises TelemetryError or TimeoutError."""
    async with asyncio.timeout(options.timeout_seconds):
        lines = [f"queue  a message there and back in {await round_trip(options) * 1000:.1f} ms"]
        if options.api:
            tls = client_context(options.tls_ca_file)
            session = open_session(options.api, NO_TOKEN, options.timeout_seconds, tls)
            try:
                await request(session, "GET", "/ready")
            finally:
                await session.close()
            lines.append("api    ready")
    return lines


async def round_trip(options: PingOptions) -> float:
    """Produce, consume and ack; return the seconds.

    Our own brokers get a topic for it that is deleted after; an engine keeps one for all pings.
    """
    where = queue_address(options)
    topic = ENGINE_TOPIC if where.engine else f"ping-{secrets.token_hex(8)}"
    clock = SystemClock()
    producer = open_producer(where, clock)
    consumer = open_consumer(where, Subscription(topic, GROUP, 1000, 1, GROUP), clock)
    try:
        began = time.perf_counter()
        await there_and_back(producer, consumer, topic)
        return time.perf_counter() - began
    finally:
        await producer.close()
        await consumer.close()
        if where.engine is None:
            await delete(where, topic, options.timeout_seconds)


async def there_and_back(producer: Producer, consumer: Consumer, topic: str) -> None:
    """Send a message until it comes; what others pinged before is acked on the way."""
    word = f"ping {secrets.token_hex(8)}".encode()
    if topic == ENGINE_TOPIC:
        await producer.partitions(topic)
    await producer.send(topic, 0, [word])
    again = asyncio.create_task(send_again(producer, topic, word))
    try:
        async for delivery in consumer.deliveries():
            await consumer.ack([delivery.receipt])
            if word in delivery.payloads:
                break
    finally:
        again.cancel()
        await asyncio.gather(again, return_exceptions=True)


async def send_again(producer: Producer, topic: str, word: bytes) -> None:
    """Now and then, should another ping have taken it."""
    while True:
        await asyncio.sleep(AGAIN_SECONDS)
        await producer.send(topic, 0, [word])


async def delete(where: QueueAddress, topic: str, seconds: float) -> None:
    """Leave nothing behind."""
    session = open_session(where.url, where.token, seconds, client_context(where.tls_ca_file))
    try:
        await request(session, "DELETE", f"/topics/{topic}", params={"kick": "true"})
    finally:
        await session.close()
