"""`telemetry export`: what lies in the folders afterwards is what the store holds."""

import math
from collections import Counter
from pathlib import Path

import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from cli.export.folders import LOCK, PART, folder_name
from common.models import Gpu, Sample
from common.storage.base import GpuFilter
from common.storage.options import StorePlace
from tests.cli.lake import (
    MANY,
    MIDNIGHT_MS,
    POWER,
    ask,
    export,
    files,
    filled,
    fleet,
    in_files,
    in_store,
    on,
    place,
)
from tests.support.victoria import VictoriaMetrics, new_db, victoria_options


@pytest.mark.parametrize("kind", ["sqlite", "jsonl"])
def test_every_value_is_in_one_file_and_no_other_is(tmp_path: Path, kind: str) -> None:
    store = filled(place(tmp_path, kind), fleet())
    summary = export(store, place(tmp_path, kind), tmp_path / "lake")
    expected = in_store(store)
    assert in_files(tmp_path / "lake") == expected
    assert (summary.points, summary.rows) == (len(expected), len({key[:2] for key in expected}))
    assert (summary.days, summary.kept) == (2, 0)
    assert summary.files == len(files(tmp_path / "lake")) - 1  # the lock is beside them


def test_a_servers_points_are_exported_as_files_are(
    tmp_path: Path, victoria: VictoriaMetrics
) -> None:
    where = StorePlace(store="victoriametrics", **victoria_options(victoria, new_db()))
    store = filled(where, fleet())
    export(store, where, tmp_path / "lake")
    assert in_files(tmp_path / "lake") == in_store(store)
    store.close()


def test_duckdb_counts_sums_and_groups_as_the_store(tmp_path: Path) -> None:
    store = filled(place(tmp_path), fleet())
    export(store, place(tmp_path), tmp_path / "lake")
    expected = in_store(store)
    power = {key: value for key, value in expected.items() if key[2] == POWER}
    assert power
    rows, points, total = ask(tmp_path, f"SELECT count(*), count({POWER}), sum({POWER}) FROM lake")[
        0
    ]
    assert (rows, points) == (len({key[:2] for key in expected}), len(power))
    assert math.isclose(total, math.fsum(power.values()), rel_tol=1e-12)
    by_host: Counter[str] = Counter()
    hosts = {record.id: record.gpu.hostname for record in store.gpus(GpuFilter(), MANY)}
    for gpu_id, _, _ in power:
        by_host[hosts[gpu_id]] += 1
    grouped = ask(tmp_path, f"SELECT host, count({POWER}) FROM lake GROUP BY host")
    assert dict(grouped) == by_host
    days = ask(tmp_path, "SELECT DISTINCT day::VARCHAR FROM lake ORDER BY 1")
    assert days == [("2025-07-18",), ("2025-07-19",)]


def test_files_from_before_a_metric_came_up_are_read_with_those_from_after(tmp_path: Path) -> None:
    where, out = place(tmp_path), tmp_path / "lake"
    store = filled(where, [on("h", 0)])
    export(store, where, out)
    store.write([on("h", 86_400_000, metrics={"newcomer": 2.0})])
    export(store, where, out, start="2025-07-20")
    assert in_files(out) == in_store(store)
    rows = ask(tmp_path, "SELECT temp, newcomer FROM lake ORDER BY timestamp")
    assert rows == [(1.0, None), (None, 2.0)]


def test_arrow_reads_the_folder_as_one_table_with_the_documented_columns(tmp_path: Path) -> None:
    text = {"model": "H100", "device": "nvidia0", "pod": "p", "labels": {"rack": "7"}}
    gpu = Gpu(uuid="GPU-a", hostname="h", gpu_id="0", **text)  # type: ignore[arg-type] # spread
    some = [Sample(gpu, MIDNIGHT_MS + 1, {"temp": 1.5}), Sample(gpu, MIDNIGHT_MS + 2, {"util": 2})]
    export(filled(place(tmp_path), some), place(tmp_path), tmp_path / "lake")
    table = ds.dataset(tmp_path / "lake", format="parquet", partitioning="hive").to_table()
    assert [f"{field.name}: {field.type}" for field in table.schema] == [
        "timestamp: timestamp[ms, tz=UTC]",
        *(
            f"{name}: string"
            for name in (
                *("gpu_id", "hostname", "uuid", "gpu_index", "device", "model"),
                *("namespace", "pod", "container", "labels"),
            )
        ),
        "temp: double",
        "util: double",
        "day: string",
        "host: string",
    ]
    first, second = table.to_pylist()
    assert (first["temp"], first["util"], second["temp"], second["util"]) == (1.5, None, None, 2.0)
    assert (first["labels"], first["gpu_index"], first["namespace"]) == ('{"rack":"7"}', "0", None)
    written = pq.read_metadata(next((tmp_path / "lake").rglob(PART)))
    assert written.metadata[b"telemetry.schema"] == b"1"
    assert written.row_group(0).column(0).compression == "ZSTD"
    assert written.row_group(0).column(0).statistics.min == first["timestamp"]


@pytest.mark.parametrize("host", ["..", ".", "../../etc", "a/b", "x=y z", "é%41", "a\0b", "_"])
def test_a_hosts_name_is_never_a_path(tmp_path: Path, host: str) -> None:
    out = tmp_path / "around" / "lake"
    export(filled(place(tmp_path), [on(host)]), place(tmp_path), out)
    name = f"day=2025-07-19/host={folder_name(host)}/{PART}"
    assert files(tmp_path / "around") == sorted([f"lake/{LOCK}", f"lake/{name}"])
    row = ds.dataset(out, format="parquet", partitioning="hive").to_table().to_pylist()[0]
    assert (row["host"], row["hostname"]) == (host, host)


def test_gpus_without_a_host_are_apart_from_one_that_is_called_like_none(tmp_path: Path) -> None:
    none = Sample(Gpu(uuid="GPU-a"), MIDNIGHT_MS, {"temp": 1.0})
    store = filled(place(tmp_path), [none, on("__HIVE_DEFAULT_PARTITION__"), on("h")])
    assert export(store, place(tmp_path), tmp_path / "lake").files == 3
    assert in_files(tmp_path / "lake") == in_store(store)
    table = ds.dataset(tmp_path / "lake", format="parquet", partitioning="hive").to_table()
    found = {(row["gpu_id"], row["hostname"]) for row in table.to_pylist()}
    named = "__HIVE_DEFAULT_PARTITION__"
    assert found == {("GPU-a", None), (f"GPU-{named}", named), ("GPU-h", "h")}


def test_hosts_whose_names_are_too_long_for_a_folder_stay_apart(tmp_path: Path) -> None:
    hosts = ["ü" * 512, "ü" * 511 + "x", "h" * 300]
    store = filled(place(tmp_path), [on(host, 0, f"GPU-{at}") for at, host in enumerate(hosts)])
    assert export(store, place(tmp_path), tmp_path / "lake").files == len(hosts)
    rows = ds.dataset(tmp_path / "lake", format="parquet", partitioning="hive").to_table()
    assert sorted(rows.column("hostname").to_pylist()) == sorted(hosts)


def test_names_of_metrics_that_engines_do_not_tell_apart_are_told_apart(tmp_path: Path) -> None:
    metrics = {"temp": 1.0, "TEMP": 2.0, "host": 3.0, "timestamp": 4.0, "имя": 5.0, "Имя": 6.0}
    store = filled(place(tmp_path), [on("h", metrics=metrics)])
    export(store, place(tmp_path), tmp_path / "lake")
    assert in_files(tmp_path / "lake") == in_store(store)
    columns = [row[0] for row in ask(tmp_path, "DESCRIBE lake")]
    assert len({name.casefold() for name in columns}) == len(columns)


def test_a_page_that_ends_within_a_moment_makes_one_row_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.export.parts.PAGE_POINTS", 7)
    monkeypatch.setattr("cli.export.parts.GROUP_ROWS", 3)
    store = filled(place(tmp_path), fleet(gpus=2, seconds=5))
    summary = export(store, place(tmp_path), tmp_path / "lake")
    assert in_files(tmp_path / "lake") == in_store(store)
    assert summary.rows == store.stats().samples
    assert pq.read_metadata(next((tmp_path / "lake").rglob(PART))).num_row_groups > 1
