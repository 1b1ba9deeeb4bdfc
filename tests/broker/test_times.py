"""Time: deadlines kept to the second, places by time, and clocks that jump."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from common.clock import to_rfc3339
from tests.broker.test_groups import seek
from tests.support.broker import RunningBroker, running_broker
from tests.support.client import BrokerClient, Events
from tests.support.clock import EPOCH, ManualClock

TICKS = [0.1] * 10  # what is due is done within one second
JUMPS = [0.0, -3600.0, 86400.0, -400 * 86400.0]


async def let_run(broker: RunningBroker) -> int:
    """Give the broker's chores their turn; return the messages that are out."""
    for _ in range(20):
        await asyncio.sleep(0)
    return int((await broker.client.books("t"))["in_flight"])


@pytest.mark.parametrize("jump", JUMPS)
@pytest.mark.parametrize("timeout", [0.1, 30.0, 12 * 3600.0])
async def test_visibility_is_honoured_to_the_second_however_the_wall_clock_is_set(
    tmp_path: Path, timeout: float, jump: float
) -> None:
    clock = ManualClock()
    given: Any = {"visibility_timeout_seconds": timeout, "topics": ("t:1",)}
    async with running_broker(tmp_path, clock, **given) as broker:
        await broker.client.produce("t", b"x")
        async with broker.client.consume("t") as events:
            first = await events.message()
            clock.advance(timeout / 2)
            clock.jump_wall(jump)
            clock.advance(timeout / 2 - 0.01)
            assert await let_run(broker) == 1
            again = await redelivered(events, clock)
            assert (again["offset"], again["attempt"]) == (0, 2)
            assert (await broker.client.settle("t", first["receipt"])).code == "RECEIPT_STALE"


async def redelivered(events: Events, clock: ManualClock) -> dict[str, Any]:
    """The next message, which comes within a second of the broker's time."""
    waiting = asyncio.create_task(events.message())
    for tick in TICKS:
        clock.advance(tick)
        await asyncio.wait({waiting}, timeout=0.05)
        if waiting.done():
            return waiting.result()
    raise AssertionError("a second passed")


@pytest.mark.parametrize("jump", JUMPS)
async def test_an_extended_lease_and_a_delay_keep_to_the_monotonic_clock(
    tmp_path: Path, jump: float
) -> None:
    clock = ManualClock()
    async with running_broker(tmp_path, clock, topics=("t:1",)) as broker:
        client = broker.client
        await client.produce("t", b"x")
        async with client.consume("t") as events:
            receipt = (await events.message())["receipt"]
            path = "/extend?topic=t"
            await client.request("POST", path, json={"id": receipt, "seconds": 3600})
            clock.jump_wall(jump)
            clock.advance(3599)
            assert await let_run(broker) == 1
            body = {"id": receipt, "delay_seconds": 600}
            await client.request("POST", "/nack?topic=t", json=body)
            clock.jump_wall(jump)
            clock.advance(599.9)
            assert await let_run(broker) == 0
            assert (await redelivered(events, clock))["attempt"] == 2


async def test_a_monotonic_clock_that_begins_anew_hurts_nothing(tmp_path: Path) -> None:
    async with running_broker(tmp_path, ManualClock(), topics=("t:1",)) as broker:
        await broker.client.produce("t", b"x")
        async with broker.client.consume("t") as events:
            await events.message()
    restored = ManualClock()
    restored._monotonic = 1.0
    async with running_broker(tmp_path, restored) as broker:
        await broker.broker.topics.get("t").partition(0).retire()
        async with broker.client.consume("t") as events:
            receipt = (await events.message())["receipt"]
            assert (await broker.client.settle("t", receipt)).json["acked"] == 1


async def created(client: BrokerClient) -> list[str]:
    answer = await client.request("GET", "/messages?topic=t&limit=1000")
    return [message["created_at"] for message in answer.json["messages"]]


async def test_created_at_never_steps_back_also_not_across_a_restart(tmp_path: Path) -> None:
    clock = ManualClock()
    async with running_broker(tmp_path, clock, topics=("t:1",)) as broker:
        for jump in (0, 60, -3600, 1, 7200, -1):
            clock.jump_wall(jump)
            await broker.client.produce("t", b"x")
        found = await created(broker.client)
    assert found == sorted(found)
    clock.jump_wall(-86400)
    async with running_broker(tmp_path, clock) as broker:
        await broker.client.produce("t", b"x")
        found = await created(broker.client)
    assert found == sorted(found)
    assert found[-1] == found[-2]


async def fill_by_the_minute(client: BrokerClient, clock: ManualClock, count: int) -> None:
    """Two messages a minute, the first at ``EPOCH``, over several files."""
    for _ in range(count):
        await client.produce_lines("t", *[b"x" * 700] * 2, durability="disk")
        clock.advance(60)


def at(seconds: float) -> str:
    return to_rfc3339(int((EPOCH + seconds) * 1000))


@pytest.mark.parametrize(
    ("seconds", "offset"),
    [(-1e6, 0), (0, 0), (1, 2), (60, 2), (60.001, 4), (599.5, 20), (1140, 38), (1141, 40)],
)
async def test_a_time_is_the_first_message_created_then_or_later(
    tmp_path: Path, seconds: float, offset: int
) -> None:
    clock = ManualClock()
    given: Any = {"topics": ("t:1",), "segment_bytes": 4096}
    async with running_broker(tmp_path, clock, **given) as broker:
        await fill_by_the_minute(broker.client, clock, 20)
        answer = await seek(broker.client, at(seconds))
        assert answer.json["offsets"] == {"0": offset}
        await broker.client.produce("t", b"new")
        async with broker.client.consume("t", group="g", start=at(seconds)) as events:
            assert (await events.message())["offset"] == offset


@pytest.mark.parametrize(
    "text",
    [
        "2025-06-15T15:08:00Z",
        "2025-06-15t15:08:00.000z",
        "2025-06-15 17:08:00+02:00",
        "2025-06-15T12:38:00.0-02:30",
        "2025-06-15T15:07:59.999999999Z",
    ],
)
async def test_times_are_taken_as_rfc_3339_has_them(tmp_path: Path, text: str) -> None:
    clock = ManualClock(wall=1_750_000_000.0)  # 2025-06-15T15:06:40Z
    async with running_broker(tmp_path, clock, topics=("t:1",)) as broker:
        await broker.client.produce("t", b"before")
        clock.advance(80)
        await broker.client.produce("t", b"then")
        assert (await seek(broker.client, text)).json["offsets"] == {"0": 1}


@pytest.mark.parametrize(
    "text",
    ["2025-06-15", "2025-06-15T15:08:00", "2025-13-01T00:00:00Z", "15:08", "now", "1e9", "٣"],
)
async def test_what_is_no_time_is_refused(client: BrokerClient, text: str) -> None:
    await client.produce("t", b"x")
    assert (await seek(client, text)).code == "INVALID_REQUEST"
    refused = await client.request("GET", "/consume", params={"topic": "t", "from": text})
    assert refused.code == "INVALID_REQUEST"


async def test_a_place_by_time_is_found_past_a_damaged_file(tmp_path: Path) -> None:
    clock = ManualClock()
    given: Any = {"topics": ("t:1",), "segment_bytes": 4096}
    async with running_broker(tmp_path, clock, **given) as broker:
        await fill_by_the_minute(broker.client, clock, 20)
    second = sorted((tmp_path / "topics/t/0").glob("*.seg"))[1]
    content = bytearray(second.read_bytes())
    content[40:60] = b"\xff" * 20
    second.write_bytes(content)
    async with running_broker(tmp_path, clock, **given) as broker:
        assert (await seek(broker.client, at(1140))).json["offsets"] == {"0": 38}
