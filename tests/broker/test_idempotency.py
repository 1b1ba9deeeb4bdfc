"""Idempotency keys over the wire."""

import asyncio
import errno
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from broker.commit import Draft, Stored
from broker.keys_file import KEYS_FILE
from broker.partition import Partition
from tests.broker.test_partition import DIRECTORY, open_partition
from tests.support.broker import broker_process, running_broker
from tests.support.client import BrokerClient
from tests.support.clock import ManualClock
from tests.support.files import MemoryFiles

WINDOW_SECONDS = 600.0


async def produce(client: BrokerClient, key: str, body: bytes = b"x", **given: Any) -> Any:
    """Produce with an idempotency key; return the answer's JSON."""
    answer = await client.produce("t", body, headers={"Idempotency-Key": key}, **given)
    assert answer.status == 200
    return answer.json


def place(answer: Any) -> tuple[int, int, bool]:
    return answer["partition"], answer["offset"], answer["duplicate"]


async def test_a_repeat_answers_the_place_of_the_first(client: BrokerClient) -> None:
    first = await produce(client, "k", b"one")
    again = await produce(client, "k", b"another body")
    number, offset, duplicate = place(first)
    assert not duplicate
    assert place(again) == (number, offset, True)
    async with client.consume("t") as events:
        await client.produce("t", b"after", partition=number)
        assert [m["payload"] for m in await events.messages(2)] == ["one", "after"]


async def test_a_batch_is_repeated_as_a_whole(client: BrokerClient) -> None:
    headers = {"Content-Type": "application/x-ndjson", "Idempotency-Key": "k"}
    answers = [await client.produce("t", b"a\nb\nc", headers=headers) for _ in range(2)]
    assert [(answer.json["offset"], answer.json["count"]) for answer in answers] == [(0, 3)] * 2


async def test_repeats_at_the_same_time_are_stored_once(client: BrokerClient) -> None:
    answers = await asyncio.gather(*(produce(client, "k") for _ in range(20)))
    assert sorted(answer["duplicate"] for answer in answers) == [False] + [True] * 19
    assert len({place(answer)[:2] for answer in answers}) == 1


async def test_keys_are_apart_by_partition_and_by_letter(client: BrokerClient) -> None:
    for number, key in ((0, "k"), (1, "k"), (0, "K")):
        assert not (await produce(client, key, partition=number))["duplicate"]


async def test_a_key_is_known_after_a_restart_and_across_many_files(tmp_path: Path) -> None:
    given: Any = {"segment_bytes": 4096}
    keys = [f"k{number}" for number in range(20)]
    async with running_broker(tmp_path, **given) as broker:
        first = [await produce(broker.client, key, b"x" * 900, partition=0) for key in keys]
    assert len(list((tmp_path / "topics" / "t" / "0").glob("*.seg"))) > 3
    async with running_broker(tmp_path, **given) as broker:
        again = [await produce(broker.client, key, partition=0) for key in keys]
    assert [place(answer) for answer in again] == [(0, place(a)[1], True) for a in first]


async def test_a_key_is_known_after_kill_9(tmp_path: Path) -> None:
    async with broker_process(tmp_path / "data") as broker:
        async with BrokerClient(broker.url) as client:
            first = await produce(client, "k")
        await broker.kill()
        await broker.start()
        await broker.until_ready()
        async with BrokerClient(broker.url) as client:
            again = await produce(client, "k")
    assert (again["offset"], again["duplicate"]) == (first["offset"], True)


@pytest.mark.parametrize("others", [False, True])
async def test_a_key_is_free_again_after_the_window(tmp_path: Path, others: bool) -> None:
    clock = ManualClock()
    async with running_broker(tmp_path, clock, idempotency_seconds=WINDOW_SECONDS) as broker:
        await produce(broker.client, "k", partition=0)
        clock.advance(WINDOW_SECONDS - 1)
        if others:
            await produce(broker.client, "other", partition=0)
        assert (await produce(broker.client, "k", partition=0))["duplicate"]
        clock.advance(2)
        again = await produce(broker.client, "k", partition=0)
        assert not again["duplicate"]
        assert place(await produce(broker.client, "k", partition=0)) == (0, again["offset"], True)


async def test_a_clock_set_back_forgets_no_key(tmp_path: Path) -> None:
    clock = ManualClock()
    async with running_broker(tmp_path, clock) as broker:
        await produce(broker.client, "k", partition=0)
        clock.jump_wall(-86_400)
        await produce(broker.client, "other", partition=0)
        assert (await produce(broker.client, "k", partition=0))["duplicate"]
    async with running_broker(tmp_path, clock) as broker:
        assert (await produce(broker.client, "k", partition=0))["duplicate"]


async def test_only_the_newest_keys_are_remembered(tmp_path: Path) -> None:
    async with running_broker(tmp_path, idempotency_keys=2) as broker:
        for key in ("a", "b", "c"):
            await produce(broker.client, key, partition=0)
        for key, known in (("b", True), ("c", True), ("a", False)):
            assert (await produce(broker.client, key, partition=0))["duplicate"] == known


@pytest.mark.parametrize("key", ["x" * 257, "caf\u00e9", "a\tb"])
async def test_a_key_that_is_none_is_refused(client: BrokerClient, key: str) -> None:
    answer = await client.produce("t", b"x", headers={"Idempotency-Key": key})
    assert (answer.status, answer.code) == (400, "INVALID_REQUEST")


@pytest.fixture
def disk() -> Any:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def draft(key: str, body: bytes = b"x" * 900) -> Draft:
    return Draft(body, 1, 0, msgspec.msgpack.encode({"idempotency_key": key}), key)


async def store(partition: Partition, *keys: str) -> list[Stored]:
    return [await partition.produce(draft(key), "fsync") for key in keys]


async def test_a_repeat_that_wants_more_safety_gets_it(disk: ThreadPoolExecutor) -> None:
    files = MemoryFiles()
    partition = open_partition(files, disk)
    await partition.produce(draft("k"), "disk")
    again = await partition.produce(draft("k"), "fsync")
    files.crash()
    assert again.duplicate
    assert open_partition(files, disk).end == 1


async def test_keys_that_could_not_be_written_down_cost_no_produce(
    disk: ThreadPoolExecutor,
) -> None:
    files = MemoryFiles()
    partition = open_partition(files, disk, segment_bytes=4096)
    files.fail("replace", errno.ENOSPC, times=99)
    keys = [f"k{number}" for number in range(20)]
    await store(partition, *keys)
    assert all(stored.duplicate for stored in await store(partition, *keys))
    partition = open_partition(files, disk, segment_bytes=4096)
    assert DIRECTORY / KEYS_FILE not in files.snapshot()
    assert all(stored.duplicate for stored in await store(partition, *keys))


async def test_without_the_kept_keys_the_newest_are_known(disk: ThreadPoolExecutor) -> None:
    files = MemoryFiles()
    given: Any = {"segment_bytes": 4096, "idempotency_keys": 3}
    partition = open_partition(files, disk, **given)
    await store(partition, *[f"k{number}" for number in range(20)])
    files.remove(DIRECTORY / KEYS_FILE)
    partition = open_partition(files, disk, **given)
    found = await store(partition, "k17", "k18", "k19")
    assert [stored.offset for stored in found] == [17, 18, 19]


async def test_a_key_whose_message_a_crash_took_is_free(disk: ThreadPoolExecutor) -> None:
    files = MemoryFiles()
    partition = open_partition(files, disk)
    await store(partition, "kept")
    await partition.produce(draft("lost"), "disk")
    files.crash()
    partition = open_partition(files, disk)
    kept, lost = await store(partition, "kept", "lost")
    assert (kept.duplicate, lost.duplicate) == (True, False)


async def test_keys_outlive_the_files_that_they_came_with(disk: ThreadPoolExecutor) -> None:
    files, clock = MemoryFiles(), ManualClock()
    given: Any = {"segment_bytes": 4096, "retention_seconds": 1.0}
    partition = open_partition(files, disk, clock, **given)
    group = await partition.open_group("g", "earliest")
    keys = [f"k{number}" for number in range(10)]
    await store(partition, *keys)
    files.remove(DIRECTORY / KEYS_FILE)  # as a crash after one that lost its rename
    partition.let_go(group, partition.end, "purged")
    clock.advance(2)
    assert await partition.retire() > 1
    await partition.groups.save(surely=True)  # now the removals are on the disk too
    files.crash()
    partition = open_partition(files, disk, clock, **given)
    assert partition.first_offset > 0
    assert all(stored.duplicate for stored in await store(partition, *keys))
