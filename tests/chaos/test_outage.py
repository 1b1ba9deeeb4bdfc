"""One broker is lost, or all are restarted in turn, while messages flow through processes."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from cli.chaos.fleet import Fleet
from cli.chaos.load import RETRY_SECONDS, Load
from cli.chaos.oracle import Oracle
from cli.chaos.plan import RAW_GROUP, RAW_TOPIC, ChaosPlan, settings_of
from cli.chaos.strikes import Strikes
from common.clock import SystemClock
from common.errors import BrokerUnreachable
from common.queue.address import QueueAddress
from common.queue.base import Consumer, Delivery, Settled, Subscription
from common.queue.factory import open_consumer
from common.wire import parse_receipt
from tests.support.client import BrokerClient
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(180)

PATIENCE_SECONDS = 60.0
PARTITIONS = 8
PLAN = ChaosPlan(seed=1, seconds=60, collectors=0)
SETTINGS = replace(
    settings_of(PLAN),
    partitions=PARTITIONS,
    broker={
        "VISIBILITY_TIMEOUT": "5s",
        "MAX_DELIVERIES": "1000",
        "HEARTBEAT": "1s",
        "SEGMENT_BYTES": "1MiB",
    },
)


@contextlib.asynccontextmanager
async def fleet(directory: Path) -> AsyncIterator[Fleet]:
    running = Fleet(PLAN, SETTINGS, directory, linked=False)
    try:
        await running.start_queue()
        yield running
    finally:
        await running.end()


class Producers:
    """One a partition, each with a request under way at all times; none has an idempotency key."""

    def __init__(self, client: BrokerClient) -> None:
        self.taken: dict[bytes, str] = {}
        self.failed: list[tuple[int, str]] = []
        self.turn = 0
        self.stopping = False
        self._client = client
        self._tasks = [asyncio.create_task(self._produce(n)) for n in range(PARTITIONS)]

    async def _produce(self, partition: int) -> None:
        while not self.stopping:
            self.turn += 1
            turn, payload = self.turn, b"%d-%d" % (partition, self.turn)
            answer = await self._client.produce(RAW_TOPIC, payload, partition=partition)
            if answer.status == 200:
                self.taken[payload] = answer.json["id"].split(":")[0]
            else:
                self.failed.append((turn, answer.code))

    async def go_on_for(self, requests: int) -> None:
        """Return when so many more requests were begun."""
        goal = self.turn + requests
        await until(lambda: self.turn >= goal, PATIENCE_SECONDS)

    async def stop(self) -> None:
        """End when what is under way is answered."""
        self.stopping = True
        await asyncio.gather(*self._tasks)


async def test_a_broker_killed_under_load_costs_only_what_was_under_way(tmp_path: Path) -> None:
    async with (
        fleet(tmp_path) as running,
        BrokerClient(running.proxy_urls[0], running.token) as client,
    ):
        owners = (await client.request("GET", f"/status?topic={RAW_TOPIC}")).json["owners"][
            RAW_TOPIC
        ]
        producers = Producers(client)
        await producers.go_on_for(400)
        await running.brokers["broker-1"].kill()
        # What goes out on a connection whose end nobody has heard of yet is under way too.
        begun = producers.turn + PARTITIONS
        await producers.go_on_for(400)
        await producers.stop()
        assert [turn for turn, _ in producers.failed if turn > begun] == []
        assert len(producers.failed) <= PARTITIONS
        assert {code for _, code in producers.failed} <= {"BROKER_UNREACHABLE"}
        await nothing_is_stranded(running, producers, owners)


async def nothing_is_stranded(running: Fleet, producers: Producers, owners: list[str]) -> None:
    """What is on brokers that are there comes now, the rest when theirs is back, each from it."""
    proxy = running.proxy_urls[1]
    where = QueueAddress(proxy, SecretStr(running.token))
    consumer = open_consumer(
        where, Subscription(RAW_TOPIC, RAW_GROUP, 1000, 50, "c"), SystemClock()
    )
    found: dict[bytes, str] = {}
    refused: dict[str, str] = {}

    async def consume() -> None:
        async for delivery in consumer.deliveries():
            source = parse_receipt(delivery.receipt).broker
            found.update(dict.fromkeys(delivery.payloads, source))
            refused.update((await ack(consumer, delivery)).refused)

    lost_broker = {one for one, broker in producers.taken.items() if broker == "broker-1"}
    stood_in = {
        one
        for one, broker in producers.taken.items()
        if owners[int(one.partition(b"-")[0])] == "broker-1" != broker
    }
    consuming = asyncio.create_task(consume())
    try:
        rest = producers.taken.keys() - lost_broker
        await until(lambda: rest <= found.keys(), PATIENCE_SECONDS)
        assert stood_in
        assert not lost_broker & found.keys()
        await running.brokers["broker-1"].start()
        await until(lambda: producers.taken.keys() <= found.keys(), PATIENCE_SECONDS)
        assert {one: found[one] for one in producers.taken} == producers.taken
        assert refused == {}
        assert not consuming.done()
    finally:
        consuming.cancel()
        await asyncio.gather(consuming, return_exceptions=True)
        await consumer.close()


async def ack(consumer: Consumer, delivery: Delivery) -> Settled:
    """Ack, again when the broker cannot be asked just now."""
    while True:
        try:
            return await consumer.ack([delivery.receipt])
        except BrokerUnreachable:
            await asyncio.sleep(RETRY_SECONDS)


async def test_a_rolling_restart_loses_nothing_and_keeps_the_order(tmp_path: Path) -> None:
    async with fleet(tmp_path) as running:
        oracle = Oracle()
        load = Load(running.proxy_urls, running.token, PARTITIONS, oracle, 1, lambda _: True)
        load.start()
        try:
            for name in list(running.brokers):
                before = len(oracle.stored)
                await until(lambda n=before: len(oracle.stored) > n + 200, PATIENCE_SECONDS)  # type: ignore[misc]
                await running.brokers[name].terminate()
                assert not running.brokers[name].complaints
                before = len(oracle.stored)
                await until(lambda n=before: len(oracle.stored) > n + 200, PATIENCE_SECONDS)  # type: ignore[misc]
                await running.brokers[name].start()
            load.hurry()
            await load.stop_sending()
            await until(lambda: not oracle.lost() | oracle.never_again(), PATIENCE_SECONDS)
            await until(lambda: load.order.seen() >= oracle.stored, PATIENCE_SECONDS)
            load.check()
        finally:
            await load.close()
        assert (oracle.invented(), oracle.mangled) == (set(), [])
        assert (load.order.wrong, load.order.twice) == ([], set())


async def test_nothing_befalls_a_broker_that_is_being_added(tmp_path: Path) -> None:
    running = Fleet(PLAN, SETTINGS, tmp_path)
    strikes = Strikes(running, random.Random(1), 1.0, lambda _: None)
    adding = asyncio.create_task(running.add_broker())
    try:
        while not adding.done():
            await strikes.strike("kill-broker")
            assert strikes.history == []
            await asyncio.sleep(0.01)
        assert list(running.listed) == [await adding]
    finally:
        await running.end()
