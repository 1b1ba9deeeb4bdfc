"""Points as they are stored."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from api.feed import Interest, Listener, News
from common.keys import create_key, load_keys, save_keys
from common.models import Gpu, Sample
from common.storage.base import TelemetryQuery
from common.storage.sqlite.store import SqliteStore
from tests.api.conftest import METRICS, T0, Api, StartApi
from tests.support.client import Events
from tests.support.proxy import until

LATER = T0 + 60_000


def write(store: SqliteStore, at: int, *gpus: str, **metrics: float) -> None:
    """Store one sample a GPU; the GPU is known by its uuid alone from its host on."""
    values = metrics or {METRICS[0]: 50.0, METRICS[1]: 5.0}
    store.write([Sample(Gpu(uuid=gpu, hostname=host_of(gpu)), at, values) for gpu in gpus])


def host_of(gpu: str) -> str:
    return f"host-{int(gpu.removeprefix('GPU-')) // 4}"


@contextlib.asynccontextmanager
async def live(api: Api, query: str = "", key: str = "") -> AsyncIterator[Events]:
    """An open stream that misses nothing from here on."""
    headers = {"X-API-Key": key or api.keys["read"]}
    async with api.client.get(api.url + "/api/v1/live" + query, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        assert answer.content_type == "text/event-stream"
        events = Events(answer)
        assert await events.chunk() == b": still here\n\n"
        yield events


async def news(events: Events) -> dict[str, Any]:
    event = await events.next()
    assert event.type == "points", event
    found: dict[str, Any] = msgspec.json.decode(event.data[0])
    return found


@pytest.fixture
async def quick(start_api: StartApi, fleet: SqliteStore) -> AsyncIterator[Api]:
    async with start_api(live_interval_seconds=0.01) as started:
        yield started
    fleet.close()


async def test_what_is_stored_comes_and_what_was_stored_before_does_not(
    quick: Api, fleet: SqliteStore
) -> None:
    async with live(quick) as events:
        for at in (LATER, LATER + 1000):
            write(fleet, at, "GPU-03")
            found = await news(events)
            assert found == {
                "gpu_id": "GPU-03",
                "points": [
                    {"timestamp": time_of(at), "metric": METRICS[0], "value": 50.0},
                    {"timestamp": time_of(at), "metric": METRICS[1], "value": 5.0},
                ],
                "skipped": 0,
            }


def remove(path: Path) -> None:
    path.unlink()


def time_of(ms: int) -> str:
    return f"2025-07-18T20:43:{34 + (ms - LATER) // 1000:02}.000Z"


async def test_a_gpu_that_is_new_comes_too(quick: Api, fleet: SqliteStore) -> None:
    async with live(quick) as events:
        write(fleet, LATER, "GPU-99")
        assert (await news(events))["gpu_id"] == "GPU-99"


async def test_points_of_the_past_are_counted(quick: Api, fleet: SqliteStore) -> None:
    async with live(quick) as events:
        write(fleet, T0 - 5000, "GPU-03")
        assert await news(events) == {"gpu_id": "GPU-03", "points": [], "skipped": 2}


async def test_too_many_at_once_are_counted_and_the_newest_come(
    quick: Api, fleet: SqliteStore
) -> None:
    about = Gpu(uuid="GPU-03")
    async with live(quick, f"?metric={METRICS[0]}&metric=other") as events:
        fleet.write([Sample(about, LATER + n, {METRICS[0]: float(n)}) for n in range(1500)])
        found = await news(events)
    assert [point["value"] for point in found["points"]] == [float(n) for n in range(500, 1500)]
    assert found["skipped"] == 500


@pytest.mark.parametrize(
    ("query", "gpus"),
    [
        ("?gpu_id=GPU-05", ["GPU-05"]),
        ("?gpu_id=GPU-05&gpu_id=GPU-01", ["GPU-01", "GPU-05"]),
        ("?host=host-1", ["GPU-05", "GPU-06"]),
        ("?model=A100&host=host-1", ["GPU-05"]),
        ("?namespace=train", ["GPU-01", "GPU-02"]),
        (f"?metric={METRICS[0]}&host=host-0", ["GPU-01", "GPU-02", "GPU-03"]),
    ],
)
async def test_a_stream_is_of_what_was_asked_for(
    quick: Api, fleet: SqliteStore, query: str, gpus: list[str]
) -> None:
    async with live(quick, query) as events:
        write(fleet, LATER, *(f"GPU-{n:02}" for n in (1, 2, 3, 5, 6)))
        found = [await news(events) for _ in gpus]
        assert sorted(each["gpu_id"] for each in found) == gpus
        if "metric" in query:
            assert {p["metric"] for each in found for p in each["points"]} == {METRICS[0]}
        write(fleet, LATER + 1000, "GPU-09")  # nobody's
        write(fleet, LATER + 2000, gpus[0])
        assert (await news(events))["gpu_id"] == gpus[0]


async def test_many_streams_share_one_look(
    quick: Api, fleet: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(live(quick)) for _ in range(20)]
        store, asked = quick.app.state.asking.store, []
        telemetry = store.telemetry

        def count(query: TelemetryQuery) -> Any:
            asked.append(query)
            return telemetry(query)

        monkeypatch.setattr(store, "telemetry", count)
        write(fleet, LATER, "GPU-03")
        for events in streams:
            assert (await news(events))["gpu_id"] == "GPU-03"
        assert len(asked) == 1


async def test_without_streams_nothing_is_asked(quick: Api) -> None:
    async with live(quick):
        assert quick.app.state.feed._lifecycle.has("live")
    await until(lambda: not quick.app.state.feed._lifecycle.has("live"))
    assert len(quick.app.state.feed) == 0


async def test_the_stream_of_a_revoked_key_ends_and_the_log_names_its_id(
    quick: Api, fleet: SqliteStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rotation: both keys work, then the old one is revoked while its stream is open."""
    new, record = create_key("new", ["read"])
    kept = load_keys(quick.keys_file)
    save_keys(quick.keys_file, [*kept, record])
    async with live(quick) as old_stream, live(quick, key=new) as new_stream:
        save_keys(quick.keys_file, [*(key for key in kept if key.id != "reader"), record])
        last = await old_stream.next()
        assert last.type == "goodbye"
        assert msgspec.json.decode(last.data[0])["code"] == "UNAUTHORIZED"
        with pytest.raises(EOFError):
            await old_stream.next()
        write(fleet, LATER, "GPU-03")
        assert (await news(new_stream))["gpu_id"] == "GPU-03"
    logged = capsys.readouterr().out
    assert "key=reader" in logged
    for text in (*quick.keys.values(), new):
        assert text.split("_", 2)[2] not in logged


async def test_a_stop_says_goodbye(start_api: StartApi, fleet: SqliteStore) -> None:
    async with start_api(live_interval_seconds=5.0) as api, live(api) as events:
        began = asyncio.get_running_loop().time()
        api.app.state.feed._lifecycle.stop()
        last = await events.next()
        assert (last.type, msgspec.json.decode(last.data[0])["code"]) == ("goodbye", "UNAVAILABLE")
        assert asyncio.get_running_loop().time() - began < 4  # not at the next look
    fleet.close()


async def test_a_store_that_goes_ends_streams_and_refuses_new_ones(
    start_api: StartApi, fleet: SqliteStore, store_path: Path
) -> None:
    async with start_api(live_interval_seconds=0.01) as api:
        async with live(api) as events:
            fleet.close()
            remove(store_path)
            last = await events.next()
            assert msgspec.json.decode(last.data[0])["code"] == "STORE_UNAVAILABLE"
        status, body, _ = await api.get("/api/v1/live")
        assert (status, body["error"]["code"]) == (503, "STORE_UNAVAILABLE")


async def test_only_so_many_streams_are_open(start_api: StartApi, fleet: SqliteStore) -> None:
    async with start_api(max_streams=1) as api:
        async with live(api):
            status, body, _ = await api.get("/api/v1/live")
            assert (status, body["error"]["code"]) == (429, "OVERLOADED")
        await until(lambda: len(api.app.state.feed) == 0)
        async with live(api):
            pass
    fleet.close()


async def test_a_quiet_stream_shows_that_it_lives(start_api: StartApi, fleet: SqliteStore) -> None:
    async with start_api(heartbeat_seconds=0.05) as api, live(api) as events:
        for _ in range(3):
            assert await events.chunk() == b": still here\n\n"
    fleet.close()


async def test_a_listener_that_is_far_behind_is_given_up(
    quick: Api, fleet: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.feed.MOST_WAITING", 3)
    everything = Interest(frozenset(), None, None, None, frozenset())
    listener = Listener(everything)
    for number in range(5):
        listener.offer(News(f"GPU-{number}", [], 1))
    assert [each.gpu_id for each in await listener.take(1)] == ["GPU-0", "GPU-1", "GPU-2"]
    monkeypatch.setattr("api.feed.MOST_WAITING", 0)
    async with live(quick) as events:
        write(fleet, LATER, "GPU-03")
        last = await events.next()
    assert msgspec.json.decode(last.data[0])["code"] == "OVERLOADED"
