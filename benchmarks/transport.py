"""What our layer costs beside an engine's bare client: ``python -m benchmarks.transport``.

On one server the same messages are carried twice, through the client that everybody uses and
through what the streamer and the collector use. Both in one run, taking turns; the figures are the
medians. CPU seconds are those of producer and consumer, without the server.
"""

import argparse
import asyncio
import contextlib
import shutil
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

import uvloop
from pydantic import SecretStr

from benchmarks.ours import ROOT
from benchmarks.peers import PEERS, is_here
from cli.bench.drive import Client, Gate, Result, Server, Work, drive
from common import logs
from common.clock import SystemClock
from common.queue.address import QueueAddress
from common.queue.base import Producer, Subscription
from common.queue.factory import open_consumer, open_producer
from streamer.lane import MAX_BATCHES_PER_SEND, MAX_BYTES_PER_SEND

TOPIC, GROUP = "t", "g"
LANES = 4
IN_FLIGHT, DELIVERY = 400, 20  # the collector's own
SIZE = 27_700
MESSAGES = {"kafka": 12_000, "redis": 12_000, "nats": 12_000}


def address_of(engine: str, address: str) -> QueueAddress:
    """The server of a peer as our options name it."""
    return QueueAddress(f"{engine}://127.0.0.1:{address}", SecretStr(""))


def our_produce(engine: str) -> Client:
    """As the streamer does: a lane for each partition, one send of it in flight."""
    return _Ours(engine, "produce")


def our_consume(engine: str) -> Client:
    """As the collector does: what came meanwhile is acked together."""
    return _Ours(engine, "consume")


class _Ours:
    """A client that can be sent to another process."""

    def __init__(self, engine: str, act: str) -> None:
        self._engine = engine
        self._act = act

    def __call__(self, address: str, work: Work, gate: Gate) -> None:
        where = address_of(self._engine, address)
        act = produce if self._act == "produce" else consume
        logs.configure("warning")
        uvloop.run(act(where, work, gate))


async def produce(where: QueueAddress, work: Work, gate: Gate) -> None:
    """Send all."""
    producer, body = open_producer(where, SystemClock()), work.payload()
    await producer.partitions(TOPIC)
    await producer.send(TOPIC, 0, [b"first"], "first")  # connected, and known to be
    gate()
    together = max(1, min(MAX_BATCHES_PER_SEND, MAX_BYTES_PER_SEND // work.size))
    await asyncio.gather(*(_lane(producer, lane, body, work, together) for lane in range(LANES)))
    await producer.close()


async def _lane(producer: Producer, lane: int, body: bytes, work: Work, together: int) -> None:
    left = work.messages // LANES
    while left:
        count = min(together, left)
        left -= count
        await producer.send(TOPIC, lane, [body] * count, f"{lane}-{left}")


async def consume(where: QueueAddress, work: Work, gate: Gate) -> None:
    """Receive and ack all."""
    wanted = Subscription(TOPIC, GROUP, IN_FLIGHT, DELIVERY, "bench")
    consumer = open_consumer(where, wanted, SystemClock())
    got, receipts, news = 0, list[str](), asyncio.Event()
    gated = False

    async def ack() -> None:
        while True:
            await news.wait()
            news.clear()
            some = list(receipts)
            receipts.clear()
            await consumer.ack(some)

    acking = asyncio.create_task(ack())
    async for delivery in consumer.deliveries():
        if not gated:
            gated = True
            await asyncio.to_thread(gate)
        got += len(delivery.payloads)
        receipts.append(delivery.receipt)
        news.set()
        if got == work.messages + 1:
            break
    await asyncio.sleep(0)
    acking.cancel()
    await consumer.ack(receipts)
    await consumer.close()


def contenders(engine: str) -> dict[str, tuple[Client, Client]]:
    """The two that take turns."""
    peer = PEERS[engine]
    return {
        "bare": (peer.produce, peer.consume),
        "ours": (our_produce(engine), our_consume(engine)),
    }


@contextlib.contextmanager
def server_of(engine: str) -> Iterator[Server]:
    """A server in a directory of its own."""
    directory = Path(tempfile.mkdtemp(dir=ROOT, prefix=".bench-"))
    try:
        with PEERS[engine].start(directory) as server:
            yield server
    finally:
        shutil.rmtree(directory)


def measure(engine: str, clients: tuple[Client, Client], work: Work) -> Result:
    """One run on a server of its own."""
    with server_of(engine) as server:
        return drive(server, work, *clients)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engines", default=",".join(MESSAGES))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--size", type=int, default=SIZE)
    parser.add_argument("--scale", type=float, default=1.0)
    given = parser.parse_args()
    for line in table(given.engines.split(","), given.runs, given.size, given.scale):
        print(line, flush=True)


def table(engines: list[str], runs: int, size: int = SIZE, scale: float = 1.0) -> Iterator[str]:
    """Of the engines that are here, a line at a time."""
    yield "| engine | client | messages/s | MB/s | clients' CPU s a million |"
    yield "| --- | --- | --- | --- | --- |"
    for engine in filter(is_here, engines):
        work = Work(int(MESSAGES[engine] * scale) // LANES * LANES, size)
        pair = contenders(engine)
        found: dict[str, list[Result]] = {name: [] for name in pair}
        for _ in range(runs):
            for name, clients in pair.items():
                found[name].append(measure(engine, clients, work))
        for name, results in found.items():
            yield row(engine, name, results)


def row(engine: str, name: str, results: list[Result]) -> str:
    """A line of the table."""
    rate = statistics.median(result.rate for result in results)
    size, messages = results[0].size, results[0].messages
    spent = statistics.median(each.cpu_seconds - each.served_seconds for each in results)
    cpu = spent / messages * 1e6
    return f"| {engine} | {name} | {rate:,.0f} | {rate * size / 1e6:,.0f} | {cpu:,.0f} |"


if __name__ == "__main__":
    main()
