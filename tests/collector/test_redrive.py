"""Bad points to the dead-letter queue of a real broker, and from there into the repaired store."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from collector.pipeline import Pipeline
from common.clock import SystemClock
from common.lifecycle import Lifecycle
from common.models import LATEST_MS, Gpu, Sample
from common.queue.http import HttpConsumer
from common.storage.base import Store, WriteRefused, Written
from common.storage.sqlite.store import SqliteStore
from tests.collector.conftest import collector_options
from tests.collector.fakes import T0, message, raw_message
from tests.support.client import TOKEN
from tests.support.proxy import Cluster, cluster
from tests.support.waiting import until, until_told

GPUS = 50
MOMENTS = 10
NAMES = [f"metric_{n}" for n in range(10)]
LONGEST_POD = 40
Spoil = Callable[[Sample], None]


class PickySqlite(SqliteStore):
    """A SQLite store that, until it is repaired, knows metric_3 as text and limits pods."""

    repaired = False

    def write(self, samples: Sequence[Sample]) -> Written:
        for each in samples if not self.repaired else ():
            if each.metrics.get("metric_3", 0.0) < 0:
                raise WriteRefused(f"metric_3 of {each.gpu.uuid} is text here")
            if len(each.gpu.pod) > LONGEST_POD:
                raise WriteRefused(f"pod of {each.gpu.uuid} is over {LONGEST_POD} bytes")
        return super().write(samples)


def fleet() -> list[Sample]:
    return [
        Sample(Gpu(uuid=f"gpu-{gpu}"), T0 + 1000 * at, dict.fromkeys(NAMES, 1.0))
        for at in range(MOMENTS)
        for gpu in range(GPUS)
    ]


def conflict(sample: Sample) -> None:
    sample.metrics["metric_3"] = -1.0


def long_pod(sample: Sample) -> None:
    sample.gpu = Gpu(uuid=sample.gpu.uuid, pod="p" * (LONGEST_POD + 1))
    sample.metrics = {"metric_0": 1.0}


@asynccontextmanager
async def collecting(directory: Path, queue: Cluster, store: Store) -> AsyncIterator[Pipeline]:
    consumer = HttpConsumer(queue.url, SecretStr(TOKEN), "t", "collectors", 400, 20)
    lifecycle = Lifecycle()
    options = collector_options(directory)
    pipeline = await asyncio.to_thread(Pipeline, options, SystemClock(), [consumer], lambda: store)
    pipeline.spawn(lifecycle)
    try:
        yield pipeline
        assert not lifecycle.problems
    finally:
        await lifecycle.cancel_tasks()
        await pipeline.close()


async def dead_letters(queue: Cluster) -> list[Any]:
    parameters = {"topic": "t", "group": "collectors"}
    answer = await queue.client.request("GET", "/dlq", params=parameters)
    return [] if answer.status == 404 else list(answer.json["dead_letters"])


@pytest.mark.parametrize(
    ("spoil", "words", "good"),
    [
        (conflict, "refused_by_store: metric_3 of gpu-33 is text here", 4999),
        (long_pod, "refused_by_store: pod of gpu-33 is over 40 bytes", 4990),
    ],
)
async def test_what_the_store_refuses_is_stored_once_it_was_repaired_and_redriven(
    tmp_path: Path, spoil: Spoil, words: str, good: int
) -> None:
    samples = fleet()
    spoil(samples[333])
    points = sum(len(each.metrics) for each in samples)
    store = PickySqlite(tmp_path / "points.sqlite")
    async with cluster(tmp_path, 2) as queue, collecting(tmp_path, queue, store) as pipeline:
        await produce(queue, samples)
        await until(lambda: pipeline.stats()["messages_errors"])
        await until(lambda: pipeline.stats()["spool_messages"] == 0)
        (letter,) = await dead_letters(queue)
        assert (letter["reason"], letter["error"]) == ("REJECTED", words)
        assert store.stats().points == good
        store.repaired = True
        await redrive(queue)
        await until(lambda: store.stats().points == points)
        assert await dead_letters(queue) == []
        await until_told(lambda: settled(queue))


async def produce(queue: Cluster, samples: Sequence[Sample]) -> None:
    for first in range(0, len(samples), 100):
        payload = message(*samples[first : first + 100])
        answer = await queue.client.produce_lines("t", payload, partition=first // 100 % 8)
        assert answer.status == 200


async def redrive(queue: Cluster) -> None:
    parameters = {"topic": "t", "group": "collectors"}
    await queue.client.request("POST", "/dlq/redrive", params=parameters, json={"rate": 1000})


async def settled(queue: Cluster) -> bool:
    rows = await queue.client.groups("t", "collectors")
    return all(row["lag"] == 0 for row in rows)


@pytest.mark.parametrize("value", [b"1e999", b"null", b'"1"'])
async def test_a_bad_value_costs_nothing_but_itself(tmp_path: Path, value: bytes) -> None:
    metrics = b'{"gpu":{"uuid":"gpu-%d"},"timestamp":%d,"metrics":{%b}}'
    spoiled = metrics % (0, T0, b'"a":%b,"b":2.0' % value)
    body = raw_message(spoiled, metrics % (1, T0, b'"a":1.0'))
    store = SqliteStore(tmp_path / "points.sqlite")
    async with cluster(tmp_path, 2) as queue, collecting(tmp_path, queue, store) as pipeline:
        await queue.client.produce_lines("t", body, partition=3)
        await until(lambda: store.stats().points == 2)
        await until(lambda: pipeline.stats()["spool_messages"] == 0)
        (letter,) = await dead_letters(queue)
    assert letter["error"].startswith("bad_sample: ")
    assert '"a":' in letter["payload"]
    assert '"b":' not in letter["payload"]


async def test_a_time_of_the_far_future_is_a_letter_and_the_rest_is_stored(
    tmp_path: Path,
) -> None:
    samples = fleet()
    samples[7].timestamp = LATEST_MS + 1
    store = SqliteStore(tmp_path / "points.sqlite")
    async with cluster(tmp_path, 2) as queue, collecting(tmp_path, queue, store) as pipeline:
        await produce(queue, samples)
        await until(lambda: pipeline.stats()["messages_errors"] == {"bad_timestamp": 10})
        await until(lambda: store.stats().points == 4990)
        (letter,) = await dead_letters(queue)
        await until_told(lambda: settled(queue))
    assert letter["error"] == "bad_timestamp"


async def test_a_message_that_is_none_is_dead_as_it_came(
    tmp_path: Path,
) -> None:
    store = SqliteStore(tmp_path / "points.sqlite")
    async with cluster(tmp_path, 2) as queue, collecting(tmp_path, queue, store):
        await queue.client.produce_lines("t", b"nonsense", partition=3, key="k")
        await until_told(lambda: dead_letters(queue))
        (letter,) = await dead_letters(queue)
        rows = await queue.client.groups("t", "collectors")
    assert (letter["payload"], letter["key"], letter["partition"]) == ("nonsense", "k", 3)
    assert letter["error"].startswith("bad_json: ")
    assert (sum(row["dead"] for row in rows), sum(row["lag"] for row in rows)) == (1, 0)
