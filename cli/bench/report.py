"""`telemetry bench`: a table, a picture, and figures for the next time."""

import asyncio
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from cli.bench.drive import ClientFailedError
from cli.bench.figure import Bench, Figure, bench_of, merge
from cli.bench.measures import measure
from cli.supervisor import StackError

EXIT_FAILED = 3
BAR_CELLS = 24
PAGE_COLUMNS = 120


@dataclass(frozen=True)
class BenchPlan:
    """Where to measure, how much, how often, and what to do with the figures."""

    directory: Path
    scale: float
    runs: int
    output: Path | None
    against: Path | None


def run_bench(plan: BenchPlan) -> int:
    """Measure and print; return the exit code."""
    wide = None if sys.stdout.isatty() else PAGE_COLUMNS
    console, progress = Console(highlight=False, width=wide), Console(stderr=True, highlight=False)
    try:
        before = read_bench(plan.against) if plan.against else None
        found = bench_of(merge([one_run(plan, progress) for _ in range(plan.runs)]))
    except (StackError, ClientFailedError, OSError, msgspec.DecodeError) as error:
        progress.print(f"error: {error}", style="red", markup=False)
        return EXIT_FAILED
    if plan.output is not None:
        plan.output.write_bytes(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
    console.print(
        f"{found.machine}, {found.cores} cores, Python {found.python}, "
        f"telemetry-stack {found.release}, {found.measured_at}"
    )
    console.print(picture(found, before))
    console.print(
        "All processes share this machine, clients too. Every message is on disk (fsync) before it "
        "is answered, and acked."
    )
    return 0


def one_run(plan: BenchPlan, progress: Console) -> list[Figure]:
    """Measure in a directory of its own, which goes afterwards."""
    directory = Path(tempfile.mkdtemp(dir=plan.directory, prefix=".bench-"))
    try:
        return asyncio.run(measure(directory, plan.scale, progress))
    finally:
        shutil.rmtree(directory)


def read_bench(path: Path) -> Bench:
    """Figures that ``--json`` left."""
    return msgspec.json.decode(path.read_bytes(), type=Bench)


def picture(found: Bench, before: Bench | None) -> Table:
    """A row a figure; its bar against the last time, or how far its runs lie apart."""
    table = Table(box=None, pad_edge=False)
    table.add_column("measured")
    table.add_column("figure", justify="right")
    table.add_column("unit")
    table.add_column("runs apart")
    if before is not None:
        table.add_column(f"against {before.measured_at}")
    earlier = {each.name: each for each in before.figures} if before else {}
    for each in found.figures:
        spread = f"{each.spread:.0%}" if len(each.values) > 1 else "one run"
        row = [each.name, f"{each.value:,.1f}", each.unit, spread]
        if before is not None:
            row.append(compared(each, earlier.get(each.name)))
        table.add_row(*row)
    return table


def compared(now: Figure, before: Figure | None) -> str:
    """A bar as long as the figure is good, half the cells being the last time's."""
    if before is None or not before.value or not now.value:
        return ""
    ratio = now.value / before.value if now.better == "more" else before.value / now.value
    cells = min(BAR_CELLS, round(ratio * BAR_CELLS / 2))
    return f"{'█' * cells}{'·' * (BAR_CELLS - cells)} {ratio:.2f} x"
