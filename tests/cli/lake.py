"""A lake: what a store holds, what its export holds, and how the two are made."""

import io
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import duckdb
import pyarrow.parquet as pq

from cli.export.options import ExportOptions
from cli.export.run import Export, Summary
from common.models import Gpu, Sample
from common.storage.base import Store, TelemetryQuery
from common.storage.factory import open_store
from common.storage.options import StorePlace
from streamer.sources.generator import write_csv
from tests.streamer.reading import read_bytes

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


def command(where: StorePlace, out: Path) -> list[str]:
    place = ["--sqlite-path", str(where.sqlite_path), "--out", str(out)]
    return [sys.executable, "-m", "cli", "export", *place, "--json"]
