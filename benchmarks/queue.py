"""How fast one broker carries messages, beside its peers: ``python -m benchmarks.queue``.

Every contender does the same work in the same run: one server process, one producer process, one
consumer process, every message acked. The time runs from a common start to the last ack; CPU
seconds are those of all three processes. Peers that are not on this machine are left out.
"""

import argparse
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.bare import BARE
from benchmarks.harness import Contender, run
from benchmarks.ours import OURS, OURS_EVENTS, OURS_SINGLY, ROOT
from benchmarks.peers import PEERS, is_here
from cli.bench.drive import Result, Work

SMALL, LARGE = 300, 27_700


class Row(NamedTuple):
    """One contender at one piece of work."""

    contender: Contender
    work: Work
    note: str


def rows(peers: list[str], scale: float) -> Iterator[Row]:
    """The work, so much of it that each run takes some seconds."""

    def work(messages: int, size: int, batch: int = 1, lanes: int = 16) -> Work:
        return Work(max(int(messages * scale) // batch, 1) * batch, size, batch, lanes)

    yield Row(OURS, work(3_000_000, SMALL, 1000), "1,000 a request")
    yield Row(OURS, work(1_000_000, SMALL, 100, lanes=64), "100 a request, 64 in flight")
    yield Row(OURS_SINGLY, work(1_000_000, SMALL, 1000), "1,000 a request")
    yield Row(OURS_EVENTS, work(1_000_000, SMALL, 1000), "1,000 a request")
    for peer in peers:
        yield Row(PEERS[peer], work(50_000 if peer == "nats" else 500_000, SMALL), "")
    yield Row(OURS, work(40_000, SMALL, 1, lanes=256), "1 a request, 256 in flight")
    yield Row(BARE, work(40_000, SMALL, 1, lanes=64), "1 a request, 64 in flight, its best")
    yield Row(OURS, work(64_000, LARGE, 32), "32 a request")
    for peer in peers:
        yield Row(PEERS[peer], work(30_000, LARGE), "")


def measure(row: Row) -> Result:
    """One run in a directory of its own."""
    directory = Path(tempfile.mkdtemp(dir=ROOT, prefix=".bench-"))
    try:
        return run(row.contender, row.work, directory)
    finally:
        shutil.rmtree(directory)


def show(row: Row, result: Result) -> str:
    """A row of the table."""
    megabytes = result.rate * result.size / 1e6
    return (
        f"| {row.contender.name} | {result.size:,} | {row.note} | {result.messages:,} "
        f"| {result.rate:,.0f} | {megabytes:,.0f} | {result.cpu_per_million:,.1f} |"
    )


def read_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", default=",".join(PEERS), help="which, by comma; '' for none")
    parser.add_argument("--scale", type=float, default=1.0, help="more or less of everything")
    parser.add_argument("--runs", type=int, default=1, help="of the whole table")
    return parser.parse_args()


def main() -> None:
    """Print the table, a row at a time."""
    given = read_arguments()
    peers = [peer for peer in given.peers.split(",") if peer and is_here(peer)]
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print("| contender | bytes | | messages | messages/s | MB/s | CPU s a million |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for _ in range(given.runs):
        for row in rows(peers, given.scale):
            print(show(row, measure(row)), flush=True)


if __name__ == "__main__":
    main()
