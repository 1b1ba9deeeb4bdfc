"""Seek, forget, retention, and the books, over the wire."""

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from tests.support.broker import RunningBroker, running_broker
from tests.support.client import Answer, BrokerClient
from tests.support.clock import ManualClock
from tests.support.waiting import until

RETENTION_SECONDS = 100.0


async def seek(client: BrokerClient, to: object, group: str = "default", **given: int) -> Answer:
    parameters = {"topic": "t", "to": str(to)} | {k: str(v) for k, v in given.items()}
    return await client.request("POST", f"/groups/{group}/seek", params=parameters)


async def forget(client: BrokerClient, group: str = "default") -> Answer:
    return await client.request("DELETE", f"/groups/{group}", params={"topic": "t"})


@pytest.mark.parametrize(("to", "first"), [("earliest", "0"), ("2", "2"), ("latest", "new")])
async def test_a_group_goes_on_from_where_it_was_moved(
    client: BrokerClient, to: str, first: str
) -> None:
    await client.produce_lines("t", *[b"%d" % n for n in range(4)], partition=0)
    async with client.consume("t", max_in_flight=10) as events:
        stale = [message["receipt"] for message in await events.messages(4)]
        await client.settle("t", stale[0])
        answer = await seek(client, to, partition=0)
        assert answer.status == 200
        late = await client.settle("t", *stale[1:])
        assert (late.status, late.code) == (409, "RECEIPT_STALE")
        await client.produce("t", b"new", partition=0)
        message = await events.message()
        assert (message["payload"], message["attempt"]) == (first, 1)


async def test_all_partitions_are_moved_together_and_a_place_is_made(client: BrokerClient) -> None:
    for number in range(4):
        await client.produce_lines("t", b"a", b"b", partition=number)
    answer = await seek(client, "latest", group="new")
    assert answer.json["offsets"] == {str(number): 2 for number in range(4)}
    assert [row["lag"] for row in await client.groups("t", "new")] == [0] * 4


@pytest.mark.parametrize("to", ["", "yesterday", "-1"])
async def test_a_place_that_is_none_is_refused(client: BrokerClient, to: str) -> None:
    await client.produce("t", b"x")
    assert (await seek(client, to)).status == 400


async def test_a_seek_survives_a_restart(tmp_path: Path) -> None:
    async with running_broker(tmp_path) as broker:
        await broker.client.produce_lines("t", b"a", b"b", b"c", partition=0)
        await seek(broker.client, 1, partition=0)
    async with running_broker(tmp_path) as broker, broker.client.consume("t") as events:
        assert (await events.message())["payload"] == "b"


async def test_a_group_with_a_stream_is_not_forgotten(running: RunningBroker) -> None:
    client = running.client
    await client.produce("t", b"x", partition=0)
    async with client.consume("t") as events:
        await client.settle("t", (await events.message())["receipt"])
        refused = await forget(client)
        assert (refused.status, refused.code) == (409, "GROUP_IN_USE")
    await until(lambda: not running.broker.streams)
    assert (await forget(client)).status == 200
    assert await client.groups("t") == []
    assert (await forget(client)).status == 404
    async with client.consume("t") as events:
        assert (await events.message())["payload"] == "x"


async def test_a_forgotten_group_stays_so_over_a_restart(tmp_path: Path) -> None:
    async with running_broker(tmp_path) as broker:
        await broker.client.produce("t", b"x", partition=0)
        await seek(broker.client, "latest")
        await forget(broker.client)
    async with running_broker(tmp_path) as broker:
        assert await broker.client.groups("t") == []


async def test_streams_that_open_while_a_group_is_forgotten_work_or_are_refused(
    client: BrokerClient,
) -> None:
    await client.produce("t", b"x", partition=0)

    async def consume() -> str:
        async with client.consume("t") as events:
            if events.status == 409:
                return "refused"
            receipt = (await events.message())["receipt"]
            return str((await client.settle("t", receipt)).json["acked"])

    for _ in range(10):
        await seek(client, "earliest")
        results = await asyncio.gather(forget(client), consume(), return_exceptions=True)
        assert results[1] in ("1", "refused"), results


async def fill(client: BrokerClient, count: int) -> None:
    for _ in range(count):
        await client.produce("t", b"x" * 900, partition=0, durability="disk")


async def ack_all(client: BrokerClient, count: int, group: str = "default") -> None:
    async with client.consume("t", group=group, batch=count, max_in_flight=count) as events:
        while count:
            head, payloads = await events.batch()
            await client.settle("t", head["receipt"], group=group)
            count -= len(payloads)


async def first_offset(client: BrokerClient) -> int:
    (topic,) = (await client.request("GET", "/topics")).json["topics"]
    return int(topic["partitions"][0]["first_offset"])


async def retention(running: RunningBroker) -> None:
    await running.broker.topics.get("t").partition(0).retire()


async def test_only_what_every_group_settled_and_is_old_is_unlinked(tmp_path: Path) -> None:
    clock = ManualClock()
    given: Any = {"segment_bytes": 4096, "retention_seconds": RETENTION_SECONDS}
    async with running_broker(tmp_path, clock, **given) as broker:
        client = broker.client
        await fill(client, 40)
        await seek(client, "earliest", group="slow")
        clock.advance(RETENTION_SECONDS + 1)
        for group, count, settled in (("default", 40, 0), ("slow", 20, 20)):
            await ack_all(client, count, group)
            await retention(broker)
            assert await first_offset(client) <= settled
        kept = await first_offset(client)
        assert 12 <= kept <= 20
        await fill(client, 10)
        await ack_all(client, 30, "slow")
        await ack_all(client, 10)
        await retention(broker)
        young = await first_offset(client)
        assert 32 <= young <= 40
        async with client.consume("t", group="new", batch=100) as events:
            assert (await events.batch())[0]["offset"] == young
    async with running_broker(tmp_path, clock, **given) as broker:
        assert await first_offset(broker.client) == young


async def test_over_the_size_young_settled_data_goes_too(tmp_path: Path) -> None:
    given: Any = {"segment_bytes": 4096, "retention_bytes": 10_000}
    async with running_broker(tmp_path, ManualClock(), **given) as broker:
        client = broker.client
        await fill(client, 40)
        async with client.consume("t"):
            pass
        await retention(broker)
        assert await first_offset(client) == 0
        await ack_all(client, 40)
        await retention(broker)
        assert broker.broker.topics.get("t").partition(0).disk_bytes <= 10_000
        assert await first_offset(client) > 20


async def test_while_there_is_no_group_nothing_is_unlinked(tmp_path: Path) -> None:
    given: Any = {"segment_bytes": 4096, "retention_bytes": 1}
    async with running_broker(tmp_path, **given) as broker:
        await fill(broker.client, 20)
        await retention(broker)
        assert await first_offset(broker.client) == 0


@pytest.mark.parametrize("seed", range(3))
async def test_the_books_balance_at_every_scrape(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    given: Any = {"max_deliveries": 2, "segment_bytes": 4096, "queue_size": 10}
    async with running_broker(tmp_path, visibility_timeout_seconds=0.2, **given) as broker:
        await broker.client.produce("t", b"x", partition=0)
        work = asyncio.gather(
            produce_some(broker.client, 60), *(consume_some(broker.client, chance) for _ in "ab")
        )
        scrapes = 0
        while not work.done():
            await balance(broker.client)
            scrapes += 1
        await work
        assert scrapes > 5
        await until(lambda: settled(broker))
        await balance(broker.client)


async def produce_some(client: BrokerClient, requests: int) -> None:
    for _ in range(requests):
        await client.produce_lines("t", *[b"x" * 50] * 5, partition=0)


async def consume_some(client: BrokerClient, chance: random.Random) -> None:
    """Ack, nack and forget, with a new connection now and then."""
    for _ in range(6):
        async with client.consume("t", partition=0, max_in_flight=20) as events:
            for _ in range(25):
                receipt = (await events.message())["receipt"]
                await treat(client, receipt, chance.random())


async def treat(client: BrokerClient, receipt: str, luck: float) -> None:
    if luck < 0.5:
        await client.settle("t", receipt)
    elif luck < 0.9:
        mode = "reject" if luck < 0.6 else "release" if luck < 0.75 else "retry"
        body = {"id": receipt, "mode": mode} | ({"delay_seconds": 0} if mode == "retry" else {})
        await client.request("POST", "/nack", params={"topic": "t"}, json=body)


def settled(running: RunningBroker) -> bool:
    place = running.broker.topics.get("t").partition(0).groups.get("default")
    return place is not None and not place.doomed and not place.leases.messages


async def balance(client: BrokerClient) -> None:
    for row in await client.groups("t"):
        topics = (await client.request("GET", "/topics")).json["topics"]
        end = topics[0]["partitions"][row["partition"]]["next_offset"]
        total = sum(row[word] for word in ("ready", "in_flight", "acked", "dead", "lost"))
        assert total <= end
        assert row["lag"] == row["ready"] + row["in_flight"]
        assert all(value >= 0 for value in row.values() if isinstance(value, int))
