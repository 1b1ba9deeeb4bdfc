"""Caps: the disk's reserve, streams, groups; and headers of any size."""

import contextlib
from pathlib import Path
from typing import Any

import pytest

from common.journal.files import DiskFiles
from tests.broker.test_groups import seek
from tests.support.broker import RunningBroker, running_broker
from tests.support.client import BrokerClient
from tests.support.waiting import until

RESERVE = 64 << 20


class SmallDisk(DiskFiles):
    """A file system that says how much it still takes as the test wants it."""

    def __init__(self) -> None:
        self.left = 1 << 40

    def free(self, directory: Path) -> int:
        """See ``Files``."""
        assert directory.is_dir()
        return self.left


def shrink(running: RunningBroker) -> SmallDisk:
    """Put a small disk under a running broker."""
    disk = SmallDisk()
    files: Any = running.broker.topics._shared.files
    files.free = disk.free
    return disk


async def test_produces_leave_the_reserve_and_everything_else_goes_on(
    running: RunningBroker,
) -> None:
    client, disk = running.client, shrink(running)
    await client.produce_lines("t", b"0", b"1", partition=0)
    disk.left = RESERVE + 10
    for durability in ("fsync", "memory"):
        refused = await client.produce("t", b"x" * 100, partition=0, durability=durability)
        assert (refused.status, refused.code) == (503, "DISK_FULL")
        assert int(refused.headers["Retry-After"]) > 0
    async with client.consume("t", group="new") as events:
        first, second = await events.messages(2)
        assert (await client.settle("t", first["receipt"], group="new")).json["acked"] == 1
        body = {"id": second["receipt"], "mode": "reject"}
        await client.request("POST", "/nack?topic=t&group=new", json=body)
        topic = running.broker.topics.get("t")
        await until(lambda: topic.dead and topic.dead["new"].depth == 1)
        disk.left = RESERVE * 2
        assert (await client.produce("t", b"back", partition=0)).json["offset"] == 2
        assert (await events.message())["payload"] == "back"


async def test_only_so_many_streams_are_open(tmp_path: Path) -> None:
    async with running_broker(tmp_path, max_streams=3) as broker:
        async with contextlib.AsyncExitStack() as streams:
            for _ in range(3):
                await streams.enter_async_context(broker.client.consume("t"))
            refused = await broker.client.request("GET", "/consume?topic=t")
            assert (refused.status, refused.code) == (429, "OVERLOADED")
            assert "Retry-After" in refused.headers
        await until(lambda: not broker.broker.streams)
        async with broker.client.consume("t") as events:
            assert events.status == 200


async def test_a_topic_has_only_so_many_groups(tmp_path: Path) -> None:
    async with running_broker(tmp_path, max_groups=2) as broker:
        client = broker.client
        for group in ("a", "b", "a"):
            async with client.consume("t", group=group) as events:
                assert events.status == 200
        refused = await client.request("GET", "/consume?topic=t&group=c")
        assert (refused.status, refused.code) == (429, "OVERLOADED")
        assert (await seek(client, "latest", group="c")).status == 429
        async with client.consume("other", group="c") as events:
            assert events.status == 200
        await until(lambda: not broker.broker.streams)
        await client.request("DELETE", "/groups/a?topic=t")
        async with client.consume("t", group="c") as events:
            assert events.status == 200


async def test_only_so_many_groups_are_paused_by_name(tmp_path: Path) -> None:
    async with running_broker(tmp_path, topics=("t:1",), max_groups=2) as broker:
        answers = [
            await broker.client.request("POST", f"/pause?topic=t&group={group}")
            for group in ("a", "b", "b", "c")
        ]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]


@pytest.mark.parametrize(
    "value", ["broker-0:0:1:ff", "", "0", "x" * 60_000, "\xff\xfe", "-1", "9" * 400]
)
async def test_last_event_id_changes_nothing_whatever_it_holds(
    client: BrokerClient, value: str
) -> None:
    await client.produce_lines("t", b"0", b"1", partition=0)
    async with client.consume("t") as events:
        await client.settle("t", (await events.message())["receipt"])
    async with client.consume("t", headers={"Last-Event-ID": value}) as events:
        assert events.status in (200, 431)
        if events.status == 200:
            assert (await events.message())["payload"] == "1"
    assert (await client.produce("t", b"2")).status == 200


async def test_a_header_of_a_megabyte_is_refused_and_the_broker_lives(
    client: BrokerClient,
) -> None:
    with contextlib.suppress(OSError):
        async with client.consume("t", headers={"Last-Event-ID": "x" * (1 << 20)}) as events:
            assert events.status in (200, 400, 431)
    assert (await client.produce("t", b"x")).status == 200
