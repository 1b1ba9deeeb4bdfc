"""A point that InfluxDB refuses: alone in the dead-letter queue, with the server's own words."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from common.models import LATEST_MS, Sample
from common.storage.base import Store
from tests.collector.fakes import message
from tests.collector.test_redrive import GPUS, fleet
from tests.support.broker import RunningBroker, running_broker
from tests.support.collector import CollectorProcess, collector_process
from tests.support.influx import ORG, TOKEN, InfluxServer, running_influxd
from tests.support.stores import opening_bucket
from tests.support.waiting import until_told

BUCKET = "fleet"
GROUP = {"topic": "telemetry", "group": "collectors"}
ANOTHER_SHARD_MS = 60 * 86_400_000
BAD = 333


@pytest.fixture
def server(tmp_path: Path) -> Iterator[InfluxServer]:
    with running_influxd(tmp_path / "influxd") as server:
        yield server


@pytest.fixture
def store(server: InfluxServer) -> Iterator[Store]:
    for open_it in opening_bucket(server, BUCKET):
        yield open_it(writable=False)


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[RunningBroker]:
    async with running_broker(tmp_path / "broker") as broker:
        yield broker


def environment(server: InfluxServer) -> dict[str, str]:
    return {
        "STORE": "influxdb",
        "INFLUXDB_URL": server.url,
        "INFLUXDB_TOKEN": TOKEN,
        "INFLUXDB_ORG": ORG,
        "INFLUXDB_BUCKET": BUCKET,
    }


async def test_a_conflict_of_types_is_one_letter_and_is_stored_after_the_repair(
    tmp_path: Path, broker: RunningBroker, server: InfluxServer, store: Store
) -> None:
    samples = fleet()
    bad = samples[BAD]
    bad.timestamp += ANOTHER_SHARD_MS  # types hold within a shard
    async with collector_process(tmp_path, broker.url, **environment(server)) as collector:
        line = f"gpu,gpu=somebody-elses metric_3=1i {bad.timestamp}"
        await until_told(lambda: is_written(server, line))
        await produce(broker, samples)
        await until_told(lambda: is_through(broker, collector))
        (letter,) = await dead_letters(broker)
        assert letter["error"].startswith("refused_by_store: ")
        assert "type conflict" in letter["error"]
        assert '"metric_3":1.0' in letter["payload"]
        assert '"metric_4"' not in letter["payload"]
        assert (await collector.stats())["telemetry_stored"] == 4999
        assert sum(store.count_points(f"gpu-{n}", 0, LATEST_MS) for n in range(GPUS)) == 4999
        remake(server)
        await broker.client.request("POST", "/dlq/redrive", params=GROUP, json={})
        await until_told(lambda: has_points(store, 1))
        assert await dead_letters(broker) == []
        assert store.gpu_metrics(f"gpu-{BAD % GPUS}") == ["metric_3"]


async def produce(broker: RunningBroker, samples: list[Sample]) -> None:
    for first in range(0, len(samples), 100):
        payload = message(*samples[first : first + 100])
        await broker.client.produce_lines("telemetry", payload, partition=first // 100 % 4)


async def is_through(broker: RunningBroker, collector: CollectorProcess) -> bool:
    rows = await broker.client.groups("telemetry", "collectors")
    stats = await collector.stats()
    done = stats["messages_processed"] == 5 and not stats["spool_messages"]
    return done and all(row["lag"] == 0 for row in rows)


async def dead_letters(broker: RunningBroker) -> list[Any]:
    return list((await broker.client.request("GET", "/dlq", params=GROUP)).json["dead_letters"])


async def is_written(server: InfluxServer, line: str) -> bool:
    """Whether the server takes a line: its bucket is listed before it can be written to."""
    try:
        server.write(BUCKET, line)
    except HTTPError:
        return False
    return True


def remake(server: InfluxServer) -> None:
    """An operator's repair: a bucket in which nobody has written metric_3 as an integer."""
    server.drop_bucket(BUCKET)
    org_id = server.ask("GET", f"/api/v2/orgs?org={ORG}")["orgs"][0]["id"]
    server.ask("POST", "/api/v2/buckets", {"orgID": org_id, "name": BUCKET})


async def has_points(store: Store, count: int) -> bool:
    return store.stats().points == count
