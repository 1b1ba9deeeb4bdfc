"""The questions in Flux: what the storage engine can answer is not carried to the query engine."""

import pytest

from common.storage.base import Aggregate
from common.storage.influx import flux
from tests.storage.samples import T0, sample
from tests.support.influx import InfluxServer
from tests.support.stores import OpenStore

NAMED, _ = flux.some_gpus(["GPU-a"])
ALL_FIELDS, _ = flux.some_fields(())
STORAGE_AGGREGATES: tuple[Aggregate, ...] = ("mean", "min", "max", "last")

QUESTIONS: dict[str, str] = {
    "bounds": flux.BOUNDS,
    "count": flux.COUNT,
    "latest": flux.LATEST,
    "first told": flux.FIRST_TOLD.format(gpus=""),
    "last seen": flux.LAST_SEEN,
    "records": flux.RECORDS.format(gpus=""),
    "records of some": flux.RECORDS.format(gpus=NAMED),
    "stats": flux.STATS,
    **{each: flux.window_text(each, ALL_FIELDS) for each in STORAGE_AGGREGATES},
}

RENAMES_COLUMNS = "*universe.schemaMutationTransformation"
READS_EVERY_POINT = "*influxdb.readFilterSource"


@pytest.mark.parametrize("question", QUESTIONS)
def test_storage_filters_and_aggregates(
    influxd: InfluxServer, bucket: str, open_bucket: OpenStore, question: str
) -> None:
    open_bucket().write([sample("a", at, m=at, n=1) for at in range(10)])
    values = {
        "_bucket": f'"{bucket}"',
        "_start": f"{(T0 - 1) * 1_000_000}",
        "_stop": f"{(T0 + 100_000) * 1_000_000}",
        "_gpu": '"GPU-a"',
        "_gpu0": '"GPU-a"',
        "_name": '"uuid"',
        "_window": "10000000000",
    }
    given = "\n".join(f"{name} = {value}" for name, value in values.items())
    answer = influxd.flux(
        'import "profiler"\noption profiler.enabledProfilers = ["operator"]\n'
        f"{given}\n{QUESTIONS[question]}"
    )
    done = {cell for cell in answer.replace("\n", ",").split(",") if cell.startswith("*")}
    elsewhere = {each for each in done if not each.startswith("*influxdb.read")}
    assert elsewhere <= {RENAMES_COLUMNS}, elsewhere
    assert done - elsewhere
    assert READS_EVERY_POINT not in done
