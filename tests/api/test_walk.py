"""Walking through everything by limit and cursor: no gap, no double, over both stores.

WALK_POINTS=1000000 walks through a million.
"""

import os
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from common.models import Gpu, Sample
from common.storage.base import Store
from common.storage.sqlite.store import SqliteStore
from tests.api.conftest import T0, Api, StartApi
from tests.support.influx import InfluxServer, influxdb_options
from tests.support.stores import OpenStore

POINTS = int(os.environ.get("WALK_POINTS", "2000"))
METRICS = 10
GPUS = min(247, POINTS // (4 * METRICS))
SAMPLES_A_WRITE = 5_000


def fleet_of(chance: random.Random) -> dict[str, list[Sample]]:
    """About so many points; moments are uneven and metrics are missing here and there."""
    moments = max(2, POINTS // (GPUS * METRICS))
    names = [f"metric_{number}" for number in range(METRICS)]
    found = {}
    for number in range(GPUS):
        gpu, at, samples = Gpu(uuid=f"GPU-{number:03}", hostname=f"host-{number // 8}"), T0, []
        for _ in range(moments):
            at += chance.choice((1, 999, 1_000, 60_000))
            shown = names if chance.random() < 0.9 else chance.sample(names, 3)
            samples.append(Sample(gpu, at, {name: chance.random() for name in shown}))
        found[gpu.id] = samples
    return found


def fill(store: Store, fleet: dict[str, list[Sample]]) -> None:
    """All samples, a GPU after the other."""
    samples = [sample for each in fleet.values() for sample in each]
    for first in range(0, len(samples), SAMPLES_A_WRITE):
        store.write(samples[first : first + SAMPLES_A_WRITE])


def iso(ms: int) -> str:
    """A time as the API writes it."""
    when = datetime.fromtimestamp(ms / 1000, UTC)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def pages(api: Api, path: str, what: str, chance: random.Random) -> AsyncIterator[list[Any]]:
    """Pages of changing length, each from the cursor of the one before."""
    more = ""
    while True:
        limit = chance.choice((1, 7, 10, 1_000)) if POINTS <= 10_000 else 1_003
        body = await api.ok(f"{path}{'&' if '?' in path else '?'}limit={limit}{more}")
        assert len(body[what]) <= limit
        yield body[what]
        if body["next_cursor"] is None:
            return
        more = f"&cursor={body['next_cursor']}"


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["sqlite", "influxdb"])
async def test_a_walk_meets_every_point_once(
    start_api: StartApi,
    store_path: Path,
    influxd: InfluxServer,
    bucket: str,
    open_bucket: OpenStore,
    kind: str,
) -> None:
    chance = random.Random(1)
    fleet = fleet_of(chance)
    store = SqliteStore(store_path) if kind == "sqlite" else open_bucket()
    fill(store, fleet)
    where = influxdb_options(influxd, bucket) if kind == "influxdb" else {}
    async with start_api(store=kind, **where) as api:
        gpus = [gpu async for page in pages(api, "/api/v1/gpus", "gpus", chance) for gpu in page]
        assert [gpu["id"] for gpu in gpus] == sorted(fleet)
        for number, gpu in enumerate(gpus):
            order = ("asc", "desc")[number % 2]
            path = f"/api/v1/gpus/{gpu['id']}/telemetry?order={order}"
            found = [p async for page in pages(api, path, "points", chance) for p in page]
            if order == "desc":
                found.reverse()
            times = [point["timestamp"] for point in found]
            assert times == sorted(times)
            assert sorted((p["timestamp"], p["metric"], p["value"]) for p in found) == sorted(
                (iso(sample.timestamp), name, value)
                for sample in fleet[gpu["id"]]
                for name, value in sample.metrics.items()
            )
    if kind == "sqlite":
        store.close()
