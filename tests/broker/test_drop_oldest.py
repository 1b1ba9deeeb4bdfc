"""Topics that drop their oldest messages, and logs that have a cap of their own."""

from pathlib import Path
from typing import Any

import pytest

from tests.broker.test_groups import ack_all, fill, first_offset, retention
from tests.broker.test_inspect import samples
from tests.broker.test_topic_settings import put
from tests.support.broker import running_broker
from tests.support.client import BrokerClient
from tests.support.clock import ManualClock

SEGMENTS: dict[str, Any] = {"segment_bytes": 4096}


def total(row: dict[str, Any]) -> int:
    parts = ("ready", "in_flight", "acked", "dead", "lost", "dropped")
    return sum(row[part] for part in parts)


async def test_over_its_size_the_oldest_goes_unacked_and_is_counted(tmp_path: Path) -> None:
    async with running_broker(tmp_path, ManualClock(), **SEGMENTS) as broker:
        client = broker.client
        await put(client, overflow="drop_oldest", retention_bytes=10_000, partitions=1)
        await fill(client, 4)
        async with client.consume("t", max_in_flight=2) as events:
            stale = [message["receipt"] for message in await events.messages(2)]
            await client.settle("t", stale[0])
            stale.append((await events.message())["receipt"])
            await fill(client, 36)
            await retention(broker)
            first = await first_offset(client)
            assert first > 20
            row = await client.books("t")
            assert (row["acked"], row["dropped"]) == (1, first - 1)
            assert row["dropped_by_reason"] == {"size": first - 1}
            assert total(row) == 40
            assert (await client.settle("t", *stale[1:])).json["acked"] == 0
            assert (await events.message())["offset"] == first
            text = (await client.request("GET", "/metrics")).body.decode()
    place = 'group="default",partition="0",reason="size",topic="t"'
    assert f"messages_dropped_total{{{place}}} {first - 1}.0" in text


async def test_over_its_age_the_oldest_goes_and_the_count_survives_a_restart(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    async with running_broker(tmp_path, clock, **SEGMENTS) as broker:
        client = broker.client
        await put(client, overflow="drop_oldest", retention_seconds=60, partitions=1)
        async with client.consume("t"):
            pass
        await fill(client, 10)
        await retention(broker)
        assert await first_offset(client) == 0
        clock.advance(59)
        await fill(client, 10)
        clock.advance(2)
        await retention(broker)
        first = await first_offset(client)
        assert 4 < first <= 10
        assert (await client.books("t"))["dropped_by_reason"] == {"age": first}
    async with running_broker(tmp_path, clock, **SEGMENTS) as broker:
        row = await broker.client.books("t")
        assert (row["dropped"], total(row)) == (first, 20)


async def test_what_no_group_was_there_for_is_counted_too(tmp_path: Path) -> None:
    async with running_broker(tmp_path, ManualClock(), **SEGMENTS) as broker:
        client = broker.client
        await put(client, overflow="drop_oldest", retention_bytes=10_000, partitions=1)
        for _ in range(2):
            await fill(client, 40)
            await retention(broker)
        found = await samples(client)
        assert found["messages_dropped_total", ""] == await first_offset(client) > 40


async def test_a_consumer_that_reads_while_files_go_gets_on_with_what_is_left(
    tmp_path: Path,
) -> None:
    given = SEGMENTS | {"queue_size": 1}
    async with running_broker(tmp_path, ManualClock(), **given) as broker:
        client = broker.client
        await put(client, overflow="drop_oldest", retention_bytes=20_000, partitions=1)
        async with client.consume("t", max_in_flight=1) as events:
            await fill(client, 40)
            seen = [(await events.message())["offset"]]
            await retention(broker)
            while seen[-1] < 39:
                message = await events.message()
                seen.append(message["offset"])
                await client.settle("t", message["receipt"])
            assert seen == sorted(seen)
            row = await client.books("t")
        assert total(row) == 40
        assert row["lost"] == 0


async def test_a_full_partition_refuses_and_consuming_makes_room(tmp_path: Path) -> None:
    async with running_broker(tmp_path, ManualClock(), **SEGMENTS) as broker:
        client = broker.client
        await put(client, max_partition_bytes=20_000, partitions=1)
        async with client.consume("t"):
            pass
        stored = await fill_up(client)
        assert broker.broker.topics.get("t").partition(0).disk_bytes <= 20_000
        row = await client.books("t")
        assert (row["ready"], row["dropped"]) == (stored, 0)
        await ack_all(client, stored)
        assert (await client.produce("t", b"x" * 900, partition=0)).status == 200


async def test_a_cap_far_below_the_size_of_a_log_file_works_too(tmp_path: Path) -> None:
    async with running_broker(tmp_path, ManualClock()) as broker:
        client = broker.client
        await fill(client, 30)
        await put(client, max_partition_bytes=20_000)
        async with client.consume("t"):
            pass
        assert (await client.produce("t", b"x", partition=0)).code == "PARTITION_FULL"
        assert (await client.produce("t", b"x" * 20_001, partition=0)).code == "TOO_LARGE"
        await put(client, max_partition_bytes=0)
        await client.produce("t", b"x", partition=0)
        await put(client, max_partition_bytes=20_000)
        for _ in range(5):
            await ack_all(client, (await client.books("t"))["lag"])
            assert await fill_up(client) > 5


async def test_a_small_topic_drops_its_oldest_whatever_the_size_of_a_log_file(
    tmp_path: Path,
) -> None:
    async with running_broker(tmp_path, ManualClock()) as broker:
        await put(broker.client, overflow="drop_oldest", retention_bytes=20_000)
        await fill(broker.client, 60)
        await retention(broker)
        assert broker.broker.topics.get("t").partition(0).disk_bytes <= 20_000


async def fill_up(client: BrokerClient) -> int:
    for count in range(100):
        answer = await client.produce("t", b"x" * 900, partition=0)
        if answer.status != 200:
            assert (answer.status, answer.code) == (429, "PARTITION_FULL")
            assert int(answer.headers["Retry-After"]) > 0
            return count
    raise AssertionError("the partition never filled")


@pytest.mark.parametrize("days", [-1, 1, 400])
async def test_a_wall_clock_that_jumps_drops_nothing(tmp_path: Path, days: int) -> None:
    clock = ManualClock()
    given = SEGMENTS | {"retention_seconds": 3600.0}
    async with running_broker(tmp_path, clock, **given) as broker:
        client = broker.client
        await put(client, overflow="drop_oldest", partitions=1)
        await fill(client, 10)
        clock.jump_wall(days * 86400)
        await fill(client, 10)
        await retention(broker)
        assert await first_offset(client) == 0
        clock.advance(3601)
        await fill(client, 10)
        await retention(broker)
        assert await first_offset(client) > 10
    clock.jump_wall(days * 86400)
    async with running_broker(tmp_path, clock, **given) as broker:
        before = await first_offset(broker.client)
        await retention(broker)
        assert await first_offset(broker.client) == before
