"""What the proxy costs: ``python -m benchmarks.cluster``.

One broker, asked directly, through the proxy, and directly by a client that knows the proxy
(``direct``). Rates as in ``benchmarks.queue``; then single messages at an even pace, one at a time:
what the proxy adds to a produce, and how long after it was produced an event is with its consumer.
"""

import asyncio
import contextlib
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import uvloop

from benchmarks.harness import Contender, run
from benchmarks.ours import OURS, ROOT, TOKEN, consume, produce, python_server, start_broker
from cli.bench.clients import (
    ACKED_TOGETHER,
    EVENT_MESSAGES,
    GROUP,
    MAX_IN_FLIGHT,
    TOPIC,
    consume_with,
    produce_with,
)
from cli.bench.drive import Gate, Server, Work
from common.clock import SystemClock
from common.queue.address import QueueAddress
from common.queue.base import Subscription
from common.queue.factory import open_consumer, open_producer

SIZE = 300
PACE_SECONDS = 0.02
SINGLES = 300


@contextlib.contextmanager
def start_cluster(directory: Path) -> Iterator[Server]:
    """A broker and a proxy in front of it; the address is the proxy's."""
    with start_broker(directory) as broker:
        environment = {
            "BROKERS": f"broker-0={broker.address}",
            "SERVICE_TOKEN": TOKEN.get_secret_value(),
            "LOG_LEVEL": "warning",
        }
        with python_server(["-m", "proxy"], environment) as proxy:
            yield Server(proxy.address, (*broker.pids, *proxy.pids))


def produce_direct(address: str, work: Work, gate: Gate) -> None:
    """See ``Client``."""
    uvloop.run(_produce_direct(address, work, gate))


async def _produce_direct(address: str, work: Work, gate: Gate) -> None:
    await produce_with(
        open_producer(QueueAddress(address, TOKEN, direct=True), SystemClock()), work, gate
    )


def consume_direct(address: str, work: Work, gate: Gate) -> None:
    """See ``Client``."""
    uvloop.run(_consume_direct(address, work, gate))


async def _consume_direct(address: str, work: Work, gate: Gate) -> None:
    wanted = Subscription(TOPIC, GROUP, MAX_IN_FLIGHT, EVENT_MESSAGES, "c")
    consumer = open_consumer(QueueAddress(address, TOKEN, direct=True), wanted, SystemClock())
    await consume_with(consumer, work, gate, ACKED_TOGETHER)


PROXIED = Contender("through the proxy", start_cluster, produce, consume)
DIRECT = Contender("direct=true", start_cluster, produce_direct, consume_direct)


async def one_by_one(address: str) -> tuple[float, float]:
    """Medians, in milliseconds: until a produce is answered, and until its event came."""
    where = QueueAddress(address, TOKEN)
    producer = open_producer(where, SystemClock())
    consumer = open_consumer(where, Subscription(TOPIC, GROUP, 100, 10, "c"), SystemClock())
    answered: list[float] = []
    came: list[float] = []
    deliveries = consumer.deliveries()
    await producer.send(TOPIC, 0, [b"first"])
    await consumer.ack([(await anext(deliveries)).receipt])
    for _ in range(SINGLES):
        began = time.perf_counter()
        await producer.send(TOPIC, 0, [b"x" * SIZE])
        answered.append(time.perf_counter() - began)
        delivery = await anext(deliveries)
        came.append(time.perf_counter() - began)
        await consumer.ack([delivery.receipt])
        await asyncio.sleep(PACE_SECONDS)
    await producer.close()
    await consumer.close()
    return statistics.median(answered) * 1000, statistics.median(came) * 1000


def in_directory(contender: Contender, work: Work) -> float:
    """Messages a second."""
    directory = Path(tempfile.mkdtemp(dir=ROOT, prefix=".bench-"))
    try:
        return run(contender, work, directory).rate
    finally:
        shutil.rmtree(directory)


def main() -> None:
    """Print the table."""
    print("| 300 bytes, 1,000 a request | messages/s | of the broker's own |")
    print("| --- | --- | --- |")
    work = Work(2_000_000, SIZE)
    own = in_directory(OURS, work)
    print(f"| the broker | {own:,.0f} | |", flush=True)
    for contender in (PROXIED, DIRECT):
        rate = in_directory(contender, work)
        print(f"| {contender.name} | {rate:,.0f} | {rate / own:.0%} |", flush=True)
    print("\n| one at a time, medians in ms | produce answered | event at its consumer |")
    print("| --- | --- | --- |")
    for name, start in (("the broker", start_broker), ("through the proxy", start_cluster)):
        directory = Path(tempfile.mkdtemp(dir=ROOT, prefix=".bench-"))
        with start(directory) as server:
            answered, came = uvloop.run(one_by_one(server.address))
        shutil.rmtree(directory)
        print(f"| {name} | {answered:.2f} | {came:.2f} |", flush=True)


if __name__ == "__main__":
    main()
