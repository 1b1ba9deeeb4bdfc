"""`telemetry export`: what lies in the folders afterwards is what the store holds."""

import asyncio
import io
import math
import os
import signal
import subprocess
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import duckdb
import msgspec
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from cli.export.command import run_export
from cli.export.folders import HIDDEN, LOCK, PART, Folders, folder_name
from cli.export.options import ExportOptions
from cli.export.run import Export, Summary
from common.models import Gpu, Sample
from common.storage.base import GpuFilter, Store, TelemetryQuery
from common.storage.factory import open_store
from common.storage.options import StorePlace
from streamer.sources.generator import write_csv
from tests.streamer.reading import read_bytes
from tests.support.victoria import VictoriaMetrics, new_db, victoria_options
from tests.support.waiting import until

BEFORE_MIDNIGHT = datetime(2025, 7, 18, 23, 59, 50, tzinfo=UTC)
MANY = 1_000_000
MOST_KILOBYTES = 500_000
BY_NAME = "hive_partitioning = true, union_by_name = true"
POWER = "DCGM_FI_DEV_POWER_USAGE"
MIDNIGHT_MS = round(datetime(2025, 7, 19, tzinfo=UTC).timestamp() * 1000)

TEMPERATURE = MappingProxyType({"temp": 1.0})

Key = tuple[str, int, str]
Values = dict[Key, float]


def place(tmp_path: Path, kind: str = "sqlite") -> StorePlace:
    return StorePlace(store=kind, sqlite_path=tmp_path / "t.db", jsonl_path=tmp_path / "jsonl")


def filled(where: StorePlace, samples: Iterable[Sample]) -> Store:
    store = open_store(where, writable=True)
    store.write(list(samples))
    return store


def options(where: StorePlace, out: Path, **given: Any) -> ExportOptions:
    return ExportOptions(**where.model_dump(), out=out, **given)


def export(store: Store, where: StorePlace, out: Path, **given: Any) -> Summary:
    return Export(store, options(where, out, **given)).run()


def fleet(gpus: int = 12, seconds: int = 20) -> list[Sample]:
    text = io.BytesIO()
    write_csv(text, gpus, seconds, BEFORE_MIDNIGHT, 7)
    return read_bytes(text.getvalue())[0]


def in_store(store: Store) -> Values:
    found: Values = {}
    for gpu_id in store.gpu_ids():
        page = store.telemetry(TelemetryQuery(gpu_id, MANY))
        assert page is not None
        found |= {(gpu_id, p.timestamp, p.metric): p.value for p in page.points}
    return found


def in_files(out: Path) -> Values:
    """Every value of every file, read one by one; a value that is there twice fails."""
    found: Values = {}
    for path in sorted(out.glob("day=*/host=*/*.parquet")):
        table = pq.ParquetFile(path).read()
        for row in table.to_pylist():
            at = round(row["timestamp"].timestamp() * 1000)
            assert f"day={row['timestamp'].date()}" == path.parent.parent.name
            for field in table.schema:
                if (field.metadata or {}).get(b"metric") and row[field.name] is not None:
                    key = (row["gpu_id"], at, field.metadata[b"metric"].decode())
                    assert key not in found
                    found[key] = row[field.name]
    return found


def files(out: Path) -> list[str]:
    return sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())


def ask(tmp_path: Path, question: str) -> list[Any]:
    """What DuckDB answers about the lake."""
    files = f"{tmp_path}/lake/day=*/host=*/*.parquet"
    with duckdb.connect() as connection:
        lake = f"CREATE VIEW lake AS FROM read_parquet('{files}', {BY_NAME})"
        connection.execute(lake)
        return connection.execute(question).fetchall()


def on(
    host: str, at: int = 0, uuid: str = "", metrics: Mapping[str, float] = TEMPERATURE
) -> Sample:
    gpu = Gpu(uuid=uuid or f"GPU-{host}", hostname=host)
    return Sample(gpu, MIDNIGHT_MS + at, dict(metrics))


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


def test_a_run_again_replaces_and_takes_what_came_since(tmp_path: Path) -> None:
    store, out = filled(place(tmp_path), fleet()), tmp_path / "lake"
    export(store, place(tmp_path), out)
    before = files(out)
    export(store, place(tmp_path), out)
    assert files(out) == before
    assert in_files(out) == in_store(store)
    late = msgspec.structs.replace(fleet()[0], timestamp=MIDNIGHT_MS + 77, metrics={"new": 1.0})
    store.write([late])
    export(store, place(tmp_path), out)
    assert files(out) == before
    assert in_files(out) == in_store(store)


def test_only_the_days_and_hosts_that_were_asked_for(tmp_path: Path) -> None:
    store = filled(place(tmp_path), [on(host, at) for host in "ab" for at in (-1, 0, 86_400_000)])
    one = {"start": "2025-07-19T23:00:00+02:00", "end": "2025-07-19", "hosts": "b"}
    export(store, place(tmp_path), tmp_path / "lake", **one)
    assert files(tmp_path / "lake") == [LOCK, f"day=2025-07-19/host=b/{PART}"]


def test_days_are_named_as_dates_times_or_milliseconds(tmp_path: Path) -> None:
    wanted = date(2025, 7, 18)
    for text in ("2025-07-18", "2025-07-19T01:30:00+02:00", str(MIDNIGHT_MS - 1)):
        assert options(place(tmp_path), tmp_path, start=text).start == wanted
    for text in ("yesterday", "2025-07-18T00:00:00", "20250718T", "9" * 30):
        with pytest.raises(ValueError, match="must be a day"):
            options(place(tmp_path), tmp_path, start=text)
    with pytest.raises(ValueError, match="must not be after"):
        options(place(tmp_path), tmp_path, start="2025-07-19", end="2025-07-18")


def test_what_the_store_has_let_go_of_stays_in_the_lake(tmp_path: Path) -> None:
    where, out = place(tmp_path), tmp_path / "lake"
    store = filled(where, [on("h", at * 3_600_000) for at in range(3)])
    export(store, where, out)
    whole = in_files(out)
    while store.expire(MIDNIGHT_MS + 2 * 3_600_000):
        pass
    assert len(in_store(store)) == 1
    summary = export(store, where, out)
    assert (summary.files, summary.kept) == (0, 1)
    assert in_files(out) == whole


def test_a_gpu_that_moved_stays_where_it_was_exported(tmp_path: Path) -> None:
    where, out = place(tmp_path), tmp_path / "lake"
    store = filled(where, [on("old", 0, "GPU-a"), on("other", 0, "GPU-b")])
    export(store, where, out)
    store.write([on("new", 86_400_000, "GPU-a")])
    export(store, where, out)
    assert in_files(out) == in_store(store)
    assert files(out)[1:] == [
        f"day=2025-07-19/host=old/{PART}",
        f"day=2025-07-19/host=other/{PART}",
        f"day=2025-07-20/host=new/{PART}",
    ]


def test_a_metric_that_comes_up_meanwhile_is_exported_too(tmp_path: Path) -> None:
    store = filled(place(tmp_path), [on("h", 0)])
    begun = Export(store, options(place(tmp_path), tmp_path / "lake"))
    store.write([on("h", 1, metrics={"newcomer": 2.0})])
    begun.run()
    assert in_files(tmp_path / "lake") == in_store(store)


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


def test_two_exports_into_one_folder_do_not_meet(tmp_path: Path) -> None:
    filled(place(tmp_path), [on("h")]).close()
    with Folders(tmp_path / "lake").locked():
        assert run_export(options(place(tmp_path), tmp_path / "lake")) == 3
    assert run_export(options(place(tmp_path), tmp_path / "lake")) == 0


def test_a_file_that_is_no_exports_is_not_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled(place(tmp_path), [on("h")]).close()
    folder = tmp_path / "lake" / "day=2025-07-19" / "host=h"
    folder.mkdir(parents=True)
    (folder / PART).write_bytes(b"somebody else's")
    assert run_export(options(place(tmp_path), tmp_path / "lake")) == 3
    assert PART in capsys.readouterr().err
    assert (folder / PART).read_bytes() == b"somebody else's"
    assert files(tmp_path / "lake") == [LOCK, f"day=2025-07-19/host=h/{PART}"]


def test_a_store_that_is_not_there_and_an_extra_that_is_missing_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_export(options(place(tmp_path), tmp_path / "lake")) == 3
    assert "t.db" in capsys.readouterr().err
    assert not (tmp_path / "t.db").exists()
    for module in [name for name in sys.modules if name.startswith("cli.export.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert run_export(options(place(tmp_path), tmp_path / "lake")) == 2
    assert "telemetry-stack[parquet]" in capsys.readouterr().err


async def test_killed_in_the_middle_it_leaves_whole_files_and_the_next_run_makes_the_rest(
    tmp_path: Path,
) -> None:
    where, out = place(tmp_path), tmp_path / "lake"
    many = {f"metric{number}": float(number) for number in range(50)}
    store = filled(where, [on(host, at, metrics=many) for host in "abcdefgh" for at in range(400)])

    def hidden() -> list[Path]:
        return list(out.glob(f"day=*/host=*/{HIDDEN}"))

    process = await asyncio.create_subprocess_exec(*command(where, out), stdout=DEVNULL)
    try:
        await until(lambda: hidden() or process.returncode is not None, seconds=60)
    finally:
        process.kill()
        assert await process.wait() == -signal.SIGKILL
    expected = in_store(store)
    assert in_files(out).items() <= expected.items()
    again = await asyncio.create_subprocess_exec(*command(where, out), stdout=PIPE)
    said, _ = await again.communicate()
    assert msgspec.json.decode(said)["points"] == len(expected)
    assert in_files(out) == expected
    assert not hidden()


def test_memory_does_not_grow_with_what_is_exported(tmp_path: Path) -> None:
    """Ten million points with EXPORT_POINTS=10000000."""
    where, out = place(tmp_path), tmp_path / "lake"
    metrics = {f"metric{number}": float(number) for number in range(10)}
    moments = int(os.environ.get("EXPORT_POINTS", "100000")) // (len(metrics) * 100)
    store = open_store(where, writable=True)
    for begin in range(0, moments, 100):
        times = range(begin, min(begin + 100, moments))
        gpus = [f"GPU-{number}" for number in range(100)]
        store.write([on("h", at * 1000, uuid, metrics) for at in times for uuid in gpus])
    process = subprocess.Popen(command(where, out), stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        said = msgspec.json.decode(process.stdout.read())
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    assert said["points"] == store.stats().points
    assert usage.ru_maxrss < MOST_KILOBYTES
    total = ask(tmp_path, "SELECT count(*), sum(metric9), count(DISTINCT gpu_id) FROM lake")
    assert total == [(moments * 100, moments * 100 * 9.0, 100)]


def command(where: StorePlace, out: Path) -> list[str]:
    place = ["--sqlite-path", str(where.sqlite_path), "--out", str(out)]
    return [sys.executable, "-m", "cli", "export", *place, "--json"]
