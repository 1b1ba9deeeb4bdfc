"""One broker of this project: fsync before each answer, every message acked."""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import aiohttp
import uvloop
from pydantic import SecretStr

from benchmarks.harness import Contender
from cli.bench import clients
from cli.bench.clients import EVENT_MESSAGES, GROUP, MAX_IN_FLIGHT, TOPIC, consume_with
from cli.bench.drive import Gate, Server, Work
from common.queue.http import HttpConsumer

ROOT = Path(__file__).parents[1]
TOKEN = SecretStr("a-token-for-benchmarks-only")
SINGLES_ACKED_TOGETHER = 1_000
READY_LOOKS = 400
LOOK_SECONDS = 0.05

produce = partial(clients.produce, TOKEN.get_secret_value())
consume = partial(clients.consume, TOKEN.get_secret_value())


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
