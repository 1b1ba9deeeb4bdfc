"""What is measured: the disk, the queue, the way of one message, and the whole path."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median

from rich.console import Console

from cli.bench import clients
from cli.bench.drive import Server, Work, cpu_of, drive
from cli.bench.figure import Better, Figure
from cli.bench.latency import measure_latency, percentile
from cli.feed import Follower, file_feed
from cli.stack import Stack, StackPlan, open_stack
from streamer.sources.generator import write_csv

SYNCS = 50
SMALL_BYTES, LARGE_BYTES = 300, 27_700
LATENCY_RATE, LATENCY_SECONDS = 500, 5
GPUS = 500
BROKERS = 2
START = datetime(2026, 1, 1, tzinfo=UTC)


def figure(name: str, unit: str, better: Better, value: float) -> Figure:
    """A figure of one run."""
    return Figure(name, unit, better, (value,))


async def measure(directory: Path, scale: float, console: Console) -> list[Figure]:
    """One run of everything in an empty directory; about a minute at scale 1."""
    found = [await asyncio.to_thread(measure_disk, directory)]
    async with open_stack(StackPlan(directory / "queue", BROKERS)) as stack:
        console.print("queue ...", style="dim")
        await stack.start()
        found += await asyncio.to_thread(measure_queue, stack, scale)
    console.print("whole path ...", style="dim")
    return found + await measure_pipeline(directory, scale, console)


def measure_disk(directory: Path) -> Figure:
    """What one fsync of a small write costs."""
    times = []
    with (directory / "probe").open("wb", buffering=0) as file:
        for _ in range(SYNCS):
            file.write(os.urandom(4096))
            began = time.perf_counter()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - began)
    return figure("fsync of the disk", "ms", "less", 1000 * median(times))


def measure_queue(stack: Stack, scale: float) -> list[Figure]:
    """Through the proxy to brokers that fsync before they answer, every message acked."""
    proxy, token = stack.child("proxy").plan.url, stack.token
    server = Server(proxy, pids_of(stack))

    def work(messages: int, size: int, batch: int) -> Work:
        return Work(max(1, int(messages * scale) // batch) * batch, size, batch)

    sides = partial(clients.produce, token), partial(clients.consume, token)
    small = drive(server, work(1_000_000, SMALL_BYTES, 1000), *sides)
    large = drive(server, work(20_000, LARGE_BYTES, 32), *sides)
    seconds = max(1, int(LATENCY_SECONDS * scale))
    latency = measure_latency(proxy, token, LATENCY_RATE, seconds)
    delivered = {p: 1000 * percentile(latency.delivered, p) for p in (50, 99)}
    return [
        figure(f"queue, {SMALL_BYTES} bytes", "messages/s", "more", small.rate),
        figure("queue, CPU for a million", "s", "less", small.cpu_per_million),
        figure(f"queue, {LARGE_BYTES} bytes", "MB/s", "more", large.rate * LARGE_BYTES / 1e6),
        figure(f"{LATENCY_RATE} single messages/s, p50", "ms", "less", delivered[50]),
        figure(f"{LATENCY_RATE} single messages/s, p99", "ms", "less", delivered[99]),
    ]


async def measure_pipeline(directory: Path, scale: float, console: Console) -> list[Figure]:
    """A generated DCGM CSV into SQLite, until its last point is stored."""
    csv = directory / "fleet.csv"
    with csv.open("wb") as file:
        write_csv(file, GPUS, max(1, int(120 * scale)), START, seed=1)
    async with fed_stack(directory / "pipeline", csv) as stack:
        pids = pids_of(stack)
        before = cpu_of(pids)
        books = await Follower(stack, console).follow()
        served = cpu_of(pids) - before
    return [
        figure("CSV to stored points", "points/s", "more", books.stored / books.seconds),
        figure("its CPU for a million, streamer aside", "s", "less", served / books.stored * 1e6),
        figure("points lost", "points", "less", float(books.lost)),
    ]


@asynccontextmanager
async def fed_stack(directory: Path, csv: Path) -> AsyncIterator[Stack]:
    """A stack that is ready and whose streamer will read a file."""
    feed = file_feed(str(csv), str(directory / "streamer-summary.json"))
    async with open_stack(StackPlan(directory, BROKERS, feed=feed)) as stack:
        await stack.start()
        yield stack


def pids_of(stack: Stack) -> tuple[int, ...]:
    """The processes that run."""
    children = stack.supervisor.children.values()
    return tuple(child.pid for child in children if child.pid is not None)
