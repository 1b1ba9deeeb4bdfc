"""Streams that last, and many at once."""

import asyncio
import contextlib
from pathlib import Path

from pydantic import SecretStr

from common.errors import BrokerUnreachable
from common.queue.http import HttpConsumer
from tests.support.client import TOKEN, payload
from tests.support.proxy import Cluster, cluster, until
from tests.support.skipping import run_skipping, skip

HOUR_SECONDS = 3600.0
STEP_SECONDS = 5.0
CONSUMERS = 200
PATIENCE_SECONDS = 60.0


def test_a_stream_that_is_idle_for_an_hour_lives(tmp_path: Path) -> None:
    async def idle() -> None:
        async with (
            cluster(tmp_path, 2, probe_timeout_seconds=60.0) as duo,
            duo.client.consume("t") as events,
        ):
            await duo.client.produce("t", b"first", partition=0)
            assert payload(await events.message()) == b"first"
            connections = [gate.connections for gate in duo.gates.values()]
            streams = {name: set(it.broker.streams) for name, it in duo.brokers.items()}
            await skip(HOUR_SECONDS, STEP_SECONDS)
            assert {name: set(it.broker.streams) for name, it in duo.brokers.items()} == streams
            assert connections
            for partition in range(8):
                await duo.client.produce("t", b"%d" % partition, partition=partition)
            later = [payload(row) for row in await events.messages(8)]
            assert sorted(later) == [b"%d" % partition for partition in range(8)]

    run_skipping(idle())


async def fill(running: Cluster, word: str) -> set[bytes]:
    """Put 25 messages into each partition."""
    sent = [[f"{word}-{p}-{n}".encode() for n in range(25)] for p in range(8)]
    for partition, payloads in enumerate(sent):
        answer = await running.client.produce_lines("t", *payloads, partition=partition)
        assert answer.status == 200
    return {one for payloads in sent for one in payloads}


class Crowd:
    """Many consumers of one group, each with connections of its own."""

    def __init__(self, running: Cluster) -> None:
        self.found: set[bytes] = set()
        self._running = running
        self._consumers = [
            HttpConsumer(running.url, SecretStr(TOKEN), "t", "g", 8, 1) for _ in range(CONSUMERS)
        ]
        self._tasks = [asyncio.create_task(self._consume(it)) for it in self._consumers]

    async def until_streams(self, count: int) -> None:
        """Return when the brokers have so many streams."""
        brokers = self._running.brokers.values()
        await until(
            lambda: sum(len(it.broker.streams) for it in brokers) == count, PATIENCE_SECONDS
        )

    async def until_found(self, expected: set[bytes]) -> None:
        """Return when every one of these messages came to somebody."""
        await until(lambda: expected <= self.found, PATIENCE_SECONDS)

    async def close(self) -> None:
        """Send them all home."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for consumer in self._consumers:
            await consumer.close()

    async def _consume(self, consumer: HttpConsumer) -> None:
        async for delivery in consumer.deliveries():
            self.found.update(delivery.payloads)
            with contextlib.suppress(BrokerUnreachable):  # cut off: it comes again
                await consumer.ack([delivery.receipt])


async def test_two_hundred_consumers_share_a_group_and_all_come_back_after_a_cut(
    tmp_path: Path,
) -> None:
    async with cluster(tmp_path, 2) as duo:
        crowd = Crowd(duo)
        try:
            await crowd.until_streams(2 * CONSUMERS)
            await crowd.until_found(await fill(duo, "before"))
            for gate in duo.gates.values():
                await gate.shut()
            await crowd.until_streams(0)
            for gate in duo.gates.values():
                await gate.open()
            await crowd.until_streams(2 * CONSUMERS)
            await crowd.until_found(await fill(duo, "after"))
            assert len(crowd.found) == 400
        finally:
            await crowd.close()
