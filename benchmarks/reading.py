"""Reading and batching alone: rows of a CSV into encoded batches, with no queue behind them.

``python -m benchmarks.reading [--csv F] [--rows N] [--runs R]``. The rows of F, or of a fleet of
247 GPUs, are repeated up to N. The time is the CPU time of the process, all threads together, so
neighbours on the machine count little. Beside it: Python's ``csv`` module over the same rows.
"""

import argparse
import asyncio
import csv
import io
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path

from pydantic import SecretStr

from common import logs
from common.lifecycle import Lifecycle
from common.queue.base import Produced
from streamer.options import StreamerOptions
from streamer.service import StreamerService
from streamer.sources.base import Progress
from streamer.sources.content import Content
from streamer.sources.csv_files import begin_file
from streamer.sources.generator import write_csv
from streamer.sources.layout import CsvSettings

GPUS, SECONDS = 247, 4
PARTITIONS = 4


class Nowhere:
    """A queue that takes everything at once and keeps nothing."""

    async def partitions(self, topic: str) -> int:
        """As the topic would have by default."""
        return PARTITIONS

    async def send(
        self, topic: str, partition: int, payloads: Sequence[bytes], idempotency_key: str = ""
    ) -> Produced:
        """Take it."""
        return Produced("b:0:0", topic, partition, 0, len(payloads), "memory")

    async def close(self) -> None:
        """Nothing to let go of."""


def write_rows(path: Path, source: bytes, count: int) -> None:
    """Write the header of ``source`` and its rows, again and again, ``count`` of them."""
    header, *rows = source.splitlines(keepends=True)
    with path.open("wb") as file:
        file.write(header)
        file.writelines(islice(cycle(rows), count))


def generated() -> bytes:
    """A small fleet as DCGM CSV."""
    out = io.BytesIO()
    write_csv(out, GPUS, SECONDS, datetime(2025, 7, 18, tzinfo=UTC), seed=1)
    return out.getvalue()


def read_with_csv(path: Path) -> int:
    """The ceiling of the usual way: split the rows and do nothing with them."""
    with path.open(newline="") as file:
        return sum(1 for _ in csv.reader(file)) - 1


def read_alone(path: Path) -> int:
    """Rows into samples."""
    content, progress = Content(path), Progress()
    reading = begin_file(content, CsvSettings(), progress)
    while reading.next_chunk() is not None:
        pass
    reading.last_chunk()
    content.close()
    return progress.rows_read


def read_and_batch(path: Path) -> int:
    """Rows into samples into batches, encoded and handed to the queue: the streamer as it is."""
    options = StreamerOptions(
        csv_path=str(path),
        service_token=SecretStr("x" * 16),
        exit_when_done=True,
        log_level="error",
    )
    return asyncio.run(stream(options))


async def stream(options: StreamerOptions) -> int:
    """Run a streamer to its end."""
    lifecycle = Lifecycle()
    service = StreamerService(options, lifecycle, Nowhere())
    await service.start()
    await lifecycle.stopping.wait()
    await service.stop()
    return service.feed.source.progress.rows_read


WORKS: dict[str, Callable[[Path], int]] = {
    "csv module, split only": read_with_csv,
    "reading": read_alone,
    "reading and batching": read_and_batch,
}


def rate_of(work: Callable[[Path], int], path: Path) -> float:
    """Rows a CPU second."""
    before = time.process_time()
    rows = work(path)
    return rows / (time.process_time() - before)


def main() -> None:
    """Measure the three beside each other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--csv", type=Path, help="a CSV whose rows are repeated")
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    logs.configure("warning")
    source = given.csv.read_bytes() if given.csv else generated()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "rows.csv"
        write_rows(path, source, given.rows)
        for name, work in WORKS.items():
            rates = [rate_of(work, path) for _ in range(given.runs)]
            print(f"{name:<28}{'  '.join(f'{rate:>9,.0f}' for rate in rates)}  rows/s")


if __name__ == "__main__":
    main()
