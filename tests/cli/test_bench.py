"""`telemetry bench`, at a small scale: that it measures, keeps and compares."""

from pathlib import Path

import msgspec
import pytest

from cli.bench.figure import Bench, Figure, merge
from cli.bench.latency import percentile
from cli.bench.report import compared
from tests.cli.command import started, telemetry

SMALL = ("--scale", "0.01")


@pytest.mark.timeout(240)
def test_every_figure_is_measured_kept_and_compared(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    kept = place / "figures.json"
    with started(tmp_path, "bench", "--dir", str(place), *SMALL, "--json", str(kept)) as bench:
        assert bench.wait() == 0, bench.output()
    found = msgspec.json.decode(kept.read_bytes(), type=Bench)
    figures = {each.name: each.value for each in found.figures}
    assert figures.pop("points lost") == 0
    assert all(value > 0 for value in figures.values())
    assert list(place.iterdir()) == [kept]
    assert f"{figures['CSV to stored points']:,.1f}" in bench.output()


def test_figures_that_cannot_be_read_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("{}")
    done = telemetry("bench", *SMALL, "--against", str(tmp_path / "other.json"))
    assert (done.returncode, "error: " in done.stderr) == (3, True)


def test_the_run_in_the_middle_counts_and_the_spread_is_told() -> None:
    runs = [[Figure("queue", "messages/s", "more", (value,))] for value in (90.0, 120.0, 100.0)]
    [merged] = merge(runs)
    assert (merged.value, merged.spread) == (100.0, 0.3)


@pytest.mark.parametrize(("better", "ratio"), [("more", "2.00 x"), ("less", "0.50 x")])
def test_a_comparison_says_how_much_better_it_is(better: str, ratio: str) -> None:
    now, before = (Figure("f", "s", better, (value,)) for value in (4.0, 2.0))  # type: ignore[arg-type]
    assert compared(now, before).endswith(ratio)


def test_percentiles_are_of_what_was_measured() -> None:
    times = [float(n) for n in range(100, 0, -1)]
    assert [percentile(times, p) for p in (50, 99, 100)] == [51.0, 100.0, 100.0]
