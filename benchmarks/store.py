"""The store `sqlite` with a day of a fleet in it: what it takes, what it answers and how soon.

``python -m benchmarks.store [--points N] [--gpus N] [--keep FILE]``. Every GPU has ten metrics at
even moments over a day. Writes are of about 50,000 points, all GPUs by turns, and each hour that
has passed is rolled up. Questions are asked of random GPUs by another connection, as the API
does; the time is the wall's, of questions whose pages the machine has in memory.
"""

import argparse
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from common.models import Gpu, Sample
from common.storage.base import GpuFilter, TelemetryQuery, WindowQuery
from common.storage.rollup import HOUR_MS, MINUTE_MS
from common.storage.sqlite.store import SqliteStore
from streamer.sources.fleet import METRICS, Fleet

BEGIN_MS = 1_752_796_800_000  # 2025-07-18
DAY_MS = 24 * HOUR_MS
END_MS = BEGIN_MS + DAY_MS
POINTS_A_WRITE = 50_000
SERIES, STEPS = 40, 2_000
ASKED = 50
BUSY_WRITER_PAUSE_SECONDS = 0.02


def samples(
    gpus: list[Gpu], moments: int, series: list[list[dict[str, float]]]
) -> Iterator[Sample]:
    """A day of a fleet by time; each GPU shows what one of the series shows, from somewhere on."""
    for nth in range(moments):
        at = BEGIN_MS + nth * DAY_MS // moments
        for index, gpu in enumerate(gpus):
            shown = series[index % SERIES]
            yield Sample(gpu, at + index % 1_000, shown[(nth + index * 7) % STEPS])


def synthetic_series() -> list[list[dict[str, float]]]:
    """What some GPUs show, second by second."""
    fleet = Fleet(SERIES, seed=1)
    steps = [list(fleet.step()) for _ in range(STEPS)]
    return [
        [dict(zip(METRICS, map(float, step[index]), strict=True)) for step in steps]
        for index in range(SERIES)
    ]


def build(store: SqliteStore, gpus: list[Gpu], moments: int) -> None:
    """Write the day, rolling up what has passed as a collector does."""
    everything = samples(gpus, moments, synthetic_series())
    writing = rolling = 0.0
    points = hours = 0
    while batch := list(islice(everything, POINTS_A_WRITE // len(METRICS))):
        before = time.process_time()
        points += store.write(batch).points
        between = time.process_time()
        hours += roll_up(store, batch[-1].timestamp)
        writing += between - before
        rolling += time.process_time() - between
    hours += roll_up(store, END_MS)
    say("written", f"{points:,} points, {writing / points * 1e6:.2f} CPU s a million")
    say("rolled up", f"{hours:,} hours of a GPU, {rolling / points * 1e6:.2f} CPU s a million")


def roll_up(store: SqliteStore, before_ms: int) -> int:
    """Roll up all that is due."""
    return sum(iter(lambda: store.roll_up(before_ms), 0))


def ask(name: str, question: Callable[[], Any], bar_ms: float | None = None) -> None:
    """Print how long a question takes."""
    question()
    taken = []
    for _ in range(ASKED):
        before = time.perf_counter()
        question()
        taken.append((time.perf_counter() - before) * 1e3)
    bar = "" if bar_ms is None else f"   (bar: {bar_ms:g} ms)"
    say(name, median_and_longest(taken) + bar)


def ask_everything(reader: SqliteStore, ids: list[str]) -> None:
    """Put the questions that people put."""
    chance = random.Random(1)

    def telemetry(**given: Any) -> Callable[[], Any]:
        return lambda: reader.telemetry(TelemetryQuery(chance.choice(ids), **given))

    def windows(**given: Any) -> Callable[[], Any]:
        return lambda: reader.windows(WindowQuery(chance.choice(ids), limit=20_000, **given))

    ask("a GPU's last hour", telemetry(limit=10_000, start_ms=END_MS - HOUR_MS), 50)
    day: dict[str, Any] = {"start_ms": BEGIN_MS, "end_ms": END_MS}
    ask("a day by minute, mean", windows(window_ms=MINUTE_MS, aggregate="mean", **day), 200)
    ask("a day by minute, p95", windows(window_ms=MINUTE_MS, aggregate="p95", **day), 200)
    ask("a day by 5 minutes, from points", windows(window_ms=300_000, aggregate="mean", **day))
    ask("a day by hour", windows(window_ms=HOUR_MS, aggregate="p95", **day))
    ask("all GPUs", lambda: reader.gpus(GpuFilter(), 10_000), 50)
    ask("hosts", lambda: reader.hosts(10_000))
    ask("statistics", reader.stats)


class TimedLock:
    """A lock that knows how long it was held at most."""

    def __init__(self) -> None:
        self.longest_ms = 0.0
        self._lock = threading.Lock()
        self._since = 0.0

    def __enter__(self) -> None:
        self._lock.acquire()
        self._since = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.longest_ms = max(self.longest_ms, (time.perf_counter() - self._since) * 1e3)
        self._lock.release()


def expire(store: SqliteStore, gpus: list[Gpu]) -> None:
    """Delete the day while another thread writes; print how long anything waited."""
    lock: Any = TimedLock()
    store._writing = store._checkpoints._writing = lock
    waits: list[float] = []
    done = threading.Event()

    def write(nth: int) -> float:
        batch = [Sample(gpu, END_MS + nth, {METRICS[0]: 1.0}) for gpu in gpus[:100]]
        before = time.perf_counter()
        store.write(batch)
        return (time.perf_counter() - before) * 1e3

    def keep_writing() -> None:
        for nth in range(ASKED, 1_000_000):
            if done.wait(BUSY_WRITER_PAUSE_SECONDS):
                return
            waits.append(write(nth))

    alone = [write(nth) for nth in range(ASKED)]
    writer = threading.Thread(target=keep_writing)
    writer.start()
    began = time.perf_counter()
    calls: list[float] = []
    gone = 1
    while gone:
        before = time.perf_counter()
        gone = store.expire(END_MS)
        calls.append((time.perf_counter() - before) * 1e3)
    seconds = time.perf_counter() - began
    done.set()
    writer.join()
    say("a day expired", f"{seconds:.1f} s in {len(calls):,} steps")
    say("the lock, held at most", f"{lock.longest_ms:.0f} ms   (bar: 100 ms)")
    say("longest step", f"{max(calls):.0f} ms, in several parts")
    say("a write alone", median_and_longest(alone))
    say("a write beside it", median_and_longest(waits))


def median_and_longest(taken: list[float]) -> str:
    return f"median {statistics.median(taken):.1f} ms, longest {max(taken):.1f} ms"


def say(what: str, figure: str) -> None:
    print(f"{what:<34}{figure}", flush=True)


def measure(path: Path, gpu_count: int, points: int) -> None:
    """Build the file, unless it is there, and put the questions."""
    gpus = Fleet(gpu_count, seed=1).gpus
    store = SqliteStore(path)
    if not store.stats().points:
        build(store, gpus, points // (gpu_count * len(METRICS)))
    store.close()
    held = SqliteStore(path, writable=False)
    stored = held.stats().points
    say("file", f"{path.stat().st_size / stored:.2f} bytes a point   (bar: 16)")
    ask_everything(held, [gpu.id for gpu in gpus])
    held.close()
    again = SqliteStore(path)
    expire(again, gpus)
    again.close()


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=100_000_000)
    parser.add_argument("--gpus", type=int, default=1_000)
    parser.add_argument("--keep", type=Path, help="a file to build or to use, and to leave")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        measure(given.keep or Path(directory) / "telemetry.db", given.gpus, given.points)


if __name__ == "__main__":
    main()
