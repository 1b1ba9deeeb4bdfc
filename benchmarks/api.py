"""What an API answers a second: the last points of a GPU, and exports.

``python -m benchmarks.api`` fills a store, starts the API as a process, and prints for each kind of
request what it came to a second of wall time and a second of the API's own CPU. The client is a
process of its own and counted apart.
"""

import argparse
import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from cli.bench.drive import cpu_of
from common.keys import create_key, save_keys
from common.models import Gpu, Sample
from common.storage.sqlite.store import SqliteStore

GPUS = 247
METRICS = tuple(f"DCGM_FI_DEV_FIELD_{n}" for n in range(10))
T0 = 1_752_871_354_000
BIG = "GPU-big"
BIG_POINTS = 1_000_000
SAMPLES = 400
PORT = 18_080
START_SECONDS = 30
READ_BYTES = 1 << 20
END = "\r\n"
MOST_UNDER_WAY = 16


class Run(NamedTuple):
    """What a part of the benchmark came to."""

    amount: int
    seconds: float
    server_cpu: float
    client_cpu: float
    latencies: list[float]


def main() -> None:
    """Fill, start, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=5_000)
    parser.add_argument("--connections", type=int, default=8)
    given = parser.parse_args()
    with serving() as (server, key):
        asyncio.run(ask_all(server.pid, key, given.requests, given.connections))


@contextlib.contextmanager
def serving() -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The API as a process with a filled store, and a key of all scopes."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        fill(directory / "store.db")
        text, key = create_key("bench", ["read", "write"])
        save_keys(directory / "keys.json", [key])
        environment = os.environ | {
            "API_KEYS_FILE": str(directory / "keys.json"),
            "SQLITE_PATH": str(directory / "store.db"),
            "SERVICE_TOKEN": "a-token-of-the-benchmark",
            "PORT": str(PORT),
        }
        server = subprocess.Popen([sys.executable, "-m", "api"], env=environment)
        try:
            yield server, text
        finally:
            server.terminate()
            server.wait()


def fill(path: Path) -> None:
    """A fleet with some history, and one GPU with a million points."""
    store = SqliteStore(path)
    values = {name: 40.0 + n / 7 for n, name in enumerate(METRICS)}
    for number in range(GPUS):
        about = Gpu(uuid=f"GPU-{number:04}", hostname=f"host-{number // 8}", model="H100")
        store.write([Sample(about, T0 + at * 1000, values) for at in range(SAMPLES)])
    big, each = Gpu(uuid=BIG, hostname="host-big"), 10_000
    for begin in range(0, BIG_POINTS // len(METRICS), each):
        store.write([Sample(big, T0 + at * 1000, values) for at in range(begin, begin + each)])
    store.close()


async def ask_all(pid: int, key: str, requests: int, connections: int) -> None:
    """Every kind of request, one after the other."""
    await until_up()
    head = head_of(key)
    lines = last_points(key, requests)
    await measured(pid, lambda: ask(lines[:500], connections))
    run = await measured(pid, lambda: ask(lines, connections))
    show(f"last 100 points, {connections} connections", "requests", run)
    paced = await measured(pid, lambda: ask_paced(lines[:1000], 500.0))
    show("last 100 points, 500 requests/s", "requests", paced)
    for form in ("csv", "json"):
        line = f"GET /api/v1/gpus/{BIG}/telemetry/export?format={form} {head}Connection: close"
        request = (line + END + END).encode()
        before = peak_of(pid)
        run = await measured(pid, partial(export, request))
        show(f"export as {form}", "points", run._replace(amount=BIG_POINTS))
        print(
            f"{'':36} {run.amount >> 20} MiB, peak memory"
            f" {before >> 20} -> {peak_of(pid) >> 20} MiB"
        )


def head_of(key: str) -> str:
    """What ends a request line, and the headers that every request has."""
    return f"HTTP/1.1{END}Host: bench{END}X-API-Key: {key}{END}"


def last_points(key: str, requests: int) -> list[bytes]:
    """Requests for the last hundred points of one GPU after the other."""
    path = "/api/v1/gpus/GPU-{:04}/telemetry?limit=100&order=desc "
    return [
        ("GET " + path.format(number % GPUS) + head_of(key) + END).encode()
        for number in range(requests)
    ]


async def until_up() -> None:
    """Return when the API listens."""
    async with asyncio.timeout(START_SECONDS):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", PORT)
            except OSError:
                await asyncio.sleep(0.1)
                continue
            writer.close()
            return


async def measured(pid: int, act: Callable[[], Awaitable[tuple[int, list[float]]]]) -> Run:
    """Time and CPU of a part."""
    server, client, began = cpu_of([pid]), time.process_time(), time.perf_counter()
    count, latencies = await act()
    seconds = time.perf_counter() - began
    return Run(count, seconds, cpu_of([pid]) - server, time.process_time() - client, latencies)


async def ask(lines: list[bytes], connections: int) -> tuple[int, list[float]]:
    """All requests, over some connections, each as fast as it is answered."""
    latencies: list[float] = []
    parts = [lines[n::connections] for n in range(connections)]
    await asyncio.gather(*(ask_one_by_one(part, latencies) for part in parts))
    return len(lines), latencies


async def ask_one_by_one(lines: list[bytes], latencies: list[float]) -> None:
    """Requests over one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    for line in lines:
        began = time.perf_counter()
        writer.write(line)
        await read_answer(reader)
        latencies.append(time.perf_counter() - began)
    writer.close()


async def ask_paced(lines: list[bytes], per_second: float) -> tuple[int, list[float]]:
    """Requests at a rate, whatever the answers take; a late start counts as latency."""
    latencies: list[float] = []
    free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(MOST_UNDER_WAY):
        free.put_nowait(await asyncio.open_connection("127.0.0.1", PORT))
    begin = time.perf_counter()

    async def one(line: bytes, due: float) -> None:
        reader, writer = await free.get()
        writer.write(line)
        await read_answer(reader)
        latencies.append(time.perf_counter() - due)
        free.put_nowait((reader, writer))

    async with asyncio.TaskGroup() as group:
        for number, line in enumerate(lines):
            due = begin + number / per_second
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(one(line, due))
    while not free.empty():
        free.get_nowait()[1].close()
    return len(lines), latencies


async def read_answer(reader: asyncio.StreamReader) -> None:
    """One whole answer, which must be 200."""
    head = await reader.readuntil(b"\r\n\r\n")
    if b" 200 " not in head[:20]:
        raise RuntimeError(head.decode())
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    await reader.readexactly(length)


async def export(line: bytes) -> tuple[int, list[float]]:
    """One export; returns its bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT, limit=READ_BYTES)
    writer.write(line)
    total = 0
    while chunk := await reader.read(READ_BYTES):
        total += len(chunk)
    writer.close()
    return total, []


def peak_of(pid: int) -> int:
    """The most memory a process ever held, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


def show(name: str, what: str, run: Run) -> None:
    """One line of the table."""
    line = (
        f"{name:36} {run.amount / run.seconds:>10,.0f} {what}/s"
        f" {run.amount / run.server_cpu:>10,.0f} a CPU second of the API"
        f"   client {run.client_cpu:.1f} CPU s"
    )
    if run.latencies:
        spread = statistics.quantiles(run.latencies, n=100)
        line += f"   p50 {spread[49] * 1e3:.1f} ms, p99 {spread[98] * 1e3:.1f} ms"
    print(line)


if __name__ == "__main__":
    main()
