"""What a proxy adds: ``python -m benchmarks.through``.

Two broker processes with their default durability (fsync before the answer) and a proxy process.
One message at a time: how long until its produce is answered, and until its event is with a
consumer that waits; straight to a broker, through the proxy, and with the direct client, in turns.
"""

import argparse
import asyncio
import contextlib
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
from pydantic import SecretStr

from common.clock import SystemClock
from common.queue.base import Producer
from common.queue.direct import DirectProducer
from common.queue.http import HttpConsumer, HttpProducer

ROOT = Path(__file__).parents[1]
TOKEN = SecretStr("a-token-for-benchmarks-only")
TOPIC = "through"
BROKERS = 2
SIZE = 300
READY_SECONDS = 20.0
LOOK_SECONDS = 0.05
PAUSE_SECONDS = 0.002
LONGEST_SECONDS = 10.0


@contextlib.contextmanager
def service(name: str, environment: dict[str, str]) -> Iterator[str]:
    """A service process on a free port: its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    secret = {"SERVICE_TOKEN": TOKEN.get_secret_value(), "LOG_LEVEL": "warning"}
    process = subprocess.Popen(
        [sys.executable, "-m", name],
        cwd=ROOT,
        env=os.environ | secret | environment | {"PORT": str(port)},
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


async def until_ready(url: str) -> None:
    """Return when a service takes requests."""
    async with asyncio.timeout(READY_SECONDS), aiohttp.ClientSession() as session:
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(url + "/ready") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(LOOK_SECONDS)


class Way:
    """A producer and a consumer by one way; one message is under way at a time."""

    def __init__(self, name: str, producer: Producer, consume_from: str) -> None:
        self.name = name
        self.answered: list[float] = []
        self.seen: list[float] = []
        self.producer = producer
        group = name.replace(" ", "-")
        self.consumer = HttpConsumer(consume_from, TOKEN, TOPIC, group, 1000, 1)
        self._arrivals: dict[bytes, asyncio.Future[float]] = {}

    async def read(self) -> None:
        """Receive and ack for ever."""
        async for delivery in self.consumer.deliveries():
            now = time.perf_counter()
            for payload in delivery.payloads:
                waiting = self._arrivals.pop(payload, None)
                if waiting is not None:
                    waiting.set_result(now)
            await self.consumer.ack([delivery.receipt])

    async def send(self, number: int, partition: int) -> None:
        """One message, and both of its times."""
        payload = f"{self.name} {number} ".encode().ljust(SIZE, b"x")
        arrival = self._arrivals[payload] = asyncio.get_running_loop().create_future()
        began = time.perf_counter()
        await self.producer.send(TOPIC, partition, [payload])
        self.answered.append(time.perf_counter() - began)
        async with asyncio.timeout(LONGEST_SECONDS):
            self.seen.append(await arrival - began)

    async def close(self) -> None:
        """Let go of every connection."""
        await self.producer.close()
        await self.consumer.close()


async def measure(broker: str, proxy: str, messages: int) -> list[Way]:
    """Send ``messages`` by each way, the ways in turns."""
    straight = HttpProducer(broker, TOKEN)
    direct = DirectProducer(proxy, TOKEN, SystemClock())
    ways = [
        Way("straight to a broker", straight, broker),
        Way("through the proxy", HttpProducer(proxy, TOKEN), proxy),
        Way("direct client", direct, proxy),
    ]
    partitions = await direct.partitions(TOPIC)
    await straight.partitions(TOPIC)
    readers = [asyncio.create_task(way.read()) for way in ways]
    try:
        for number in range(messages):
            for way in ways:
                await way.send(number, number % partitions)
                await asyncio.sleep(PAUSE_SECONDS)
    finally:
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
        for way in ways:
            await way.close()
    return ways


def row(name: str, times: list[float]) -> str:
    """Median, 99 % and longest in milliseconds."""
    ordered = sorted(times)
    at_99 = ordered[min(len(ordered) * 99 // 100, len(ordered) - 1)]
    found = (statistics.median(ordered), at_99, ordered[-1])
    return f"| {name} | " + " | ".join(f"{seconds * 1000:.2f}" for seconds in found) + " |"


async def run(broker_urls: list[str], proxy_url: str, messages: int) -> None:
    """Wait for the processes, measure, print."""
    for url in [*broker_urls, proxy_url]:
        await until_ready(url)
    ways = await measure(broker_urls[0], proxy_url, messages)
    print("| one message at a time, ms | median | 99 % | longest |")
    print("| --- | --- | --- | --- |")
    for way in ways:
        print(row(f"{way.name}: answered", way.answered[messages // 10 :]))
        print(row(f"{way.name}: event seen", way.seen[messages // 10 :]))


def main() -> None:
    """Start the processes and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=1000)
    given = parser.parse_args()
    directory = Path(tempfile.mkdtemp(dir=ROOT, prefix=".bench-"))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, directory)
        urls = [
            stack.enter_context(
                service(
                    "broker",
                    {"DATA_DIR": str(directory / str(n)), "BROKER_NAME": f"broker-{n}"},
                )
            )
            for n in range(BROKERS)
        ]
        listed = ",".join(f"broker-{n}={url}" for n, url in enumerate(urls))
        proxy = stack.enter_context(service("proxy", {"BROKERS": listed}))
        asyncio.run(run(urls, proxy, given.messages))


if __name__ == "__main__":
    main()
