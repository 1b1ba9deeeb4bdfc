"""Everything that the page shows, measured once; a part is a function that answers with rows."""

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from benchmarks import backlog, pipeline, queue, reading
from benchmarks.influx import influxd
from benchmarks.ours import ROOT, TOKEN, start_broker
from benchmarks.peers import PEERS, is_here
from benchmarks.results import Row
from cli.bench.figure import Better, Figure
from cli.bench.latency import measure_latency, percentile
from streamer.sources.generator import write_csv

LATENCY_RATE, LATENCY_SECONDS = 1000, 10
BACKLOG_MESSAGES = 2_000_000
PIPELINE_GPUS, PIPELINE_SECONDS = 1000, 120
READING_ROWS = 1_000_000

Part = Callable[[float], Iterator[Row]]
"""Takes the scale: more or less of everything."""


def figure(value: float, unit: str, better: Better = "more") -> Figure:
    """A figure of one run, named as its column."""
    return Figure(unit, unit, better, (value,))


def carried(scale: float) -> Iterator[Row]:
    """The queue beside its peers."""
    peers = [peer for peer in PEERS if is_here(peer)]
    for row in queue.rows(peers, scale):
        result = queue.measure(row)
        note = f", {row.note}" if row.note else ""
        yield Row(
            "queue, each message acked",
            f"{row.contender.name}, {result.size:,} bytes{note}",
            (
                figure(result.rate, "messages/s"),
                figure(result.rate * result.size / 1e6, "MB/s"),
                figure(result.cpu_per_million, "CPU s a million", "less"),
            ),
        )


def on_its_way(scale: float) -> Iterator[Row]:
    """How long a single message takes."""
    with in_directory() as directory, start_broker(directory) as server:
        seconds = max(1, int(LATENCY_SECONDS * scale))
        found = measure_latency(server.address, TOKEN.get_secret_value(), LATENCY_RATE, seconds)
    for what, times in (("to the answer", found.answered), ("to the consumer", found.delivered)):
        yield Row(
            f"{LATENCY_RATE:,} single messages a second, each with fsync",
            what,
            tuple(
                Figure(f"p{p:g}", "ms", "less", (1000 * percentile(times, p),))
                for p in (50, 99, 99.9)
            ),
        )


def waiting(scale: float) -> Iterator[Row]:
    """A long backlog."""
    messages = max(10_000, int(BACKLOG_MESSAGES * scale))
    with in_directory() as directory:
        found = backlog.run(messages, directory)
    yield Row(
        f"{messages:,} messages of {backlog.SIZE} bytes waiting",
        "filled, killed with -9, started, drained in order",
        (
            figure(found.most_mb, "MB at most while filled", "less"),
            figure(found.ready_seconds, "s to ready", "less"),
            figure(found.ready_mb, "MB then", "less"),
            figure(found.drained_rate, "messages/s drained"),
        ),
    )


def whole_path(scale: float) -> Iterator[Row]:
    """CSV to stored points."""
    runs = [pipeline.run_ours]
    runs += [pipeline.run_influxdb] if influxd() else []
    runs += [pipeline.run_plain] if is_here("redis") else []
    with in_directory() as directory:
        csv = directory / "fleet.csv"
        seconds = max(1, int(PIPELINE_SECONDS * scale))
        with csv.open("wb") as file:
            write_csv(file, PIPELINE_GPUS, seconds, pipeline.START, seed=1)
        points = PIPELINE_GPUS * seconds * pipeline.METRICS
        for run in runs:
            found = pipeline.in_directory(partial(run, csv, points))
            used = sum(found.cpu.values()) / found.points * 1e6
            yield Row(
                f"CSV to stored points, {PIPELINE_GPUS:,} GPUs",
                found.name,
                (
                    figure(found.points / found.seconds, "points/s"),
                    figure(used, "CPU s a million", "less"),
                ),
            )


def read(scale: float) -> Iterator[Row]:
    """Rows of a generated DCGM CSV."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "rows.csv"
        reading.write_rows(path, reading.generated(), max(10_000, int(READING_ROWS * scale)))
        for what, work in reading.WORKS.items():
            rate = reading.rate_of(work, path)
            yield Row("reading a CSV", what, (figure(rate, "rows a CPU s"),))


PARTS: dict[str, Part] = {
    "queue": carried,
    "latency": on_its_way,
    "backlog": waiting,
    "path": whole_path,
    "reading": read,
}


def measure(names: Sequence[str], scale: float) -> Iterator[Row]:
    """The rows of some parts, each as soon as it is there."""
    for name in names:
        yield from PARTS[name](scale)


@contextlib.contextmanager
def in_directory() -> Iterator[Path]:
    """A directory on the project's disk, which goes afterwards."""
    directory = Path(tempfile.mkdtemp(dir=ROOT, prefix=".bench-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory)
