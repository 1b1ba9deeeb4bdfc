"""Groups that nobody uses any more."""

from pathlib import Path
from typing import Any

from tests.broker.test_groups import ack_all, fill, first_offset, retention
from tests.support.broker import RunningBroker, running_broker
from tests.support.clock import ManualClock
from tests.support.waiting import until, until_told

DAY = 86400.0
WEEK: Any = {"topics": ("t:2",), "segment_bytes": 4096, "group_expiry_seconds": 7 * DAY}


def groups(broker: RunningBroker) -> list[str]:
    return broker.broker.topics.get("t").groups()


def idle(broker: RunningBroker, group: str = "default") -> float:
    place = broker.broker.topics.get("t").partition(0).groups.get(group)
    return place.idle_seconds if place else -1.0


async def pass_days(broker: RunningBroker, clock: ManualClock, days: float) -> None:
    """Let days pass, and the broker look."""
    before = idle(broker)
    clock.advance(days * DAY)
    await until(lambda: idle(broker) != before)


async def open_group(broker: RunningBroker, group: str = "default") -> None:
    async with broker.client.consume("t", group=group):
        pass
    await until(lambda: not broker.broker.streams)


async def is_exposed(broker: RunningBroker, line: str) -> bool:
    """Whether a metric stands at a value."""
    return line in (await broker.client.request("GET", "/metrics")).body.decode()


async def test_a_group_that_nobody_uses_is_forgotten_and_holds_no_data(tmp_path: Path) -> None:
    clock = ManualClock()
    async with running_broker(tmp_path, clock, **WEEK) as broker:
        await fill(broker.client, 20)
        await open_group(broker)
        await open_group(broker, "busy")
        await ack_all(broker.client, 20, "busy")
        await pass_days(broker, clock, 6.5)
        await retention(broker)
        assert await first_offset(broker.client) == 0
        async with broker.client.consume("t", group="busy"):
            await pass_days(broker, clock, 1)
            await until(lambda: groups(broker) == ["busy"])
            await retention(broker)
            assert await first_offset(broker.client) > 10
        await until_told(lambda: is_exposed(broker, 'groups_expired_total{topic="t"} 1.0'))
    async with running_broker(tmp_path, clock, **WEEK) as broker:
        assert groups(broker) == ["busy"]


async def test_an_ack_and_a_stream_begin_the_time_anew(tmp_path: Path) -> None:
    clock = ManualClock()
    async with running_broker(tmp_path, clock, **WEEK) as broker:
        await broker.client.produce("t", b"x", partition=0)
        async with broker.client.consume("t") as events:
            receipt = (await events.message())["receipt"]
            clock.advance(30 * DAY)
            await broker.client.produce("t", b"y", partition=0)
            again = (await events.messages(2))[0]["receipt"]
            assert receipt != again
        await until(lambda: not broker.broker.streams)
        await pass_days(broker, clock, 6)
        await open_group(broker)
        await pass_days(broker, clock, 0.0001)
        assert idle(broker) < 60
        await pass_days(broker, clock, 6)
        assert groups(broker) == ["default"]


async def test_neither_time_switched_off_nor_a_wall_clock_that_jumps_counts(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    async with running_broker(tmp_path, clock, **WEEK) as broker:
        await open_group(broker)
        await pass_days(broker, clock, 4)
    clock.advance(30 * DAY)
    clock.jump_wall(400 * DAY)
    async with running_broker(tmp_path, clock, **WEEK) as broker:
        assert idle(broker) == 4 * DAY
        await pass_days(broker, clock, 2)
        assert groups(broker) == ["default"]
        clock.advance(1.1 * DAY)
        await until(lambda: not groups(broker))


async def test_with_an_expiry_of_none_a_group_stays_for_ever(tmp_path: Path) -> None:
    clock = ManualClock()
    given = WEEK | {"group_expiry_seconds": 0.0}
    async with running_broker(tmp_path, clock, **given) as broker:
        await open_group(broker)
        await pass_days(broker, clock, 4000)
        assert groups(broker) == ["default"]
