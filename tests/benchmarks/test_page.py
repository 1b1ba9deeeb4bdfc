"""The page of measurements is made by a command, and a command says whether it still holds."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from benchmarks.page import BEGIN, END, PAGE, page_with, rendered
from benchmarks.reading import WORKS
from benchmarks.results import (
    RESULTS,
    Machine,
    Results,
    Row,
    agrees,
    bounds,
    merged,
    results_of,
    together,
)
from cli.bench.figure import Figure

ROOT = Path(__file__).parents[2]
READING = ("--only", "reading", "--scale", "0.01")


def rate(*values: float) -> Figure:
    return Figure("messages/s", "messages/s", "more", values)


def results(*rows: Row) -> Results:
    machine = Machine("Linux 6", "a processor", 2, 24, "3.11.7")
    kept = {"Kafka": "3.9.1", "Redis": "7.0.15"}
    return Results(machine, kept, "0.1.0 (abc)", "2026-11-26 03:40 UTC", 0.1, 0.5, rows)


def command(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``python -m benchmarks`` on a page of its own."""
    page = directory / "page.md"
    if not page.exists():
        page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    places = ["--results", str(directory / "results.json"), "--page", str(page)]
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments, *places],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_page_is_what_the_command_makes_of_the_results_beside_it() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert (page.count(BEGIN), page.count(END)) == (1, 1)
    if RESULTS.exists():
        kept = msgspec.json.decode(RESULTS.read_bytes(), type=Results)
        assert page == page_with(page, kept)


def test_a_measurement_makes_the_page_and_another_is_compared_with_it(tmp_path: Path) -> None:
    done = command(tmp_path, *READING, "--runs", "2")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "page.md").read_text()
    assert page.startswith("before\n")
    assert page.endswith("after\n")
    assert "old" not in page
    assert "Python 3.11" in page
    assert "| reading a CSV | rows a CPU s |\n| --- | --- |\n| csv module, split only | " in page
    again = command(tmp_path, "--check", "--only", "reading", "--runs", "1")
    assert " of 3 figures agree with those of " in again.stdout
    assert again.returncode == ("DISAGREES" in again.stdout)
    command(tmp_path, "--render")
    assert (tmp_path / "page.md").read_text() == page
    added = command(tmp_path, "--check", "--add", "--only", "reading", "--runs", "1")
    assert added.returncode == ("DISAGREES" in added.stdout), added.stderr
    assert "runs: 3, one after the other" in (tmp_path / "page.md").read_text()


def unreachable() -> list[Row]:
    """Figures of reading that nobody reaches."""
    figures = (Figure("rows a CPU s", "rows a CPU s", "more", (1e15,)),)
    return [Row("reading a CSV", what, figures) for what in WORKS]


@pytest.mark.parametrize(("change", "code"), [({"cores": 99}, 2), ({}, 1)])
def test_what_cannot_be_so_is_said(tmp_path: Path, change: dict[str, int], code: int) -> None:
    """Figures of another machine are not compared; those that nobody reaches disagree."""
    found = results_of([unreachable()], load=0.0, scale=0.01)
    machine = msgspec.structs.replace(found.machine, **change)
    found = msgspec.structs.replace(found, machine=machine)
    (tmp_path / "results.json").write_bytes(msgspec.json.encode(found))
    done = command(tmp_path, "--check", "--only", "reading", "--runs", "1")
    assert done.returncode == code, done.stderr
    assert done.stdout.count("DISAGREES") == (3 if code == 1 else 0)


def test_a_cell_has_the_best_run_and_the_worst() -> None:
    few = Figure("p50", "ms", "less", (1.234, 3.0))
    row = Row("queue", "ours", (rate(90_000.4, 120_000, 100_000), few))
    text = rendered(results(row))
    assert "| queue | messages/s | p50, ms |\n| --- | --- | --- |\n" in text
    assert "| ours | 120,000 (90,000) | 1.23 (3.00) |" in text
    assert "a processor, 2 cores, 24 GB, Linux 6, Python 3.11.7. Kafka 3.9.1, Redis 7.0.15." in text
    assert "runs: 3, one after the other" in text


def test_the_runs_of_a_row_become_one() -> None:
    rows = [Row("s", "w", (rate(value),)) for value in (1.0, 3.0, 2.0)]
    assert merged(rows).figures[0].values == (1.0, 3.0, 2.0)


def test_two_measurements_of_the_same_are_one_with_the_runs_of_both() -> None:
    first, second = (results(Row("s", "w", (rate(*of),))) for of in ((1.0, 3.0), (2.0,)))
    both = together(first, msgspec.structs.replace(second, measured_at="later"))
    assert both.rows[0].figures[0].values == (1.0, 3.0, 2.0)
    assert both.measured_at == "2026-11-26 03:40 UTC and later"
    assert both.release == "0.1.0 (abc)"
    with pytest.raises(ValueError, match="other rows"):
        together(first, results())
    with pytest.raises(ValueError, match="other versions"):
        together(first, msgspec.structs.replace(second, versions={"Kafka": "4"}))


def test_agreeing_is_that_the_best_run_lies_within_the_stated_spread() -> None:
    before = rate(80.0, 100.0)
    assert bounds(before) == (64.0, 125.0)
    assert agrees(before, rate(64.0))
    assert agrees(before, rate(10.0, 125.0, 60.0))
    assert not agrees(before, rate(63.9, 20.0))
    assert not agrees(before, rate(100.0, 125.1))
    tail = Figure("p99", "ms", "less", (4.0, 9.0))
    assert bounds(tail) == (2.0, 18.0)
