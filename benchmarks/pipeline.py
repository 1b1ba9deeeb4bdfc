"""The whole path, CSV to stored points: ``python -m benchmarks.pipeline``.

A generated DCGM export through streamer, proxy, two brokers that sync before each answer, collector
and SQLite, every part a process of its own on this machine; the same into InfluxDB, and through
the queue engines of others, if those are here; and beside them the same file through Redis Streams
and a plain Python writer, in one run; at the end what our clients cost beside an engine's own.
Time runs from the start of the reader's process to the last point in the store. CPU seconds are
each process's own, the start of our servers not counted.
"""

import argparse
import asyncio
import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

from benchmarks import transport
from benchmarks.harness import warm_up
from benchmarks.influx import influxd, influxdb_environment, start_influxd
from benchmarks.ours import ROOT, TOKEN, python_server
from benchmarks.peers import PEERS, is_here, start_redis
from cli.bench.drive import Server, cpu_of
from common.storage.factory import open_store
from common.storage.options import StoreOptions
from streamer.sources.generator import write_csv

METRICS = 10
START = datetime(2025, 7, 18, 20, 42, 34, tzinfo=UTC)
LOOK_SECONDS = 0.1
RUN_SECONDS = 600.0
LAYER_RUNS = 3
TOPIC = "telemetry"


class Outcome(NamedTuple):
    """A run: points in the store, seconds it took, CPU seconds by process."""

    name: str
    points: int
    seconds: float
    cpu: Mapping[str, float]

    def row(self) -> str:
        """A line of the table."""
        parts = ", ".join(
            f"{name} {used / self.points * 1e6:.2f}" for name, used in self.cpu.items()
        )
        total = sum(self.cpu.values()) / self.points * 1e6
        return f"| {self.name} | {self.points / self.seconds:,.0f} | {total:.2f} | {parts} |"


def environment(**given: object) -> dict[str, str]:
    """Options of a process of ours."""
    shared = {"SERVICE_TOKEN": TOKEN.get_secret_value(), "LOG_LEVEL": "warning"}
    return shared | {name: str(value) for name, value in given.items()}


@contextlib.contextmanager
def our_servers(directory: Path, **store: object) -> Iterator[dict[str, Server]]:
    """Two brokers, a proxy and a collector, ready."""
    with contextlib.ExitStack() as stack:
        servers: dict[str, Server] = {}

        def start(name: str, module: str, **given: object) -> Server:
            server = python_server(["-m", module], environment(**given))
            servers[name] = stack.enter_context(server)
            return servers[name]

        brokers = []
        for name in ("broker-0", "broker-1"):
            broker = start(name, "broker", BROKER_NAME=name, DATA_DIR=directory / name)
            brokers.append(f"{name}={broker.address}")
        proxy = start("proxy", "proxy", BROKERS=",".join(brokers))
        queue = {"MSG_QUEUE_ADDR": proxy.address, "MSG_QUEUE_TOPIC": TOPIC}
        start("collector", "collector", DATA_DIR=directory / "collector", **queue, **store)
        yield servers


def run_ours(csv: Path, points: int, directory: Path) -> Outcome:
    """Streamer to SQLite; the points are counted in the file."""
    place = {"STORE": "sqlite", "SQLITE_PATH": str(directory / "points.db")}
    with our_servers(directory, **place) as servers:
        outcome = feed(csv, points, servers, "streamer, proxy, 2 brokers, collector, SQLite")
    check(stored_points(place), points)
    return outcome


def run_influxdb(csv: Path, points: int, directory: Path) -> Outcome:
    """Streamer to InfluxDB; its own CPU time is a row among the others."""
    name = "streamer, proxy, 2 brokers, collector, InfluxDB"
    with start_influxd(directory) as influxd:
        place = influxdb_environment(influxd)
        with our_servers(directory, **place) as servers:
            outcome = feed(csv, points, {**servers, "influxd": influxd}, name)
        check(stored_points(place), points)
    return outcome


def run_engine(engine: str, csv: Path, points: int, directory: Path) -> Outcome:
    """Streamer, the engine of another, collector and SQLite."""
    peer = PEERS[engine]
    place = {"STORE": "sqlite", "SQLITE_PATH": str(directory / "points.db")}
    with contextlib.ExitStack() as stack:
        queue = stack.enter_context(peer.start(directory))
        url = f"{engine}://127.0.0.1:{queue.address}"
        where = {"QUEUE_URL": url, "MSG_QUEUE_TOPIC": TOPIC, "DATA_DIR": directory / "collector"}
        collector = python_server(["-m", "collector"], environment(**where, **place))
        servers = {engine: queue, "collector": stack.enter_context(collector)}
        outcome = feed(csv, points, servers, f"streamer, {peer.name}, collector, SQLite", url)
    check(stored_points(place), points)
    return outcome


def stored_points(place: Mapping[str, str]) -> int:
    """Ask a store how many points it has, as the API would."""
    given: dict[str, Any] = {"service_token": TOKEN, **place}
    store = open_store(StoreOptions(**given), writable=False)
    try:
        return store.stats().points
    finally:
        store.close()


def feed(
    csv: Path, points: int, servers: Mapping[str, Server], name: str, url: str = ""
) -> Outcome:
    """Start the streamer, wait until the collector has stored all; ``url`` is another's queue."""
    before = {each: cpu_of(server.pids) for each, server in servers.items()}
    given = environment(
        PORT=0,
        QUEUE_URL=url or servers["proxy"].address,
        MSG_QUEUE_TOPIC=TOPIC,
        CSV_PATH=csv,
        EVENT_TIME="keep",
        EXIT_WHEN_DONE="true",
    )
    command = [sys.executable, "-m", "streamer"]
    began = time.perf_counter()
    with subprocess.Popen(command, cwd=ROOT, env=os.environ | given) as streamer:
        asyncio.run(until_stored(servers["collector"].address, points))
        seconds = time.perf_counter() - began
        used = cpu_at_end(streamer)
    cpu = {each: cpu_of(server.pids) - before[each] for each, server in servers.items()}
    return Outcome(name, points, seconds, {"streamer": used, **cpu})


async def until_stored(address: str, points: int) -> None:
    """Return when a collector says that it has stored so many points."""
    async with asyncio.timeout(RUN_SECONDS), aiohttp.ClientSession() as session:
        while True:
            async with session.get(address + "/stats") as answer:
                stats: dict[str, Any] = await answer.json()
            if stats["telemetry_stored"] >= points and not stats["spool_messages"]:
                return
            await asyncio.sleep(LOOK_SECONDS)


def run_plain(csv: Path, points: int, directory: Path) -> Outcome:
    """Redis Streams between two plain processes."""
    path = directory / "plain.db"
    with start_redis(directory) as redis:
        before = cpu_of(redis.pids)
        plain = [sys.executable, "-m", "benchmarks.plain"]
        began = time.perf_counter()
        consume = [*plain, "consume", str(path), redis.address, str(points)]
        with subprocess.Popen(consume, cwd=ROOT) as consumer:
            with subprocess.Popen(
                [*plain, "produce", str(csv), redis.address], cwd=ROOT
            ) as producer:
                produced = cpu_at_end(producer)
            consumed = cpu_at_end(consumer)
        seconds = time.perf_counter() - began
        cpu = {"producer": produced, "redis": cpu_of(redis.pids) - before, "writer": consumed}
    with contextlib.closing(sqlite3.connect(path)) as db:
        check(db.execute("SELECT count(*) FROM point").fetchone()[0], points)
    return Outcome("csv, json, Redis Streams (everysec), sqlite3", points, seconds, cpu)


def cpu_at_end(process: subprocess.Popen[bytes]) -> float:
    """Wait for a process; its CPU seconds, from its first to its last."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{process.args!r} failed")
    return usage.ru_utime + usage.ru_stime


def check(found: int, points: int) -> None:
    """Refuse a figure of a run that did not do its work."""
    if found != points:
        raise RuntimeError(f"{found} points are stored, {points} were in the file")


def in_directory(work: Callable[[Path], Outcome]) -> Outcome:
    """Run in a directory of its own on the project's disk."""
    directory = Path(tempfile.mkdtemp(dir=ROOT, prefix=".bench-"))
    try:
        warm_up(directory)
        return work(directory)
    finally:
        shutil.rmtree(directory)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gpus", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=240)
    parser.add_argument("--csv", type=Path, help="a DCGM export instead; no point in it twice")
    parser.add_argument("--engines", default="kafka,nats,redis", help="which, by comma")
    parser.add_argument("--alone", action="store_true", help="ours into SQLite only")
    given = parser.parse_args()
    runs: list[Callable[[Path, int, Path], Outcome]] = [run_ours]
    if not given.alone:
        runs += [run_influxdb] if influxd() else []
        runs += [
            partial(run_engine, engine) for engine in given.engines.split(",") if is_here(engine)
        ]
        runs += [run_plain] if is_here("redis") else []
    directory = Path(tempfile.mkdtemp(dir=ROOT, prefix=".bench-"))
    try:
        csv = given.csv or directory / "fleet.csv"
        if given.csv is None:
            with csv.open("wb") as file:
                write_csv(file, given.gpus, given.seconds, START, seed=1)
        with csv.open("rb") as file:
            points = sum(1 for _ in file) - 1
        print(f"{points:,} points\n")
        print("| path | points/s | CPU s a million points | of these |")
        print("| --- | --- | --- | --- |")
        for run in runs:
            print(in_directory(partial(run, csv, points)).row(), flush=True)
        if not given.alone:
            print("\nThe same messages through an engine's usual client, and through ours\n")
            for line in transport.table(given.engines.split(","), LAYER_RUNS):
                print(line, flush=True)
    finally:
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
