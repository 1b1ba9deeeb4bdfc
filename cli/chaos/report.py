"""`telemetry chaos`: a run, or one after the other, and the verdict."""

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
from rich.console import Console

from cli.chaos.outcome import Outcome
from cli.chaos.plan import ChaosPlan, settings_of
from cli.chaos.run import run_chaos
from common import logs

EXIT_BROKEN = 1
PAGE_COLUMNS = 120
LEFT_OUT = (
    "left out: the power of machines and of the SQLite file, packet loss and clocks; they need "
    "root, and docs/faults.md names their tests"
)


def run_chaos_command(plans: Sequence[ChaosPlan], as_json: bool) -> int:
    """Run every plan and print what it showed; return the exit code."""
    wide = None if sys.stdout.isatty() else PAGE_COLUMNS
    console, progress = Console(highlight=False, width=wide), Console(stderr=True, highlight=False)
    logs.configure("critical")  # that a stream of the load was lost is no news here
    outcomes = [one_run(plan, progress) for plan in plans]
    if as_json:
        reports = [outcome.report() for outcome in outcomes]
        found = reports[0] if len(reports) == 1 else reports
        print(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        for outcome in outcomes:
            console.print(render(outcome), soft_wrap=True, markup=False)
    return EXIT_BROKEN if any(outcome.broken() for outcome in outcomes) else 0


def one_run(plan: ChaosPlan, progress: Console) -> Outcome:
    """Run in a directory of its own, which goes afterwards unless one was given."""
    progress.print(f"seed {plan.seed}, {plan.seconds:.0f} s", style="dim", markup=False)
    for name, options in settings_of(plan).told().items():
        given = " ".join(f"{key}={value}" for key, value in options.items())
        progress.print(f"  {name}: {given}", style="dim", markup=False, soft_wrap=True)
    progress.print(f"  {LEFT_OUT}", style="dim", markup=False, soft_wrap=True)
    with directory_of(plan) as directory:
        outcome = asyncio.run(run_chaos(plan, directory))
    verdict = "all promises held" if not outcome.broken() else "BROKEN"
    progress.print(f"seed {plan.seed}: {verdict}", style="dim", markup=False)
    return outcome


@contextmanager
def directory_of(plan: ChaosPlan) -> Iterator[Path]:
    """Where a run keeps its data."""
    if plan.data_dir is None:
        directory = Path(tempfile.mkdtemp(prefix="telemetry-chaos-"))
        try:
            yield directory
        finally:
            shutil.rmtree(directory)
    else:
        directory = plan.data_dir / f"seed-{plan.seed}"
        if directory.exists():
            shutil.rmtree(directory)
        yield directory


def seeds(first_to_last: str, plan: ChaosPlan) -> list[ChaosPlan]:
    """A plan for each seed of ``7`` or ``1..10``; raises ValueError."""
    first, _, last = first_to_last.partition("..")
    numbers = range(int(first), int(last or first) + 1)
    if not numbers:
        raise ValueError("no seed in it")
    return [replace(plan, seed=number) for number in numbers]


def render(outcome: Outcome) -> str:
    """The verdict for people."""
    queue, found, audit = outcome.oracle.summary(), outcome.compared, outcome.audit
    rest = outcome.drain_seconds
    lines = [
        f"seed {outcome.plan.seed}, {outcome.plan.seconds:.0f} s, {len(outcome.history)} strikes",
        f"  messages produced  {queue['answered']:>10,}",
        f"  delivered          {queue['delivered']:>10,}   again {queue['delivered_again']:,}",
        f"  lost               {queue['lost']:>10,}",
        f"  invented, mangled  {queue['invented'] + queue['mangled']:>10,}",
        f"  points produced    {outcome.produced_points:>10,}",
    ]
    if found is not None:
        lines += [
            f"  points stored      {found.stored:>10,}",
            f"  points lost        {found.lost:>10,}",
            f"  doubled            {found.doubled:>10,}",
            f"  wrong, of nobody   {found.wrong + found.invented:>10,}",
        ]
    lines += [
        f"  seconds to drain   {'never' if rest is None else f'{rest:.1f}':>10}   "
        + (f"last: {outcome.unfinished}" if outcome.unfinished else ""),
        f"  scrapes            {audit.scrapes:>10,}   not balanced {len(audit.imbalances):,}",
        f"  most memory        {audit.most_mib:>10,.0f}   MiB in one process",
        f"  most descriptors   {audit.most_descriptors:>10,}   in one process",
    ]
    lines += [
        f"  {name} grew by {growth.mib:+.1f} MiB, {growth.descriptors:+.0f} descriptors"
        for name, growth in sorted(audit.growths().items())
    ]
    broken = outcome.broken()
    if broken:
        lines += [f"  {strike}" for strike in outcome.history]
    lines += [f"  BROKEN {promise}: {what}" for promise, what in broken]
    lines.append(f"  {'all promises held' if not broken else 'promises were broken'}")
    return "\n".join(lines)
