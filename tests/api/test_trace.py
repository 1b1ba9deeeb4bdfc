"""What became of a message: from the queue's answer to each point in the store."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from api.traced import TracedGroup, TracedLetter, TracedPoints, state_of
from common.models import Batch, Gpu, Sample
from common.storage.sqlite.store import SqliteStore
from tests.api.conftest import T0, Api, StartApi
from tests.support.broker import RunningBroker, running_broker
from tests.support.client import TOKEN, BrokerClient
from tests.support.collector import collector_process
from tests.support.proxy import running_proxy
from tests.support.waiting import until_told

METRICS = {"DCGM_FI_DEV_GPU_TEMP": 41.0, "DCGM_FI_DEV_POWER_USAGE": 300.5}


class Rig:
    """An API in front of a proxy and a broker, and where a collector would store."""

    def __init__(self, api: Api, broker: RunningBroker, url: str, client: BrokerClient) -> None:
        self.api = api
        self.broker = broker
        self.url = url
        self.client = client

    async def produce(self, payload: bytes) -> str:
        """Store a message; return its id."""
        answer = await self.client.produce("telemetry", payload)
        return str(answer.json["id"])

    async def trace(self, message_id: str) -> Any:
        return await self.api.ok(f"/api/v1/trace/{message_id}")

    async def until(self, message_id: str, state: str) -> Any:
        """The trace once it is in a state."""

        async def is_so() -> bool:
            return bool((await self.trace(message_id))["state"] == state)

        await until_told(is_so)
        return await self.trace(message_id)


def batch(*samples: Any) -> bytes:
    """A message as streamers send it; samples may be anything."""
    whole = Batch("b", "test", T0, [])
    return msgspec.json.encode(msgspec.to_builtins(whole) | {"samples": samples})


def sample(gpu: int = 0, **given: Any) -> dict[str, Any]:
    whole = Sample(Gpu(uuid=f"GPU-{gpu}", hostname="h"), T0 + gpu, METRICS)
    return msgspec.to_builtins(whole) | given  # type: ignore[no-any-return]


@pytest.fixture
async def rig(start_api: StartApi, tmp_path: Path) -> AsyncIterator[Rig]:
    async with contextlib.AsyncExitStack() as stack:
        broker = await stack.enter_async_context(running_broker(tmp_path / "broker"))
        proxy = await stack.enter_async_context(running_proxy({"broker-0": broker.url}))
        api = await stack.enter_async_context(
            start_api(queue_url=proxy.url, service_token_text=TOKEN)
        )
        yield Rig(api, broker, proxy.url, proxy.client)


async def test_a_message_is_followed_until_each_of_its_points_is_stored(
    rig: Rig, tmp_path: Path, store_path: Path
) -> None:
    good = await rig.produce(batch(sample(0), sample(1)))
    half = await rig.produce(batch(sample(2), sample(3, timestamp=1)))
    bad = await rig.produce(b"no telemetry")
    before = await rig.trace(good)
    assert (before["state"], before["groups"]) == ("accepted", [])
    assert before["store"]["problem"].startswith("STORE_UNAVAILABLE")  # nobody has made it yet
    async with collector_process(tmp_path, rig.url, SQLITE_PATH=str(store_path)):
        stored = await rig.until(good, "stored")
        part = await rig.until(half, "stored_in_part")
        dead = await rig.until(bad, "dead")
    assert stored["store"]["points"] == stored["store"]["stored"] == 4
    assert [group["state"] for group in stored["groups"]] == ["acked"]
    assert {"points": 2, "stored": 2, "unusable": 1}.items() <= part["store"].items()
    (letter,) = part["groups"][0]["letters"]
    assert letter["error"].startswith("bad_timestamp")
    assert dead["groups"][0]["error"].startswith("bad_json")
    assert dead["store"]["problem"].startswith("it is no batch of telemetry")
    _, described, _ = await rig.api.get("/openapi.json", headers={})
    assert set(stored) == set(described["components"]["schemas"]["TraceAnswer"]["properties"])


async def test_what_is_acked_and_not_stored_says_which_points_are_missing(
    rig: Rig, store_path: Path
) -> None:
    message = await rig.produce(batch(*(sample(gpu) for gpu in range(12))))
    _, partition, _ = message.split(":")
    async with rig.client.consume("telemetry", group="mine", partition=partition) as events:
        receipt = (await events.next()).id
        assert (await rig.trace(message))["state"] == "delivered"
        await rig.client.settle("telemetry", receipt, group="mine")
    found = await rig.until(message, "acked")
    assert found["store"]["problem"]
    with contextlib.closing(SqliteStore(store_path)) as store:
        store.write([Sample(Gpu(uuid="GPU-0", hostname="h"), T0, {"DCGM_FI_DEV_GPU_TEMP": 41.0})])
        found = (await rig.trace(message))["store"]
    assert (found["problem"], found["points"], found["stored"]) == (None, 24, 1)
    assert found["missing"][0] == {
        "gpu_id": "GPU-0",
        "timestamp": "2025-07-18T20:42:34.000Z",
        "metric": "DCGM_FI_DEV_POWER_USAGE",
    }
    assert len(found["missing"]) == 20


async def test_what_is_no_message_is_refused(rig: Rig) -> None:
    message = await rig.produce(b"x")
    broker, partition, _ = message.split(":")
    for name, status in {
        f"{broker}:{partition}:1": 404,
        "broker-7:0:0": 404,
        "what": 400,
        "a:b:c": 400,
        f"{message}/..": 404,
    }.items():
        assert (await rig.api.get(f"/api/v1/trace/{name}"))[0] == status, name


async def test_an_api_without_a_queue_says_so(start_api: StartApi) -> None:
    async with start_api() as api:
        status, body, _ = await api.get("/api/v1/trace/broker-0:0:0")
    assert (status, body["error"]["code"]) == (503, "UNAVAILABLE")


def group(state: str, attempts: int = 0, *letters: str) -> TracedGroup:
    """A group's row, with letters of parts."""
    parts = [TracedLetter(1, "REJECTED", words, "") for words in letters]
    return TracedGroup("g", state, attempts, letters=parts)


ALL, SOME, NONE = TracedPoints(None, 4, 4), TracedPoints(None, 4, 1), TracedPoints(None, 4, 0)
UNUSABLE = TracedPoints(None, 4, 4, unusable=1)


@pytest.mark.parametrize(
    ("groups", "store", "state"),
    [
        ([], NONE, "accepted"),
        ([group("before")], NONE, "accepted"),
        ([group("ready")], NONE, "accepted"),
        ([group("ready", 1)], NONE, "delivered"),
        ([group("in_flight")], NONE, "delivered"),
        ([group("acked"), group("ready")], NONE, "delivered"),
        ([group("acked"), group("before")], NONE, "acked"),
        ([group("acked")], SOME, "acked"),
        ([group("settled")], None, "settled"),
        ([group("acked"), group("settled")], NONE, "settled"),
        ([group("acked")], ALL, "stored"),
        ([group("ready"), group("acked")], ALL, "stored"),
        ([group("acked", 0, "bad_value")], ALL, "stored"),  # by a redrive
        ([group("acked", 0, "bad_value")], UNUSABLE, "stored_in_part"),
        ([group("acked", 0, "refused_by_store")], SOME, "stored_in_part"),
        ([group("acked", 0, "refused_by_store")], NONE, "dead"),
        ([group("dead"), group("ready")], None, "dead"),
    ],
)
def test_how_far_it_has_come(
    groups: list[TracedGroup], store: TracedPoints | None, state: str
) -> None:
    assert state_of(groups, store) == state
