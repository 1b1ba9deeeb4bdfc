"""The measured part of ``benchmarks/README.md``, from ``results.json``."""

from collections.abc import Iterator
from itertools import groupby

from benchmarks.results import (
    AGREES_WITHIN,
    MOSTLY_AGREES_WITHIN,
    ROOT,
    Machine,
    Results,
    Row,
    best,
    worst,
)
from cli.bench.figure import Figure

PAGE = ROOT / "benchmarks/README.md"
BEGIN = "<!-- made by python -m benchmarks; do not edit -->"
END = "<!-- until here -->"


def page_with(page: str, results: Results) -> str:
    """The page with the results in their place."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{rendered(results)}{END}{after}"


def rendered(results: Results) -> str:
    """Head and tables."""
    return "\n".join([*head(results), *tables(results.rows)]) + "\n"


def head(results: Results) -> Iterator[str]:
    """Where and when, what else ran, and when another measurement agrees."""
    runs = max(len(figure.values) for row in results.rows for figure in row.figures)
    versions = ", ".join(f"{name} {said}" for name, said in sorted(results.versions.items()))
    tails = " and ".join(AGREES_WITHIN)
    yield f"telemetry-stack {results.release} on {of(results.machine)}. {versions}."
    yield ""
    yield (
        f"Measured {results.measured_at}, runs: {runs}, one after the other, scale "
        f"{results.scale:g}, load {results.load:g} before them. A cell is the best run and, "
        "in brackets, the worst: what else a machine and its neighbours do only ever slows a run. "
        "Another measurement on such a machine agrees when its best run lies between these, or "
        f"beyond by no more than {MOSTLY_AGREES_WITHIN:.0%} ({max(AGREES_WITHIN.values()):.0%} for "
        f"{tails}): `python -m benchmarks --check` says so, figure by figure."
    )


def of(machine: Machine) -> str:
    """A machine in words."""
    return (
        f"{machine.processor}, {machine.cores} cores, {machine.memory_gb} GB, {machine.system}, "
        f"Python {machine.python}"
    )


def tables(rows: tuple[Row, ...]) -> Iterator[str]:
    """A table a section, a column a unit."""
    for section, members in groupby(rows, lambda row: row.section):
        lines = list(members)
        columns = [column(figure) for figure in lines[0].figures]
        yield ""
        yield f"| {section} | {' | '.join(columns)} |"
        yield "| --- |" + " --- |" * len(columns)
        for row in lines:
            yield f"| {row.what} | {' | '.join(map(cell, row.figures))} |"


def column(figure: Figure) -> str:
    """What stands above a figure."""
    return figure.unit if figure.name == figure.unit else f"{figure.name}, {figure.unit}"


def cell(figure: Figure) -> str:
    """The best run, and the worst."""
    if len(figure.values) == 1:
        return number(best(figure))
    return f"{number(best(figure))} ({number(worst(figure))})"


def number(value: float) -> str:
    """Three digits, more of what is large."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
