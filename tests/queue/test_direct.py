"""The client that goes straight to the brokers, on a real cluster."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from common.errors import BrokerUnreachable
from common.queue.direct import DirectProducer
from common.queue.direct_consumer import (
    LOOK_SECONDS,
    LOOKS_THROUGH_PROXY,
    PROXY,
    DirectConsumer,
)
from common.queue.placement import REFRESH_SECONDS
from tests.support.client import TOKEN
from tests.support.clock import ManualClock
from tests.support.proxy import Cluster, cluster, until

SECRET = SecretStr(TOKEN)


@pytest.fixture
async def trio(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with cluster(tmp_path) as running:
        yield running


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@contextlib.asynccontextmanager
async def producing(running: Cluster, clock: ManualClock) -> AsyncIterator[DirectProducer]:
    producer = DirectProducer(running.url, SECRET, clock)
    try:
        assert await producer.partitions("t") == 8
        yield producer
    finally:
        await producer.close()


@contextlib.asynccontextmanager
async def consuming(
    running: Cluster, clock: ManualClock, max_in_flight: int = 100
) -> AsyncIterator[DirectConsumer]:
    consumer = DirectConsumer(running.url, SECRET, "t", "g", max_in_flight, 10, clock)
    try:
        yield consumer
    finally:
        await consumer.close()


def through_proxy(running: Cluster, verb: str) -> int:
    """Requests of a verb that the proxy made to brokers."""
    return running.proxy.upstream.verbs[verb]


async def take(consumer: DirectConsumer, count: int) -> list[bytes]:
    """Receive and ack ``count`` messages."""
    found: list[bytes] = []
    async with asyncio.timeout(10), contextlib.aclosing(consumer.deliveries()) as deliveries:  # type: ignore[type-var]
        async for delivery in deliveries:
            found += delivery.payloads
            settled = await consumer.ack([delivery.receipt])
            assert (settled.acked, settled.refused) == (len(delivery.payloads), {})
            if len(found) >= count:
                break
    return sorted(found)


async def test_each_send_lands_at_its_owner_and_not_by_way_of_the_proxy(
    trio: Cluster, clock: ManualClock
) -> None:
    owners = (await trio.status())["owners"]["t"]
    async with producing(trio, clock) as producer:
        for partition in range(8):
            produced = await producer.send("t", partition, [b"x"])
            assert produced.id == f"{owners[partition]}:{partition}:0"
    assert through_proxy(trio, "produce") == 0


async def test_a_broker_that_is_new_to_a_topic_counts_its_partitions_like_the_others(
    trio: Cluster, clock: ManualClock
) -> None:
    await trio.brokers["broker-0"].client.request("PUT", "/topics/u", data=b'{"partitions": 8}')
    async with producing(trio, clock) as producer:
        assert await producer.partitions("u") == 8
        for partition in range(8):
            await producer.send("u", partition, [b"x"])
    counts = {len(b.broker.topics.get("u").partitions) for b in trio.brokers.values()}
    assert counts == {8}


async def test_an_owner_that_is_away_is_gone_round_by_the_proxy_until_it_is_back(
    trio: Cluster, clock: ManualClock
) -> None:
    partition = await trio.partition_of("broker-1")
    async with producing(trio, clock) as producer:
        await producer.send("t", partition, [b"0"], "key-0")
        await trio.gates["broker-1"].shut()
        taken = await producer.send("t", partition, [b"1"], "key-1")
        assert not taken.id.startswith("broker-1:")
        assert through_proxy(trio, "produce") >= 1
        await trio.until_ready_is("broker-1", False)
        await trio.gates["broker-1"].open()
        await trio.until_ready_is("broker-1", True)
        async with asyncio.timeout(10):
            while True:
                before = through_proxy(trio, "produce")
                assert (await producer.send("t", partition, [b"2"])).id.startswith("broker-1:")
                if through_proxy(trio, "produce") == before:
                    break
                clock.advance(REFRESH_SECONDS)
                await asyncio.sleep(0.01)


async def test_what_may_have_been_stored_is_sent_again_only_by_its_key(
    trio: Cluster, clock: ManualClock
) -> None:
    partition = await trio.partition_of("broker-1")
    async with producing(trio, clock) as producer:
        await trio.gates["broker-1"].shut()
        with pytest.raises(BrokerUnreachable):
            await producer.send("t", partition, [b"x"])
        assert await producer.send("t", partition, [b"x"])


async def test_messages_of_every_broker_come_and_are_acked_there(
    trio: Cluster, clock: ManualClock
) -> None:
    sent = [b"%d" % partition for partition in range(8)]
    async with producing(trio, clock) as producer, consuming(trio, clock) as consumer:
        for partition, payload in enumerate(sent):
            await producer.send("t", partition, [payload])
        assert await take(consumer, 8) == sent
    assert through_proxy(trio, "ack") == 0
    rows = (await trio.client.request("GET", "/groups?topic=t")).json["groups"]
    assert sum(row["acked"] for row in rows if row["group"] == "g") == 8


async def test_a_receipt_of_nobody_is_refused(trio: Cluster, clock: ManualClock) -> None:
    async with consuming(trio, clock) as consumer:
        settled = await consumer.ack(["nobody:0:0:abc", "broker-0:0:0:abc"])
    assert settled.acked == 0
    assert set(settled.refused) == {"nobody:0:0:abc", "broker-0:0:0:abc"}


async def test_a_broker_that_joins_is_read_too(tmp_path: Path, clock: ManualClock) -> None:
    path = tmp_path / "brokers"
    async with cluster(
        tmp_path, 2, listed=["broker-0"], brokers_file=path, membership_seconds=0.02
    ) as running:
        taken: list[bytes] = []
        async with consuming(running, clock) as consumer:

            async def read() -> None:
                async for delivery in consumer.deliveries():
                    taken.extend(delivery.payloads)

            reading = asyncio.create_task(read())
            await until(lambda: bool(running.brokers["broker-0"].broker.streams))
            gates = running.gates.items()
            path.write_text("\n".join(f"{name}={gate.url}" for name, gate in gates))
            await until(lambda: len(running.proxy.members) == 2)
            clock.advance(LOOK_SECONDS)
            await until(lambda: bool(running.brokers["broker-1"].broker.streams))
            await running.brokers["broker-1"].client.produce("t", b"new", partition=3)
            await until(lambda: taken == [b"new"])
            reading.cancel()


async def test_brokers_out_of_reach_are_read_through_the_proxy_for_a_while(
    tmp_path: Path, clock: ManualClock
) -> None:
    async with cluster(tmp_path, 2, probe_seconds=60.0) as duo, consuming(duo, clock) as consumer:
        taken: list[bytes] = []

        async def read() -> None:
            async for delivery in consumer.deliveries():
                taken.extend(delivery.payloads)
                await consumer.ack([delivery.receipt])

        def streams() -> set[str]:
            return set(consumer._pumps)

        reading = asyncio.create_task(read())
        await until(lambda: streams() == set(duo.brokers))
        await duo.gates["broker-1"].shut()
        await advance_until(clock, lambda: streams() == {PROXY})
        await duo.gates["broker-1"].open()
        await duo.brokers["broker-1"].client.produce("t", b"by proxy", partition=3)
        await until(lambda: taken == [b"by proxy"])
        assert streams() == {PROXY}
        for _ in range(LOOKS_THROUGH_PROXY):
            clock.advance(LOOK_SECONDS)
        await advance_until(clock, lambda: streams() == set(duo.brokers))
        await duo.brokers["broker-1"].client.produce("t", b"straight", partition=3)
        await until(lambda: taken == [b"by proxy", b"straight"])
        reading.cancel()


async def advance_until(clock: ManualClock, holds: object) -> None:
    """Let looks pass until something holds."""
    assert callable(holds)
    async with asyncio.timeout(20):
        while not holds():
            clock.advance(LOOK_SECONDS)
            await asyncio.sleep(0.01)
