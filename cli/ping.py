"""`telemetry ping`: one message through the queue and back, and a look at the API."""

import asyncio
import secrets
import ssl
import time
from pathlib import Path

from pydantic import SecretStr
from rich.console import Console

from common.errors import TelemetryError
from common.http.tls import client_context
from common.options import Options, Seconds, Token, option
from common.queue.http import HttpConsumer, HttpProducer, open_session, request

GROUP = "ping"
EXIT_FAILED = 1
NO_TOKEN = SecretStr("")  # the API has no use for it


class PingOptions(Options):
    """What is to answer."""

    queue_url: str = option("MSG_QUEUE_ADDR", "http://127.0.0.1:7080", "URL of the proxy.")
    service_token: Token = option(
        "SERVICE_TOKEN", ..., "Shared secret of all services, 16 characters or more.", min_length=16
    )
    api: str = option("API_URL", "", "URL of the API; empty leaves it out.")
    tls_ca_file: Path | None = option(
        "TLS_CA_FILE", None, "CAs (PEM) that the certificates must be of."
    )
    timeout_seconds: Seconds = option("PING_TIMEOUT", 30.0, "How long all of it may take.", gt=0)


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
    """Produce, consume and ack in a topic made for it and deleted after; return the seconds."""
    topic = f"ping-{secrets.token_hex(8)}"
    place = options.queue_url, options.service_token
    tls = client_context(options.tls_ca_file)
    producer = HttpProducer(*place, tls=tls)
    consumer = HttpConsumer(*place, topic, GROUP, max_in_flight=1000, batch=None, tls=tls)
    try:
        began = time.perf_counter()
        await producer.send(topic, 0, [b"ping"])
        async for delivery in consumer.deliveries():
            await consumer.ack([delivery.receipt])
            break
        return time.perf_counter() - began
    finally:
        await producer.close()
        await consumer.close()
        await delete(options, topic, tls)


async def delete(options: PingOptions, topic: str, tls: ssl.SSLContext | None) -> None:
    """Leave nothing behind."""
    place = options.queue_url, options.service_token
    session = open_session(*place, options.timeout_seconds, tls)
    try:
        await request(session, "DELETE", f"/topics/{topic}", params={"kick": "true"})
    finally:
        await session.close()
