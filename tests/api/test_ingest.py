"""Telemetry that is posted goes the way of all other: queue, collector, store."""

import contextlib
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zstandard

from common.models import Batch, Sample
from common.storage.sqlite.store import SqliteStore
from tests.api.conftest import Api, StartApi
from tests.support.broker import RunningBroker, running_broker
from tests.support.client import TOKEN
from tests.support.proxy import running_proxy

FULL = {
    "device_id": "nvidia0",
    "metric": "DCGM_FI_DEV_GPU_TEMP",
    "value": 41.5,
    "time": "2025-07-18T20:42:34.123Z",
    "gpu_id": "0",
    "uuid": "GPU-abc",
    "model_name": "NVIDIA H100 80GB HBM3",
    "hostname": "mtv5-dgx1-hgpu-031",
    "container": "trainer",
    "pod": "job-0",
    "namespace": "research",
    "labels_raw": 'DCGM_FI_DRIVER_VERSION="535.129.03",gpu="0",pod="job-0"',
}
TIME = FULL["time"]


class Rig:
    """An API in front of a proxy and a broker, and what lies in the queue."""

    def __init__(self, api: Api, broker: RunningBroker) -> None:
        self.api = api
        self.broker = broker

    async def post(self, body: Any, path: str = "/api/v1/telemetry", **headers: str) -> Any:
        """Status and body of a post; what is no bytes is sent as JSON."""
        shown = {"X-API-Key": self.api.keys["write"], "Content-Type": "application/json", **headers}
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        status, answer, _ = await self.api.get(path, method="POST", headers=shown, data=data)
        return status, answer

    async def samples(self) -> list[Sample]:
        """Everything that was stored, over all partitions."""
        found: list[Sample] = []
        for partition in range(4):
            answer = await self.broker.client.request(
                "GET", f"/messages?topic=telemetry&partition={partition}"
            )
            if answer.status == 200:
                for message in answer.json["messages"]:
                    found += msgspec.json.decode(message["payload"], type=Batch).samples
        return found


@pytest.fixture
async def rig(start_api: StartApi, fleet: SqliteStore, tmp_path: Path) -> AsyncIterator[Rig]:
    async with contextlib.AsyncExitStack() as stack:
        broker = await stack.enter_async_context(running_broker(tmp_path / "broker"))
        proxy = await stack.enter_async_context(running_proxy({"broker-0": broker.url}))
        api = await stack.enter_async_context(
            start_api(queue_url=proxy.url, service_token_text=TOKEN)
        )
        yield Rig(api, broker)
    fleet.close()


@pytest.mark.parametrize("path", ["/telemetry", "/api/v1/telemetry"])
async def test_a_record_becomes_a_sample_in_the_queue(rig: Rig, path: str) -> None:
    assert await rig.post(FULL, path) == (202, {"accepted": 1, "duplicate": False})
    (sample,) = await rig.samples()
    assert msgspec.to_builtins(sample) == {
        "gpu": {
            "uuid": "GPU-abc",
            "hostname": "mtv5-dgx1-hgpu-031",
            "gpu_id": "0",
            "device": "nvidia0",
            "model": "NVIDIA H100 80GB HBM3",
            "namespace": "research",
            "pod": "job-0",
            "container": "trainer",
            "labels": {"DCGM_FI_DRIVER_VERSION": "535.129.03"},
        },
        "timestamp": 1_752_871_354_123,
        "metrics": {"DCGM_FI_DEV_GPU_TEMP": 41.5},
    }


async def test_a_list_is_one_sample_for_each_gpu_and_moment(rig: Rig) -> None:
    records = [
        {"uuid": f"GPU-{gpu}", "metric": f"m{metric}", "value": metric, "time": TIME}
        for metric in range(3)
        for gpu in range(20)
    ]
    assert await rig.post(records) == (202, {"accepted": 60, "duplicate": False})
    samples = await rig.samples()
    assert sorted(sample.gpu.uuid for sample in samples) == sorted(f"GPU-{n}" for n in range(20))
    assert all(sample.metrics == {"m0": 0.0, "m1": 1.0, "m2": 2.0} for sample in samples)


@pytest.mark.parametrize(
    ("squeeze", "encoding"),
    [(bytes, "identity"), (gzip.compress, "gzip"), (zstandard.compress, "zstd")],
)
async def test_lines_and_squeezed_bodies_are_taken(rig: Rig, squeeze: Any, encoding: str) -> None:
    lines = b"\n".join(json.dumps({**FULL, "metric": f"m{n}"}).encode() + b"\r" for n in range(3))
    headers = {"Content-Type": "application/x-ndjson", "Content-Encoding": encoding}
    assert (await rig.post(squeeze(lines), **headers))[0] == 202
    assert len((await rig.samples())[0].metrics) == 3


async def test_a_repeat_with_its_key_is_stored_once(rig: Rig) -> None:
    records = [{"uuid": f"GPU-{n}", "metric": "m", "value": 1} for n in range(20)]
    for duplicate in (False, True):
        answer = await rig.post(records, **{"Idempotency-Key": "night-1"})
        assert answer == (202, {"accepted": 20, "duplicate": duplicate})
    assert len(await rig.samples()) == 20
    # The name of a request is its key's own: another caller may use the same.
    shown = {"X-API-Key": rig.api.keys["admin"], "Idempotency-Key": "night-1"}
    assert (await rig.post(records, **shown))[1] == {"accepted": 20, "duplicate": False}


@pytest.mark.parametrize(
    ("who", "gpu_id"),
    [
        ({"uuid": "GPU-1", "hostname": "h", "gpu_id": "3"}, "GPU-1"),
        ({"hostname": "h", "gpu_id": 3}, "h-3"),
        ({"hostname": "h", "device_id": "nvidia3"}, "h-nvidia3"),
        ({"device_id": "nvidia3"}, "nvidia3"),
        ({"uuid": "GPU-1", "labels_raw": 'GPU_I_ID="7"'}, "GPU-1-mig-7"),
    ],
)
async def test_who_a_record_speaks_of(rig: Rig, who: dict[str, Any], gpu_id: str) -> None:
    assert (await rig.post({**who, "metric": "m", "value": 1, "time": TIME}))[0] == 202
    assert [sample.gpu.id for sample in await rig.samples()] == [gpu_id]


async def test_without_a_time_it_is_now(rig: Rig) -> None:
    now_ms = rig.api.app.state.clock.wall() * 1000
    await rig.post({"uuid": "GPU-1", "metric": "m", "value": 1})
    (sample,) = await rig.samples()
    assert now_ms - 1 <= sample.timestamp <= now_ms + 60_000


GOOD = {"uuid": "GPU-1", "metric": "m", "value": 1}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "INVALID_REQUEST"),
        (b"[]", 400, "INVALID_REQUEST"),
        (b"null", 400, "INVALID_REQUEST"),
        (b"{", 400, "INVALID_REQUEST"),
        (b"\xff", 400, "INVALID_REQUEST"),
        (b"[" * 100_000, 400, "INVALID_REQUEST"),
        (b'{"a":' * 100_000, 400, "INVALID_REQUEST"),
        ({**GOOD, "value": "1"}, 400, "INVALID_REQUEST"),
        ({**GOOD, "value": True}, 400, "INVALID_REQUEST"),
        ({**GOOD, "value": None}, 400, "INVALID_REQUEST"),
        (b'{"uuid":"GPU-1","metric":"m","value":NaN}', 400, "INVALID_REQUEST"),
        (b'{"uuid":"GPU-1","metric":"m","value":1e999}', 400, "INVALID_REQUEST"),
        ({**GOOD, "metric": ""}, 400, "INVALID_REQUEST"),
        ({**GOOD, "metric": "x" * 513}, 400, "INVALID_REQUEST"),
        ({**GOOD, "uuid": "x" * 513}, 400, "INVALID_REQUEST"),
        ({**GOOD, "gpu_id": -1}, 400, "INVALID_REQUEST"),
        ({**GOOD, "temperature": 3}, 400, "INVALID_REQUEST"),
        ({"metric": "m", "value": 1}, 422, "INVALID_PARAMETER"),
        ({"hostname": "h", "metric": "m", "value": 1}, 422, "INVALID_PARAMETER"),
        ({**GOOD, "time": "yesterday"}, 422, "INVALID_PARAMETER"),
        ({**GOOD, "time": "1999-12-31T23:59:59Z"}, 422, "INVALID_PARAMETER"),
        ([GOOD, {**GOOD, "time": "2101-01-01T00:00:00Z"}], 422, "INVALID_PARAMETER"),
        ([GOOD] * 10_001, 413, "TOO_LARGE"),
        (b" " * 600_000 + b"{}", 413, "TOO_LARGE"),
    ],
)
async def test_what_is_no_telemetry_is_refused_whole(
    start_api: StartApi, body: Any, status: int, code: str
) -> None:
    async with start_api(max_body_bytes=600_000) as api:
        found, answer = await Rig(api, None).post(body)  # type: ignore[arg-type]
        assert (found, answer["error"]["code"]) == (status, code)


async def test_the_record_that_is_wrong_is_named(start_api: StartApi) -> None:
    async with start_api() as api:
        _, answer = await Rig(api, None).post([GOOD, {**GOOD, "time": "x"}])  # type: ignore[arg-type]
        assert [each["record"] for each in answer["error"]["details"]] == [1]


@pytest.mark.parametrize("key", ["", "x" * 257, "a\tb"])
async def test_a_bad_idempotency_key(start_api: StartApi, key: str) -> None:
    async with start_api() as api:
        status, answer = await Rig(api, None).post(GOOD, **{"Idempotency-Key": key})  # type: ignore[arg-type]
        assert (status, answer["error"]["code"]) == (400, "INVALID_REQUEST")


async def test_no_queue_is_503(start_api: StartApi) -> None:
    for given in ({}, {"queue_url": "http://127.0.0.1:9"}):
        async with start_api(**given) as api:
            status, answer = await Rig(api, None).post(GOOD)  # type: ignore[arg-type]
            assert status == 503
            assert answer["error"]["code"] in ("UNAVAILABLE", "BROKER_UNREACHABLE")


async def test_a_token_the_queue_refuses_is_not_the_callers_fault(
    rig: Rig, start_api: StartApi
) -> None:
    async with start_api(queue_url=rig.api.app.state.options.queue_url) as api:
        status, answer = await Rig(api, rig.broker).post(GOOD)
        assert (status, answer["error"]["code"]) == (503, "UNAVAILABLE")


async def test_stats_tell_how_full_the_queue_is(rig: Rig, start_api: StartApi) -> None:
    assert (await rig.api.ok("/api/v1/stats"))["queue"]["messages"] == 0
    await rig.post([{"uuid": f"GPU-{n}", "metric": "m", "value": 1} for n in range(50)])
    async with rig.broker.client.consume("telemetry", group="collectors") as events:
        await events.messages(4)
        queue = (await rig.api.ok("/api/v1/stats"))["queue"]
    assert queue["topic"] == "telemetry"
    assert (queue["problem"], queue["missing"]) == (None, [])
    assert queue["messages"] == 4
    assert queue["bytes"] > 0
    assert queue["groups"] == [{"group": "collectors", "lag": 4, "in_flight": 4}]
    async with start_api(queue_url="http://127.0.0.1:9") as cut_off:
        queue = (await cut_off.ok("/api/v1/stats"))["queue"]
        assert queue["messages"] is None
        assert "BROKER_UNREACHABLE" in queue["problem"]
