"""What is set for a topic: kept, shown, followed; and how a topic grows and goes."""

import asyncio
import contextlib
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from broker.commit import Draft
from broker.settings import TopicRequest
from broker.surroundings import Surroundings
from broker.topics import Topics
from common.errors import Unavailable
from tests.support.broker import RunningBroker, broker_options, running_broker
from tests.support.client import Answer, BrokerClient
from tests.support.clock import ManualClock
from tests.support.files import MemoryFiles
from tests.support.waiting import until

ALL = {
    "durability": "disk",
    "retention_seconds": 60.0,
    "retention_bytes": 9000,
    "max_partition_bytes": 50_000,
    "overflow": "drop_oldest",
}


async def put(client: BrokerClient, **settings: Any) -> Answer:
    return await client.request("PUT", "/topics/t", data=msgspec.json.encode(settings))


async def delete(client: BrokerClient, **given: str) -> Answer:
    return await client.request("DELETE", "/topics/t", params=given)


async def settings(client: BrokerClient) -> dict[str, Any]:
    (topic,) = (await client.request("GET", "/topics")).json["topics"]
    found: dict[str, Any] = topic["settings"]
    return found


async def test_what_is_set_is_shown_and_kept_and_the_rest_follows_the_options(
    tmp_path: Path,
) -> None:
    async with running_broker(tmp_path, retention_seconds=7.0) as broker:
        assert (await put(broker.client, retention_bytes=9000)).status == 200
        await put(broker.client, overflow="drop_oldest")
        found = await settings(broker.client)
        assert (found["retention_bytes"], found["overflow"]) == (9000, "drop_oldest")
        assert (found["retention_seconds"], found["durability"]) == (7.0, "fsync")
    async with running_broker(tmp_path, retention_seconds=8.0) as broker:
        assert await settings(broker.client) == found | {"retention_seconds": 8.0}


async def test_null_follows_the_option_again(client: BrokerClient) -> None:
    before = (await put(client)).json["settings"]
    assert (await put(client, **ALL)).json["settings"] == ALL
    assert (await put(client, **dict.fromkeys(ALL))).json["settings"] == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"durability": "always"},
        {"retention_seconds": -1},
        {"retention_seconds": "60s"},
        {"retention_bytes": 1.5},
        {"max_partition_bytes": -1},
        {"overflow": "block"},
        {"partitions": None},
        {"colour": "red"},
    ],
)
async def test_settings_that_make_no_sense_change_nothing(
    client: BrokerClient, wrong: dict[str, Any]
) -> None:
    before = (await put(client, **ALL)).json["settings"]
    answer = await put(client, **wrong)
    assert (answer.status, answer.code) == (400, "INVALID_REQUEST")
    assert await settings(client) == before


async def test_a_topics_durability_is_what_a_produce_reaches_that_does_not_say(
    client: BrokerClient,
) -> None:
    await put(client, durability="disk")
    assert (await client.produce("t", b"x")).json["durability"] == "disk"
    assert (await client.produce("t", b"x", durability="fsync")).json["durability"] == "fsync"


async def test_a_topic_grows_under_its_consumers_and_keeps_what_it_has(tmp_path: Path) -> None:
    async with running_broker(tmp_path, topics=("t:1",)) as broker:
        client = broker.client
        await client.produce("t", b"old")
        async with client.consume("t") as events:
            await events.message()
            assert (await put(client, partitions=3)).json["partition_count"] == 3
            goodbye = await events.next()
            assert goodbye.type == "goodbye"
            assert msgspec.json.decode(goodbye.data[0])["code"] == "TOPIC_GREW"
        await client.produce("t", b"new", partition=2)
        assert (await client.produce("t", b"x", partitions=1)).code == "TOPIC_CONFLICT"
        async with client.consume("t") as events:
            assert {m["payload"] for m in await events.messages(2)} == {"old", "new"}
    async with running_broker(tmp_path) as broker:
        assert len(broker.broker.topics.get("t").partitions) == 3


async def test_a_group_misses_nothing_of_a_partition_that_came_before_its_consumers(
    client: BrokerClient,
) -> None:
    await put(client, partitions=2)
    for given in ({}, {"partition": 1, "group": "part"}):
        async with client.consume("t", start="latest", **given):
            pass
    await put(client, partitions=3)
    await client.produce("t", b"x", partition=2)
    async with client.consume("t", start="latest") as events:
        assert (await events.message())["payload"] == "x"
    assert [row["partition"] for row in await client.groups("t", "part")] == [1]


async def test_a_stream_of_one_partition_does_not_hear_of_growth(client: BrokerClient) -> None:
    await put(client, partitions=2)
    async with client.consume("t", partition=0) as events:
        await put(client, partitions=3)
        await client.produce("t", b"x", partition=0)
        assert (await events.message())["payload"] == "x"


async def test_a_deleted_topic_is_gone_and_its_name_begins_anew(tmp_path: Path) -> None:
    async with running_broker(tmp_path, max_deliveries=1) as broker:
        client = broker.client
        await put(client, **ALL)
        await client.produce("t", b"old", partition=0, headers={"Idempotency-Key": "k"})
        async with client.consume("t") as events:
            receipt = (await events.message())["receipt"]
        await until(lambda: broker.broker.topics.get("t").dead)
        await until(lambda: not broker.broker.streams)
        assert (await delete(client)).json == {"topic": "t", "deleted_messages": 1}
        assert (await delete(client)).code == "NOT_FOUND"
        assert list((tmp_path / "topics").iterdir()) == []
        again = await client.produce("t", b"new", partition=0, headers={"Idempotency-Key": "k"})
        assert (again.json["offset"], again.json["duplicate"]) == (0, False)
        assert (await settings(client))["overflow"] == "keep"
        assert (await client.request("GET", "/dlq?topic=t")).status == 404
        async with client.consume("t") as events:
            assert (await events.message())["payload"] == "new"
            refused = await client.settle("t", receipt)
            assert (refused.status, refused.code) == (409, "RECEIPT_STALE")


async def test_a_topic_with_consumers_is_not_deleted_unless_they_are_kicked(
    client: BrokerClient,
) -> None:
    await client.produce("t", b"x")
    async with client.consume("t", group="g") as events:
        await events.message()
        refused = await delete(client)
        assert (refused.status, refused.code) == (409, "GROUP_IN_USE")
        assert refused.json["error"]["details"] == {"groups": ["g"]}
        assert (await delete(client, kick="perhaps")).status == 400
        assert (await delete(client, kick="true")).status == 200
        assert (await events.next()).type == "goodbye"
    assert (await client.request("GET", "/topics")).json == {"topics": []}


async def test_a_topic_can_be_deleted_under_load_and_made_again(running: RunningBroker) -> None:
    client, stop = running.client, asyncio.Event()

    async def produce() -> set[int]:
        found = set()
        while not stop.is_set():
            found.add((await client.produce("t", b"x", partition=0)).status)
        return found

    load = asyncio.create_task(produce())
    for _ in range(10):
        await client.produce("t", b"x")
        assert (await delete(client, kick="true")).status == 200
    stop.set()
    assert await load <= {200, 503}
    await client.produce("t", b"x", partition=0)
    async with client.consume("t", partition=0) as events:
        assert (await events.message())["offset"] == 0


@pytest.fixture
def disk() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.mark.parametrize("operation", ["replace", "sync_directory", "remove_tree"])
async def test_a_crash_during_a_deletion_leaves_the_whole_topic_or_none(
    disk: ThreadPoolExecutor, operation: str
) -> None:
    files = MemoryFiles()
    topics = open_topics(files, disk)
    topic = await topics.put("t", TopicRequest(partitions=2))
    await topic.partition(1).produce(Draft(b"x", 1), "fsync")
    files.fail(operation)
    with contextlib.suppress(Unavailable):
        await topics.delete("t")
    assert all(len(found.partitions) == 2 for found in topics.all())
    files.crash()
    again = open_topics(files, disk)
    await again.open()
    for found in again.all():
        assert [part.end for part in found.partitions] == [0, 1]
    await again.ensure("t", 2 if again.all() else None)
    await again.close()


async def test_a_deletion_left_unfinished_is_finished_at_the_start(
    disk: ThreadPoolExecutor,
) -> None:
    files = MemoryFiles()
    topics = open_topics(files, disk)
    await topics.put("t", TopicRequest())
    files.fail("remove_tree")
    await topics.delete("t")
    assert files.snapshot()
    again = open_topics(files, disk)
    await again.open()
    assert again.all() == []
    assert not files.snapshot()


async def test_what_still_holds_a_deleted_topic_is_refused(disk: ThreadPoolExecutor) -> None:
    topics = open_topics(files := MemoryFiles(), disk)
    topic = await topics.put("t", TopicRequest(partitions=1))
    await topics.delete("t")
    before = files.snapshot()
    for work in (
        topic.partition(0).produce(Draft(b"x", 1), "fsync"),
        topic.dead_letters("g"),
        topic.pause(None),
        topic.partition(0).retire(),
    ):
        with pytest.raises(Exception, match=r"gone|closed"):
            await work
    await topic.partition(0).groups.open("g", 0, 0)
    assert files.snapshot() == before


def open_topics(files: MemoryFiles, disk: ThreadPoolExecutor) -> Topics:
    options = broker_options(Path("/data"), partitions_per_topic=2)
    shared = Surroundings(options, files, disk, ManualClock(), random.Random(1), lambda: "d1")
    return Topics(Path("/data/topics"), shared)
