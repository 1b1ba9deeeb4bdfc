"""Load for brokers that are about to suffer, and the oracle of what came of it."""

import asyncio
import contextlib
import itertools
import random
from typing import Any, NamedTuple

import aiohttp

from tests.support.client import BrokerClient

TOPIC = "t"
PARTITIONS = 4
PRODUCERS = 3
MOST_MESSAGES = 20
MOST_BYTES = 300
ACKED_SHARE = 0.9
GONE = (aiohttp.ClientError, ConnectionError, EOFError)

Place = tuple[int, int]  # partition, offset


class Taken(NamedTuple):
    """A message whose produce was answered 200, and the durability the answer named."""

    payload: bytes
    durability: str


class History:
    """Every message sent, every one answered for, every one that came; a total-queue oracle.

    What was sent and not answered may be there or not.
    """

    def __init__(self) -> None:
        self.sent: set[bytes] = set()
        self.taken: dict[Place, Taken] = {}
        self.came: dict[str, dict[Place, bytes]] = {}
        self._numbers = itertools.count()

    def payloads(self, chance: random.Random) -> list[bytes]:
        """New messages, each unlike all before."""
        count = chance.randint(1, MOST_MESSAGES)
        fill = b"x" * chance.randint(0, MOST_BYTES)
        made = [b"%d %s" % (next(self._numbers), fill) for _ in range(count)]
        self.sent.update(made)
        return made

    def answered(self, answer: dict[str, Any], payloads: list[bytes]) -> None:
        """A produce was answered 200."""
        assert answer["count"] == len(payloads)
        for offset, payload in enumerate(payloads, answer["offset"]):
            place = (answer["partition"], offset)
            self.taken[place] = Taken(payload, answer["durability"])

    def delivered(self, group: str, head: dict[str, Any], payloads: list[bytes]) -> None:
        """A batch came: nothing invented, and at one place always the same."""
        came = self.came.setdefault(group, {})
        for offset, payload in enumerate(payloads, head["offset"]):
            assert payload in self.sent, f"invented: {payload!r}"
            assert came.setdefault((head["partition"], offset), payload) == payload

    def lost(self, group: str, *durabilities: str) -> list[Place]:
        """Messages that were answered with one of these durabilities and never came as sent."""
        came = self.came.get(group, {})
        return [
            place
            for place, taken in self.taken.items()
            if taken.durability in durabilities and came.get(place) != taken.payload
        ]


class Order:
    """First deliveries of one stream: by partition, in order of offsets."""

    def __init__(self) -> None:
        self._next: dict[int, int] = {}

    def check(self, head: dict[str, Any]) -> None:
        """Take note of a batch; one that was delivered before may come anywhere."""
        if head["attempt"] > 1:
            return
        assert head["offset"] >= self._next.get(head["partition"], 0), "out of order"
        self._next[head["partition"]] = head["offset"] + head["count"]


async def produce(
    url: str, history: History, chance: random.Random, durabilities: tuple[str, ...]
) -> None:
    """Send batches one after another until the broker is gone."""
    async with BrokerClient(url) as client:
        with contextlib.suppress(*GONE):
            while True:
                await produce_batch(client, history, chance, durabilities)


async def produce_batch(
    client: BrokerClient,
    history: History,
    chance: random.Random,
    durabilities: tuple[str, ...] = ("fsync",),
) -> int:
    """Send one batch to some partition; return the status."""
    payloads = history.payloads(chance)
    given = {"partition": chance.randrange(PARTITIONS), "durability": chance.choice(durabilities)}
    answer = await client.produce_lines(TOPIC, *payloads, **given)
    if answer.status == 200:
        history.answered(answer.json, payloads)
    return answer.status


async def consume(url: str, history: History, chance: random.Random, group: str) -> None:
    """Receive and ack most of it until the broker is gone."""
    order = Order()
    async with BrokerClient(url) as client:
        with contextlib.suppress(*GONE):
            async with client.consume(TOPIC, group=group, batch=100) as events:
                while True:
                    head, payloads = await events.batch()
                    history.delivered(group, head, payloads)
                    order.check(head)
                    if chance.random() < ACKED_SHARE:
                        await client.settle(TOPIC, head["receipt"], group=group)


async def drain(url: str, history: History, group: str) -> None:
    """Receive and ack until a group has everything."""
    order = Order()
    async with (
        BrokerClient(url) as client,
        client.consume(TOPIC, group=group, batch=1000) as events,
    ):
        while any(row["lag"] for row in await client.groups(TOPIC, group)):
            head, payloads = await events.batch()
            history.delivered(group, head, payloads)
            order.check(head)
            await client.settle(TOPIC, head["receipt"], group=group)


def spawn(
    url: str, history: History, chance: random.Random, group: str, *durabilities: str
) -> list[asyncio.Task[None]]:
    """Several producers and a consumer, each with its own connections."""
    work = [produce(url, history, chance, durabilities) for _ in range(PRODUCERS)]
    return [asyncio.create_task(w) for w in [*work, consume(url, history, chance, group)]]
