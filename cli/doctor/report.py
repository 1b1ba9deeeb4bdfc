"""`telemetry doctor`: whom it examines, and what it prints."""

import asyncio
import sys
from collections.abc import Sequence

import msgspec
from rich.console import Console

from cli.doctor.examine import Patient, examine
from cli.doctor.finding import Finding, Level

EXIT_FOUND = 1
LOOKS = {
    Level.OK: ("ok   ", "green"),
    Level.WARNING: ("warn ", "yellow"),
    Level.ERROR: ("FAIL ", "bold red"),
}


def run_doctor(patients: Sequence[Patient], as_json: bool) -> int:
    """Examine, print, and return 1 when something has to be repaired."""
    findings = asyncio.run(examine(patients))
    if as_json:
        sys.stdout.write(msgspec.json.encode([each._asdict() for each in findings]).decode() + "\n")
    else:
        render(findings, Console(highlight=False, soft_wrap=True))
    return EXIT_FOUND if any(each.level is Level.ERROR for each in findings) else 0


def render(findings: Sequence[Finding], console: Console) -> None:
    """One line a finding, its remedy below it, and the count."""
    for level, service, check, what, remedy in findings:
        sign, style = LOOKS[level]
        console.print(sign, style=style, end="")
        console.print(f"{service}, {check}: {what}", markup=False)
        if remedy:
            console.print(f"       do: {remedy}", style="dim", markup=False)
    counts = {level: sum(each.level is level for each in findings) for level in Level}
    console.print(
        f"{counts[Level.ERROR]} to repair, {counts[Level.WARNING]} to look after, "
        f"{counts[Level.OK]} in order"
    )
