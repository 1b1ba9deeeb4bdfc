"""What a long backlog costs: ``python -m benchmarks.backlog``.

Messages are produced with nobody to take them, the broker is killed with SIGKILL and started again
on the same directory, and everything is drained. Each message says its partition and offset, so
that a message lost, doubled, changed or out of order ends the run with an error.
"""

import argparse
import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import uvloop

from benchmarks.ours import ROOT, TOKEN, start_broker
from cli.bench.clients import GROUP, MAX_IN_FLIGHT, TOPIC
from common.queue.http import HttpConsumer, HttpProducer

SIZE = 300
BATCH = 1000
EVENT_MESSAGES = 2000
ACKED_TOGETHER = 4


def payload(partition: int, offset: int) -> bytes:
    """What lies at a place."""
    return b"%d:%d " % (partition, offset) + b"x" * (SIZE - 12)


async def fill(address: str, messages: int) -> None:
    """Produce the backlog, one request at a time to each partition."""
    producer = HttpProducer(address, TOKEN)
    partitions = await producer.partitions(TOPIC)

    async def lane(partition: int) -> None:
        for first in range(0, messages // partitions, BATCH):
            await producer.send(
                TOPIC, partition, [payload(partition, first + n) for n in range(BATCH)]
            )

    await asyncio.gather(*(lane(partition) for partition in range(partitions)))
    await producer.close()


async def drain(address: str, messages: int) -> None:
    """Take and ack everything; every message must be the one that belongs there."""
    consumer = HttpConsumer(address, TOKEN, TOPIC, GROUP, MAX_IN_FLIGHT, EVENT_MESSAGES)
    expected: Counter[int] = Counter()
    receipts: list[str] = []
    acked = 0
    async for delivery in consumer.deliveries():
        if delivery.offset != expected[delivery.partition]:
            raise ValueError(f"{delivery.receipt} is out of order")
        for offset, found in enumerate(delivery.payloads, delivery.offset):
            if found != payload(delivery.partition, offset):
                raise ValueError(f"{delivery.receipt} holds another message")
        expected[delivery.partition] += len(delivery.payloads)
        receipts.append(delivery.receipt)
        if len(receipts) == ACKED_TOGETHER or expected.total() == messages:
            acked += (await consumer.ack(receipts)).acked
            receipts = []
        if acked == messages:
            break
    await consumer.close()


def memory_of(pid: int, what: str = "VmRSS") -> int:
    """Megabytes of memory that a process has resident, or had at most (``VmHWM``)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(what)).split()[1]) // 1000


class Backlog(NamedTuple):
    """What a long backlog cost: rates in messages a second, memory in megabytes."""

    filled_rate: float
    most_mb: int
    ready_seconds: float
    ready_mb: int
    drained_rate: float
    drained_most_mb: int


def run(messages: int, directory: Path) -> Backlog:
    """Fill a broker, kill it, start it, and drain it in order."""
    with contextlib.suppress(ProcessLookupError), start_broker(directory) as server:
        began = time.perf_counter()
        uvloop.run(fill(server.address, messages))
        filled_rate = messages / (time.perf_counter() - began)
        most_mb = memory_of(server.pids[0], "VmHWM")
        os.kill(server.pids[0], signal.SIGKILL)
    began = time.perf_counter()
    with start_broker(directory) as server:
        ready_seconds, ready_mb = time.perf_counter() - began, memory_of(server.pids[0])
        began = time.perf_counter()
        uvloop.run(drain(server.address, messages))
        drained_rate = messages / (time.perf_counter() - began)
        most = memory_of(server.pids[0], "VmHWM")
    return Backlog(filled_rate, most_mb, ready_seconds, ready_mb, drained_rate, most)


def main() -> None:
    """Run in a directory of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=10_000_000)
    messages = parser.parse_args().messages
    directory = Path(tempfile.mkdtemp(dir=ROOT, prefix=".bench-"))
    try:
        found = run(messages, directory)
    finally:
        shutil.rmtree(directory)
    print(f"{messages:,} messages waiting: {found.filled_rate:,.0f}/s, {found.most_mb} MB at most")
    print(f"after kill -9 ready in {found.ready_seconds:.2f} s, {found.ready_mb} MB")
    print(
        f"drained in order, each as produced: {found.drained_rate:,.0f}/s, "
        f"{found.drained_most_mb} MB at most"
    )


if __name__ == "__main__":
    main()
