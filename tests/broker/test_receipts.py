"""Many receipts at once: what they settle is what they would settle one by one."""

from collections.abc import AsyncIterator

import pytest

from tests.support.client import BrokerClient

COUNT = 6


@pytest.fixture
async def shown(client: BrokerClient) -> AsyncIterator[list[str]]:
    """Receipts of so many single messages of one delivery, whose stream goes on."""
    await client.produce_lines("t", *(b"%d" % n for n in range(COUNT)), partition=0)
    async with client.consume("t", partition=0) as stream:
        yield [message["receipt"] for message in await stream.messages(COUNT)]


async def test_receipts_of_a_delivery_settle_together(
    client: BrokerClient, shown: list[str]
) -> None:
    first = await client.settle("t", *shown[:3])
    again = await client.settle("t", *shown)
    assert first.json == {"acked": 3, "already": 0, "refused": {}}
    assert again.json == {"acked": 3, "already": 3, "refused": {}}


async def test_a_stale_one_among_them_is_refused_by_its_own_text(
    client: BrokerClient, shown: list[str]
) -> None:
    nack = {"ids": [shown[2]], "mode": "retry", "delay_seconds": 60}
    await client.request("POST", "/nack", params={"topic": "t"}, json=nack)
    head, _, delivery = shown[5].rpartition(":")
    foreign = f"{head.replace(':5', ':05')}:{delivery[::-1]}0"
    answer = await client.settle("t", *shown[:5], foreign)
    refused = {shown[2]: "STALE", foreign: "STALE"}
    assert answer.json == {"acked": 4, "already": 0, "refused": refused}
    assert (await client.books("t"))["in_flight"] == 1


async def test_order_does_not_matter(client: BrokerClient, shown: list[str]) -> None:
    answer = await client.settle("t", *reversed(shown), shown[0])
    assert answer.json == {"acked": COUNT, "already": 1, "refused": {}}
