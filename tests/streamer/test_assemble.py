"""Rows of one GPU and moment become one sample."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.models import MAX_METRICS, Gpu
from streamer.assemble import OPEN_BYTES, Assembler, KnownGpu, Place
from streamer.manifest import Manifest

Row = tuple[str, int, str, float]
ROWS = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(1, 3), st.sampled_from("xyz"), st.floats(0, 9)),
    max_size=40,
)


def assemble(rows: list[Row]) -> Assembler:
    assembler = Assembler()
    for gpu, at, metric, value in rows:
        assembler.add(KnownGpu(gpu, Gpu(uuid=gpu)), at, metric, value)
    assembler.close_all()
    return assembler


def runs_of(rows: list[Row], gpu: str) -> list[tuple[int, dict[str, float]]]:
    """The model: consecutive rows of a GPU with one time, each as a dict."""
    runs: list[tuple[int, dict[str, float]]] = []
    for _, at, metric, value in (row for row in rows if row[0] == gpu):
        if not runs or runs[-1][0] != at:
            runs.append((at, {}))
        runs[-1][1][metric] = value
    return runs


@given(ROWS)
def test_each_gpu_keeps_its_rows_in_order(rows: list[Row]) -> None:
    samples = assemble(rows).take()
    for gpu in "ab":
        found = [(s.timestamp, s.metrics) for s in samples if s.gpu.uuid == gpu]
        assert found == runs_of(rows, gpu)


@given(ROWS)
def test_no_row_is_lost_without_being_counted(rows: list[Row]) -> None:
    assembler = assemble(rows)
    points = sum(len(sample.metrics) for sample in assembler.take())
    assert points + assembler.duplicates == len(rows)


@given(ROWS)
def test_the_manifest_bounds_what_a_store_must_hold(rows: list[Row]) -> None:
    manifest = Manifest()
    manifest.add(assemble(rows).take())
    for gpu, entry in manifest.gpus.items():
        of_gpu = [row for row in rows if row[0] == gpu]
        stored = {(at, metric) for _, at, metric, _ in of_gpu}
        assert entry.points - entry.late <= len(stored) <= entry.points
        assert (entry.first, entry.last) == (
            min(row[1] for row in of_gpu),
            max(row[1] for row in of_gpu),
        )


def test_ten_rows_become_one_sample_with_ten_metrics() -> None:
    rows: list[Row] = [("a", 1, f"m{n}", float(n)) for n in range(10)]
    [sample] = assemble(rows).take()
    assert sample.metrics == {f"m{n}": float(n) for n in range(10)}


def test_the_same_point_again_is_a_duplicate_and_its_last_value_stands() -> None:
    assembler = assemble([("a", 1, "x", 1.0), ("a", 1, "x", 2.0)])
    assert assembler.duplicates == 1
    assert assembler.take()[0].metrics == {"x": 2.0}


def test_a_sample_never_holds_more_metrics_than_the_model_allows() -> None:
    rows: list[Row] = [("a", 1, f"m{n}", 0.0) for n in range(MAX_METRICS + 1)]
    assert [len(s.metrics) for s in assemble(rows).take()] == [MAX_METRICS, 1]


def test_a_sample_stays_open_until_its_gpu_moves_on() -> None:
    assembler = Assembler()
    first = KnownGpu("a", Gpu(uuid="a"))
    assembler.add(first, 1, "x", 1.0)
    assert assembler.take() == []
    assembler.add(first, 2, "x", 1.0)
    assert [sample.timestamp for sample in assembler.take()] == [1]


def test_what_is_open_is_bounded_in_bytes_and_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamer.assemble.MAX_OPEN", 3)
    assembler = Assembler()
    for number in range(6):
        assembler.place = Place(number * 100, number + 1)
        assembler.add(KnownGpu(f"g{number}", Gpu(uuid=f"g{number}")), 1, "x", 1.0)
        assembler.close_old(number * 100)
    assert [sample.gpu.uuid for sample in assembler.take()] == ["g0", "g1", "g2"]
    assembler.close_old(OPEN_BYTES + 401)
    assert list(assembler.open) == ["g5"]
    assert assembler.oldest() == Place(500, 6)
