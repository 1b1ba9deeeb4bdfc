"""Nack, extend and their refusals over the wire."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.broker import running_broker
from tests.support.client import Answer, BrokerClient
from tests.support.clock import ManualClock


async def settle(client: BrokerClient, verb: str, *receipts: str, **body: Any) -> Answer:
    """``POST /nack`` or ``/extend`` for the topic t and the group default."""
    return await client.request(
        "POST", f"/{verb}", params={"topic": "t"}, json={"ids": receipts} | body
    )


async def test_a_release_comes_back_at_once_and_does_not_count(tmp_path: Path) -> None:
    async with running_broker(tmp_path, ManualClock(), max_deliveries=1) as broker:
        await broker.client.produce("t", b"x", partition=0)
        async with broker.client.consume("t") as events:
            for _ in range(5):
                message = await events.message()
                assert message["attempt"] == 1
                answer = await settle(broker.client, "nack", message["receipt"], mode="release")
                assert (answer.status, answer.json["nacked"]) == (200, 1)
            assert (await events.message())["attempt"] == 1


@pytest.mark.parametrize(
    ("body", "wait"), [({"delay_seconds": 60}, 60), ({"mode": "retry"}, 1), ({}, 1)]
)
async def test_a_retry_comes_back_after_its_wait_and_counts(
    tmp_path: Path, body: dict[str, Any], wait: float
) -> None:
    clock = ManualClock()
    async with running_broker(tmp_path, clock, retry_first_seconds=1.0) as broker:
        client = broker.client
        await client.produce_lines("t", b"x", b"y", partition=0)
        async with client.consume("t", max_in_flight=1) as events:
            first = await events.message()
            await settle(client, "nack", first["receipt"], **body)
            clock.advance(wait / 2.1)
            other = await events.message()
            assert other["payload"] == "y"
            clock.advance(wait)
            await client.settle("t", other["receipt"])
            again = await events.message()
    assert (again["payload"], again["attempt"]) == ("x", 2)


async def test_a_late_nack_or_extension_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    clock = ManualClock()
    async with running_broker(tmp_path, clock) as broker:
        client = broker.client
        await client.produce("t", b"x", partition=0)
        async with client.consume("t") as events:
            late = (await events.message())["receipt"]
            clock.advance(30)
            held = (await events.message())["receipt"]
            before = await client.books("t")
            for verb, body in (("nack", {"mode": "reject"}), ("nack", {}), ("extend", {})):
                answer = await settle(client, verb, late, **body)
                assert (answer.status, answer.code) == (409, "RECEIPT_STALE")
            assert await client.books("t") == before
            assert (await client.settle("t", held)).json["acked"] == 1
            for verb in ("nack", "extend"):
                assert (await settle(client, verb, held)).status == 409


async def test_an_extension_keeps_a_message_up_to_the_longest_lease(tmp_path: Path) -> None:
    clock = ManualClock()
    async with running_broker(tmp_path, clock, max_lease_seconds=100) as broker:
        client = broker.client
        await client.produce("t", b"x", partition=0)
        async with client.consume("t") as events:
            receipt = (await events.message())["receipt"]
            for _ in range(4):
                clock.advance(20)
                answer = await settle(client, "extend", receipt, seconds=25)
                assert answer.json == {"extended": 1, "already": 0, "refused": {}}
            clock.advance(19)
            assert (await settle(client, "extend", receipt, seconds=100)).status == 200
            clock.advance(2)
            assert (await events.message())["attempt"] == 2
            assert (await settle(client, "extend", receipt)).status == 409


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("nack", {"mode": "drop"}),
        ("nack", {"delay_seconds": -1}),
        ("nack", {"delay_seconds": 1e9}),
        ("nack", {"reason": "x" * 1025}),
        ("nack", {"seconds": 1}),
        ("extend", {"seconds": 0}),
        ("extend", {"seconds": -1}),
        ("extend", {"seconds": 1e9}),
        ("extend", {"seconds": "1"}),
    ],
)
async def test_a_wish_that_makes_no_sense_is_refused(
    client: BrokerClient, verb: str, body: dict[str, Any]
) -> None:
    await client.produce("t", b"x", partition=0)
    async with client.consume("t") as events:
        receipt = (await events.message())["receipt"]
        answer = await settle(client, verb, receipt, **body)
        assert (answer.status, answer.code) == (400, "INVALID_REQUEST")
        assert (await client.books("t"))["in_flight"] == 1


async def test_a_range_beyond_the_delivery_counts_what_is_held(client: BrokerClient) -> None:
    await client.produce_lines("t", b"x", b"y", partition=0)
    async with client.consume("t", batch=2) as events:
        receipt = (await events.batch())[0]["receipt"]
        forged = receipt.replace(":0-1:", ":0-999999999999999999:")
        extended = await settle(client, "extend", *[forged] * 30)
        nacked = await settle(client, "nack", *[forged] * 30)
    assert (extended.status, extended.json["extended"]) == (200, 60)
    assert (nacked.status, nacked.json["nacked"]) == (200, 2)
