"""How fast one broker carries messages: ``python -m benchmarks.queue``.

A broker process with its default durability (fsync before the answer), a producer process and a
consumer process that use the project's own client. Every message is acked. The time runs from the
first produce to the last ack; CPU seconds are those of all three processes, their start included.
"""

import argparse
import asyncio
import contextlib
import os
import platform
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
from pydantic import SecretStr

from common.queue.http import HttpConsumer, HttpProducer

ROOT = Path(__file__).parents[1]
TOKEN = SecretStr("a-token-for-benchmarks-only")
TOPIC, GROUP = "bench", "bench"
SENDS_IN_FLIGHT = 4
MAX_IN_FLIGHT = 20_000
EVENT_MESSAGES = 2_000
ACKED_TOGETHER = 4
READY_LOOKS = 200
LOOK_SECONDS = 0.05
LIMIT_SECONDS = 300
JSON_AROUND = len('{"value":""}')


async def produce(url: str, messages: int, size: int, batch: int) -> None:
    """Send all messages in requests of ``batch``, spread over the partitions."""
    producer = HttpProducer(url, TOKEN)
    partitions = await producer.partitions(TOPIC)
    print(time.time(), flush=True)
    payloads = [b'{"value":"' + b"x" * (size - JSON_AROUND) + b'"}'] * batch

    async def lane(first: int) -> None:
        for number in range(first, messages // batch, SENDS_IN_FLIGHT):
            await producer.send(TOPIC, number % partitions, payloads)

    await asyncio.gather(*(lane(first) for first in range(SENDS_IN_FLIGHT)))
    await producer.close()


async def consume(url: str, messages: int) -> None:
    """Receive and ack until every message is acked."""
    consumer = HttpConsumer(url, TOKEN, TOPIC, GROUP, MAX_IN_FLIGHT, EVENT_MESSAGES)
    receipts: list[str] = []
    received = acked = 0
    async for delivery in consumer.deliveries():
        received += len(delivery.payloads)
        receipts.append(delivery.receipt)
        if len(receipts) == ACKED_TOGETHER or received == messages:
            acked += (await consumer.ack(receipts)).acked
            receipts = []
        if acked == messages:
            break
    print(time.time(), flush=True)
    await consumer.close()


@contextlib.contextmanager
def broker(data_dir: Path) -> Iterator[tuple[str, int]]:
    """A broker process: its URL and process id."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {
        "PORT": str(port),
        "DATA_DIR": str(data_dir),
        "SERVICE_TOKEN": TOKEN.get_secret_value(),
        "LOG_LEVEL": "warning",
    }
    process = subprocess.Popen([sys.executable, "-m", "broker"], cwd=ROOT, env=environment)
    try:
        url = f"http://127.0.0.1:{port}"
        asyncio.run(until_ready(url))
        yield url, process.pid
    finally:
        process.terminate()
        process.wait()


async def until_ready(url: str) -> None:
    """Return when the broker takes requests."""
    async with aiohttp.ClientSession() as session:
        for _ in range(READY_LOOKS):
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(url + "/ready") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(LOOK_SECONDS)
    raise TimeoutError("the broker does not get ready")


def cpu_of(pid: int) -> float:
    """CPU seconds a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(messages: int, size: int, batch: int) -> str:
    """One run; returns its row of the table."""
    directory = Path(tempfile.mkdtemp(dir=ROOT, prefix=".bench-"))
    try:
        with broker(directory) as (url, pid):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            seconds = run_clients(url, ["--messages", messages, "--size", size, "--batch", batch])
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            clients = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            cpu = cpu_of(pid) + clients
    finally:
        shutil.rmtree(directory)
    rate, cost = messages / seconds, cpu / messages * 1e6
    return f"| {size} | {batch} | {messages:,} | {rate:,.0f} | {cost:.1f} |"


def run_clients(url: str, sizes: list[str | int]) -> float:
    """Run producer and consumer side by side; return seconds from first produce to last ack."""
    command = [sys.executable, "-m", "benchmarks.queue", "--url", url, *map(str, sizes)]
    children = [
        subprocess.Popen([*command, "--role", role], cwd=ROOT, stdout=subprocess.PIPE)
        for role in ("produce", "consume")
    ]
    moments = [child.communicate(timeout=LIMIT_SECONDS)[0] for child in children]
    if any(child.returncode for child in children):
        raise RuntimeError("a client failed")
    began, ended = map(float, moments)
    return ended - began


def read_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=500_000)
    parser.add_argument("--size", type=int, default=300, help="bytes a message")
    parser.add_argument("--batch", type=int, default=1000, help="messages a request")
    parser.add_argument("--role", choices=["produce", "consume"], help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Measure, or be one of the two clients."""
    given = read_arguments()
    if given.role == "produce":
        asyncio.run(produce(given.url, given.messages, given.size, given.batch))
    elif given.role == "consume":
        asyncio.run(consume(given.url, given.messages))
    else:
        print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
        print("| bytes | a request | messages | messages/s | CPU s a million |")
        print("| --- | --- | --- | --- | --- |")
        print(measure(given.messages, given.size, given.batch))


if __name__ == "__main__":
    main()
