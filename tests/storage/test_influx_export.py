"""A DCGM export of a whole fleet through InfluxDB: every point comes back as the file has it."""

import csv
import io
from datetime import UTC, datetime
from pathlib import Path

import pytest

from common.models import Sample
from common.storage.base import GpuFilter, Store, TelemetryQuery
from common.storage.bodies import bodies
from common.storage.influx.lines import Encoder
from streamer.sources.generator import write_csv
from tests.storage.samples import MANY
from tests.streamer.reading import read_bytes
from tests.support.stores import OpenStore
from tests.support.victoria import running_victoria

GPUS = 247
BEGIN = datetime(2025, 7, 18, 20, 42, 34, tzinfo=UTC)

Key = tuple[str, int, str]


@pytest.fixture(scope="module")
def export() -> bytes:
    """As large a fleet as the export that the pipeline was made for, four moments of it."""
    text = io.BytesIO()
    write_csv(text, GPUS, 4, BEGIN, 7)
    return text.getvalue()


@pytest.fixture(scope="module")
def samples(export: bytes) -> list[Sample]:
    return read_bytes(export)[0]


@pytest.fixture
def store(open_bucket: OpenStore) -> Store:
    return open_bucket()


def by_hand(export: bytes) -> dict[Key, float]:
    """The points of a file, read by Python's own CSV reader."""
    return {
        (
            row["uuid"],
            round(datetime.fromisoformat(row["timestamp"]).timestamp() * 1000),
            row["metric_name"],
        ): float(row["value"])
        for row in csv.DictReader(io.StringIO(export.decode()))
    }


def stored(store: Store) -> dict[Key, float]:
    found: dict[Key, float] = {}
    for record in store.gpus(GpuFilter(), MANY):
        page = store.telemetry(TelemetryQuery(record.id, MANY))
        assert page is not None
        assert record.points == len(page.points)
        found |= {(record.id, p.timestamp, p.metric): p.value for p in page.points}
    return found


def test_every_point_comes_back_to_the_digit_and_again_changes_no_count(
    store: Store, export: bytes, samples: list[Sample]
) -> None:
    expected = by_hand(export)
    assert len(expected) > 9_000
    for _ in range(2):
        store.write(samples)
        stats = store.stats()
        assert (stats.gpus, stats.points) == (GPUS, len(expected))
        assert stats.samples == len({key[:2] for key in expected})
    assert stored(store) == expected


def test_who_the_gpus_are_comes_back_as_the_file_has_it(
    store: Store, samples: list[Sample]
) -> None:
    store.write(samples)
    expected = {sample.gpu.id: sample.gpu for sample in samples}
    assert {record.id: record.gpu for record in store.gpus(GpuFilter(), MANY)} == expected


def test_another_server_counts_the_same_lines_equal(
    tmp_path: Path, export: bytes, samples: list[Sample]
) -> None:
    expected: dict[str, int] = {"gpu__seen": len(samples)}
    for _, _, metric in by_hand(export):
        expected[f"gpu_{metric}"] = expected.get(f"gpu_{metric}", 0) + 1
    with running_victoria(tmp_path / "victoria") as server:
        for body in bodies(Encoder().lines(samples)):
            server.write(body)
        assert server.count() == expected
