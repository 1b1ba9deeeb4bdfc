"""The API over InfluxDB: whatever is asked, the answer is the one that SQLite gives."""

from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import quote

import pytest

from common.models import Gpu, Sample
from common.storage.base import Store
from common.storage.sqlite.store import SqliteStore
from tests.api.conftest import T0, Api, StartApi
from tests.api.test_injection import CATALOGUE
from tests.support.influx import InfluxServer, influxdb_options
from tests.support.stores import OpenStore

GPUS = 12

QUESTIONS = (
    "/gpus",
    "/gpus?limit=5",
    "/gpus?limit=4&offset=3",
    "/gpus?host=host-1&model=H100",
    "/gpus?namespace=train",
    "/gpus?host=nowhere",
    "/gpus/GPU-03",
    "/gpus/nobody",
    "/gpus/GPU-03/metrics",
    "/gpus/GPU-03/telemetry",
    "/gpus/GPU-03/telemetry?limit=7",
    "/gpus/GPU-03/telemetry?metric=util&order=desc&limit=3",
    "/gpus/GPU-03/telemetry?start=2025-07-18T20:43:00Z&end=2025-07-18T20:44:00Z",
    "/gpus/GPU-03/telemetry?metric=nothing",
    "/gpus/GPU-03/telemetry?limit=7&offset=9",
    "/gpus/GPU-03/telemetry?window=7s",
    "/gpus/GPU-03/telemetry?window=7s&agg=min&limit=5",
    "/gpus/GPU-03/telemetry?window=10s&agg=max&order=desc",
    "/gpus/GPU-03/telemetry?window=1m&agg=last&metric=util",
    "/gpus/GPU-03/telemetry?window=1m&agg=p95",
    "/gpus/GPU-03/telemetry/export?format=json",
    "/gpus/GPU-03/telemetry/export?format=json&order=desc&metric=util&window=10s&agg=max",
    "/gpus/nobody/telemetry/export",
    "/gpus/nobody/telemetry",
    "/gpus/GPU-03/telemetry?window=10s&limit=9",
    "/gpus/GPU-03/telemetry?window=7s&agg=p95&order=desc&limit=5",
    "/gpus/GPU-03/telemetry?window=1m&agg=last&metric=util&metric=m1",
    "/gpus/GPU-03/telemetry?window=30s&agg=max&start=2025-07-18T20:42:41Z",
    "/gpus/GPU-03/telemetry?window=30s&agg=min&offset=3",
    "/gpus/GPU-03/telemetry/export?format=json",
    "/gpus/GPU-03/telemetry/export?format=csv",
    "/gpus/GPU-03/telemetry/export?format=csv&window=20s",
    "/hosts",
    "/hosts?limit=2",
    "/hosts?limit=1&offset=1",
    "/hosts/host-1/gpus",
    "/namespaces",
    "/metrics",
    "/stats",
)


def fill(store: Store) -> None:
    for i in range(GPUS):
        about = Gpu(
            uuid=f"GPU-{i:02}",
            hostname=f"host-{i // 4}",
            model="A100" if i % 2 else "H100",
            namespace="train" if i < 3 else "",
            labels={"rack": str(i)},
        )
        store.write(
            [
                Sample(
                    about, T0 + at * 1000 + i, {"util": at / 7, "temp": 40.0, f"m{at % 3}": 1e-9}
                )
                for at in range(100)
            ]
        )


@pytest.fixture
def stores(store_path: Path, open_bucket: OpenStore) -> None:
    """The same fleet in both."""
    sqlite = SqliteStore(store_path)
    fill(sqlite)
    sqlite.close()
    fill(open_bucket())


async def test_every_question_has_the_same_answer(
    start_api: StartApi, influxd: InfluxServer, bucket: str, stores: None
) -> None:
    async with AsyncExitStack() as apis:
        where = influxdb_options(influxd, bucket)
        one = await apis.enter_async_context(start_api())
        other = await apis.enter_async_context(start_api(store="influxdb", **where))
        for question in QUESTIONS:
            answers = await pages(one, question)
            assert await pages(other, question) == answers, question
            assert answers[0][0] == (404 if "nobody" in question else 200), answers[0]


async def pages(api: Api, question: str) -> list[tuple[int, object]]:
    """The answer to a question, and to those for its next pages."""
    found: list[tuple[int, object]] = []
    cursor = ""
    while True:
        path = f"/api/v1{question}{'&' if '?' in question else '?'}{cursor}"
        status, body, _ = await api.get(path.rstrip("?&"))
        if isinstance(body, dict):
            body.pop("request_id", None)
        found.append((status, body))
        if not isinstance(body, dict) or not body.get("next_cursor") or "offset" in question:
            return found
        cursor = f"cursor={body['next_cursor']}"


async def test_a_server_that_is_away_is_503_and_unready(
    start_api: StartApi, influxd: InfluxServer
) -> None:
    where = influxdb_options(influxd, "nobody-made-this-bucket")
    async with start_api(store="influxdb", **where) as api:
        for question in QUESTIONS[:1] + QUESTIONS[-3:]:
            status, body, _ = await api.get(f"/api/v1{question}")
            assert (status, body["error"]["code"]) == (503, "STORE_UNAVAILABLE")
        assert (await api.get("/ready"))[0] == 503


async def test_strings_that_mean_something_mean_the_same_in_both(
    start_api: StartApi,
    influxd: InfluxServer,
    bucket: str,
    store_path: Path,
    open_bucket: OpenStore,
) -> None:
    """Each is every text that a GPU has, and each parameter; so is one that is not there."""
    samples = [
        Sample(Gpu(text, text, "0", "d", text, text, text, text, {"l": text}), T0, {text: 1.5})
        for text in CATALOGUE
    ]
    sqlite = SqliteStore(store_path)
    for store in (sqlite, open_bucket()):
        store.write(samples)
    sqlite.close()
    async with AsyncExitStack() as apis:
        where = influxdb_options(influxd, bucket)
        one = await apis.enter_async_context(start_api())
        other = await apis.enter_async_context(start_api(store="influxdb", **where))
        for text in CATALOGUE:
            for question in about(text):
                assert await pages(other, question) == await pages(one, question), question
        assert await pages(other, "/stats") == await pages(one, "/stats")


def about(text: str) -> list[str]:
    """Questions with a text, and with one that is not there, wherever a text can be."""
    there = quote(text, safe="")
    points = f"/gpus/{there}/telemetry"
    typed = ("start", "end", "window", "agg", "cursor", "limit", "offset", "order")
    return [f"{points}?{name}={there}" for name in typed] + [
        question
        for sent in (there, quote(text + "x", safe=""))
        for question in (
            *(f"/gpus?{name}={sent}" for name in ("host", "model", "namespace", sent)),
            *(
                f"/gpus/{sent}{tail}"
                for tail in ("", "/metrics", "/telemetry", "/telemetry/export")
            ),
            f"{points}?metric={sent}",
            f"/hosts/{sent}/gpus",
        )
    ]
