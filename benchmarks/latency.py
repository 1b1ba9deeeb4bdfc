"""How long a message is under way: ``python -m benchmarks.latency``.

Single messages at an even rate, each with fsync before its answer, from a producer process through
one broker to a consumer process that acks them. Two times of each: until the produce is answered,
and until the message is with its consumer. A send that is late is sent late, and its wait counts.
"""

import argparse
import asyncio
import contextlib
import multiprocessing
import shutil
import tempfile
import time
from multiprocessing.queues import SimpleQueue
from pathlib import Path

import uvloop

from benchmarks.ours import GROUP, ROOT, TOKEN, TOPIC, start_broker
from common.queue.http import HttpConsumer, HttpProducer

SIZE = 300
LEAD_SECONDS = 3.0
MAX_IN_FLIGHT = 10_000
EVENT_MESSAGES = 100
ACKED_TOGETHER = 50
PERCENTILES = (50, 90, 99, 99.9)

Times = list[float]


async def produce(address: str, rate: int, seconds: int, begin: float) -> Times:
    """Send at ``rate`` a second from ``begin`` on; each message says when it was due."""
    producer = HttpProducer(address, TOKEN)
    partitions = await producer.partitions(TOPIC)
    taken: Times = []
    filler = b"x" * SIZE

    async def send(number: int, due: float) -> None:
        await producer.send(TOPIC, number % partitions, [(b"%.6f " % due + filler)[:SIZE]])
        taken.append(time.perf_counter() - due)

    async with asyncio.TaskGroup() as sends:
        for number in range(rate * seconds):
            due = begin + number / rate
            ahead = due - time.perf_counter()
            if ahead > 0:
                await asyncio.sleep(ahead)
            sends.create_task(send(number, due))
    await producer.close()
    return taken


async def consume(address: str, messages: int) -> Times:
    """Receive and ack every message; return how long each was under way."""
    consumer = HttpConsumer(address, TOKEN, TOPIC, GROUP, MAX_IN_FLIGHT, EVENT_MESSAGES)
    taken: Times = []
    receipts: list[str] = []
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


def play(role: str, address: str, given: argparse.Namespace, begin: float, out: "Out") -> None:
    """The body of a client process."""
    if role == "produce":
        out.put(uvloop.run(produce(address, given.rate, given.seconds, begin)))
    else:
        out.put(uvloop.run(consume(address, given.rate * given.seconds)))


Out = SimpleQueue[Times]


def measure(address: str, given: argparse.Namespace) -> dict[str, Times]:
    """Run both clients; CLOCK_MONOTONIC is one clock for all processes of a machine."""
    context = multiprocessing.get_context("spawn")
    begin = time.perf_counter() + LEAD_SECONDS
    found: dict[str, Out] = {"consume": context.SimpleQueue(), "produce": context.SimpleQueue()}
    clients = [
        context.Process(target=play, args=(role, address, given, begin, out))
        for role, out in found.items()
    ]
    for client in clients:
        client.start()
    return {role: out.get() for role, out in found.items()}


def main() -> None:
    """Print the percentiles."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=1000, help="messages a second")
    parser.add_argument("--seconds", type=int, default=20)
    given = parser.parse_args()
    directory = Path(tempfile.mkdtemp(dir=ROOT, prefix=".bench-"))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, directory)
        server = stack.enter_context(start_broker(directory))
        found = measure(server.address, given)
    print(f"| {given.rate} a second, ms | " + " | ".join(f"p{p:g}" for p in PERCENTILES) + " |")
    print("| --- |" + " --- |" * len(PERCENTILES))
    for role, what in (("produce", "to the answer"), ("consume", "to the consumer")):
        times = sorted(found[role])
        row = [times[min(int(len(times) * p / 100), len(times) - 1)] * 1000 for p in PERCENTILES]
        print(f"| {what} | " + " | ".join(f"{ms:.1f}" for ms in row) + " |")


if __name__ == "__main__":
    main()
