"""What a consumer can do beside acking, through the proxy and straight to the brokers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from common.clock import SystemClock
from common.queue import letters
from common.queue.address import QueueAddress
from common.queue.base import Consumer, Delivery, Letter, Subscription
from common.queue.factory import open_consumer
from tests.support.client import TOKEN
from tests.support.proxy import Cluster, cluster
from tests.support.waiting import until_told

GROUP = {"topic": "t", "group": "g"}


@pytest.fixture
async def duo(tmp_path: Path) -> AsyncIterator[Cluster]:
    """Two brokers that hold a message in each of eight partitions."""
    async with cluster(tmp_path, 2) as found:
        for partition in range(8):
            await found.client.produce("t", b"%d" % partition, partition=partition)
        yield found


@pytest.fixture(params=[False, True], ids=["through the proxy", "direct"])
async def consumer(duo: Cluster, request: pytest.FixtureRequest) -> AsyncIterator[Consumer]:
    where = QueueAddress(duo.url, SecretStr(TOKEN), direct=request.param)
    found = open_consumer(where, Subscription("t", "g", 100, 5, "c"), SystemClock())
    yield found
    await found.close()


@contextlib.asynccontextmanager
async def delivered(consumer: Consumer, count: int = 8) -> AsyncIterator[list[Delivery]]:
    """Deliveries with so many messages in all, held while the block runs."""
    found: list[Delivery] = []
    async with asyncio.timeout(10), contextlib.aclosing(consumer.deliveries()) as deliveries:  # type: ignore[type-var]
        async for delivery in deliveries:
            found.append(delivery)
            if sum(len(each.payloads) for each in found) == count:
                break
        yield found


async def depth(duo: Cluster) -> int:
    answer = await duo.client.request("GET", "/dlq", params=GROUP)
    return len(answer.json["dead_letters"])


async def test_what_is_rejected_is_dead_with_its_reason(duo: Cluster, consumer: Consumer) -> None:
    async with delivered(consumer) as found:
        settled = await consumer.reject([each.receipt for each in found], "no good")
        assert (settled.acked, settled.refused) == (8, {})
        await until_told(lambda: eight_dead(duo))
        again = await consumer.reject([found[0].receipt], "no good")
        assert again.refused == {found[0].receipt: "STALE"}
    answer = await duo.client.request("GET", "/dlq", params=GROUP)
    rows = answer.json["dead_letters"]
    assert sorted(row["payload"] for row in rows) == [str(n) for n in range(8)]
    assert {row["error"] for row in rows} == {"no good"}


async def eight_dead(duo: Cluster) -> bool:
    return await depth(duo) == 8


async def test_leases_are_extended(consumer: Consumer) -> None:
    async with delivered(consumer) as found:
        settled = await consumer.extend([each.receipt for each in found], 60)
        assert (settled.acked, settled.refused) == (8, {})


async def test_the_lag_is_what_the_group_has_still_to_settle(consumer: Consumer) -> None:
    async with delivered(consumer) as found:
        assert await consumer.lag() == 8
        await consumer.ack([found[0].receipt])
        assert await consumer.lag() == 8 - len(found[0].payloads)


async def test_letters_are_in_the_queue_once(duo: Cluster, consumer: Consumer) -> None:
    given = [Letter(f"l{n}", n % 8, n, 1, "why", b"\xff%d" % n) for n in range(20)]
    await consumer.bury(given)
    await consumer.bury(given[5:])
    answer = await duo.client.request("GET", "/dlq", params=GROUP)
    rows = answer.json["dead_letters"]
    assert sorted(row["id"] for row in rows) == sorted(letter.id for letter in given)
    assert {row["offset"] % 8 == row["partition"] for row in rows} == {True}


@pytest.fixture
def small_requests(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(letters, "REQUEST_BYTES", 100)
    monkeypatch.setattr(letters, "REQUEST_LETTERS", 3)
    yield


@pytest.mark.usefixtures("small_requests")
def test_requests_are_bounded_in_letters_and_bytes() -> None:
    given = [
        Letter(f"l{n}", n % 2, n, 1, "", b"x" * size)
        for n, size in enumerate([1] * 8 + [400, 60, 60])
    ]
    requests = list(letters.requests_of(given))
    assert [partition for partition, _ in requests] == sorted(p for p, _ in requests)
    counts = [body.count(b'"id"') for _, body in requests]
    assert sum(counts) == 11
    assert max(counts) == 3
    assert all(
        count == 1 for count, (_, body) in zip(counts, requests, strict=True) if len(body) > 400
    )
