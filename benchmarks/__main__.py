"""The page of measurements: ``python -m benchmarks``, and with ``--check`` whether it still holds.

Exit code 1 when a figure does not agree with the page, 2 when it cannot be compared or added.
"""

import argparse
import os
import sys
from pathlib import Path

import msgspec

from benchmarks.page import PAGE, number, page_with, tables
from benchmarks.results import (
    RESULTS,
    Results,
    Row,
    agrees,
    best,
    bounds,
    results_of,
    this_machine,
    together,
)
from benchmarks.suite import PARTS, measure
from common import logs

EXIT_DISAGREES, EXIT_INCOMPARABLE = 1, 2


def main() -> int:
    """Measure, render or check."""
    given = read_arguments()
    logs.configure("warning")
    if given.render:
        write_page(read_results(given.results), given.page)
        return 0
    before = read_results(given.results) if given.check or given.add else None
    if before is not None and before.machine != this_machine():
        print(f"measured on another machine, nothing to compare: {before.machine}", file=sys.stderr)
        return EXIT_INCOMPARABLE
    found = measured(given.only, given.runs, before.scale if before else given.scale)
    code = compare(before, found) if before and given.check else 0
    if given.add or not given.check:
        code = keep(before, found, given) or code
    return code


def keep(before: Results | None, found: Results, given: argparse.Namespace) -> int:
    """Write what was found, with the runs there were before; return the exit code."""
    try:
        kept = together(before, found) if before else found
    except ValueError as error:
        print(f"nothing to add to: {error}", file=sys.stderr)
        return EXIT_INCOMPARABLE
    given.results.write_bytes(msgspec.json.format(msgspec.json.encode(kept)) + b"\n")
    write_page(kept, given.page)
    return 0


def read_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="of everything; the best one counts")
    parser.add_argument("--scale", type=float, default=0.3, help="more or less of everything")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--check", action="store_true", help="measure, and compare with the page")
    parser.add_argument(
        "--add", action="store_true", help="measure, and add that to the page's runs"
    )
    parser.add_argument("--render", action="store_true", help="the page from the results alone")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--page", type=Path, default=PAGE)
    return parser.parse_args()


def measured(names: list[str], runs: int, scale: float) -> Results:
    """Some parts, some times; each row is shown as it comes."""
    load = os.getloadavg()[0]
    found: list[list[Row]] = []
    for number_of_run in range(runs):
        print(f"run {number_of_run + 1} of {runs}", file=sys.stderr)
        rows = []
        for row in measure(names, scale):
            rows.append(row)
            print(list(tables((row,)))[-1], file=sys.stderr, flush=True)
        found.append(rows)
    return results_of(found, load, scale)


def compare(before: Results, now: Results) -> int:
    """Say of each figure whether it agrees; return the exit code."""
    known = {(row.section, row.what): row for row in before.rows}
    wrong = compared = 0
    for row in now.rows:
        if (row.section, row.what) not in known:
            print(f"new: {row.section}, {row.what}")
            continue
        for then, figure in zip(known[row.section, row.what].figures, row.figures, strict=True):
            least, most = map(number, bounds(then))
            good = agrees(then, figure)
            wrong, compared = wrong + (not good), compared + 1
            verdict = "agrees" if good else "DISAGREES"
            print(
                f"{verdict:10} {row.what}: {figure.name} {number(best(figure))}, "
                f"{least} to {most} by the page"
            )
    print(f"{compared - wrong} of {compared} figures agree with those of {before.measured_at}")
    return EXIT_DISAGREES if wrong or not compared else 0


def read_results(path: Path) -> Results:
    """What an earlier measurement left."""
    return msgspec.json.decode(path.read_bytes(), type=Results)


def write_page(results: Results, page: Path) -> None:
    """Put the results into the page."""
    page.write_text(page_with(page.read_text(encoding="utf-8"), results), encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
