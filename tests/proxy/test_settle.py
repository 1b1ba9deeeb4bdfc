"""Acks through the proxy: each to the broker that gave the receipt."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.faulty import FaultyBroker, opened
from tests.support.proxy import SOON_SECONDS, Cluster, cluster, running_proxy

STRANGER = "broker-9:0:0:ff"


@contextlib.asynccontextmanager
async def delivered(trio: Cluster) -> AsyncIterator[dict[str, list[str]]]:
    """One message of every partition is out, on a stream that stays; the receipts by broker."""
    for partition in range(8):
        await trio.client.produce("t", b"x", partition=partition)
    async with trio.client.consume("t") as events:
        receipts: dict[str, list[str]] = {}
        for row in await events.messages(8):
            receipts.setdefault(row["receipt"].split(":")[0], []).append(row["receipt"])
        yield receipts


def all_of(receipts: dict[str, list[str]]) -> list[str]:
    return [receipt for given in receipts.values() for receipt in given]


def acked(trio: Cluster) -> dict[str, int]:
    """Messages acked by broker, in the brokers' own books."""
    return {
        name: sum(
            group.counts(part.end)["acked"]
            for part in broker.broker.topics.partitions()
            for group in part.groups
        )
        for name, broker in trio.brokers.items()
    }


async def test_mixed_receipts_reach_their_brokers(trio: Cluster) -> None:
    async with delivered(trio) as receipts:
        answer = await trio.client.settle("t", *all_of(receipts))
        assert (answer.status, answer.json["acked"], answer.json["refused"]) == (200, 8, {})
        assert acked(trio) == {name: len(given) for name, given in receipts.items()}


async def test_an_ack_given_twice_is_said_to_be_done_already(trio: Cluster) -> None:
    async with delivered(trio) as receipts:
        await trio.client.settle("t", *receipts["broker-1"])
        again = (await trio.client.settle("t", *receipts["broker-1"])).json
        assert (again["acked"], again["already"]) == (0, len(receipts["broker-1"]))


async def test_an_unknown_broker_is_named_beside_what_was_acked(trio: Cluster) -> None:
    async with delivered(trio) as receipts:
        answer = await trio.client.settle("t", STRANGER, *receipts["broker-0"])
        assert answer.json["acked"] == len(receipts["broker-0"])
        assert answer.json["refused"] == {STRANGER: "UNKNOWN_BROKER"}


async def test_an_unknown_broker_alone_is_a_conflict(trio: Cluster) -> None:
    answer = await trio.client.settle("t", STRANGER)
    assert (answer.status, answer.code) == (409, "RECEIPT_STALE")


async def test_a_stale_receipt_is_a_conflict_and_changes_nothing(trio: Cluster) -> None:
    async with delivered(trio):
        before = acked(trio)
        answer = await trio.client.settle("t", "broker-0:0:0:ff", "broker-1:1:0:ff")
        assert (answer.status, answer.code) == (409, "RECEIPT_STALE")
        assert set(answer.json["error"]["details"].values()) == {"STALE"}
        assert acked(trio) == before


@pytest.mark.parametrize("receipt", ["nonsense", "a:0:0", "a:0:5-1:ff", "http://h:0:0:ff", ""])
async def test_a_malformed_receipt_is_refused_before_anything_is_acked(
    trio: Cluster, receipt: str
) -> None:
    async with delivered(trio) as receipts:
        answer = await trio.client.settle("t", *receipts["broker-0"], receipt)
        assert (answer.status, answer.code) == (400, "RECEIPT_INVALID")
        assert sum(acked(trio).values()) == 0


@pytest.mark.parametrize("body", [b"", b"{", b'{"ids": 3}', b'{"ids": []}', b"[" * 100_000])
async def test_a_body_that_is_no_ack_is_refused(trio: Cluster, body: bytes) -> None:
    answer = await trio.client.request("POST", "/ack?topic=t&group=default", data=body)
    assert (answer.status, answer.code) == (400, "INVALID_REQUEST")


async def test_receipts_of_a_broker_that_is_away_may_be_shown_again(trio: Cluster) -> None:
    async with delivered(trio) as receipts:
        await trio.gates["broker-0"].shut()
        answer = await trio.client.settle("t", *all_of(receipts))
        assert answer.json["acked"] == 8 - len(receipts["broker-0"])
        assert answer.json["refused"] == dict.fromkeys(receipts["broker-0"], "BROKER_UNREACHABLE")
        alone = await trio.client.settle("t", *receipts["broker-0"])
        assert (alone.status, alone.code) == (503, "BROKER_UNREACHABLE")
        assert alone.headers["Retry-After"]


async def test_a_broker_that_is_silent_does_not_hold_up_acks_for_others(tmp_path: Path) -> None:
    silent = FaultyBroker("silent", None, ready=None, stats=None)
    async with cluster(tmp_path, 1) as one, opened(silent):
        urls = {"broker-0": one.gates["broker-0"].url, "silent": silent.url}
        async with running_proxy(urls, connect_seconds=0.05, request_seconds=60) as proxy:
            async with asyncio.timeout(SOON_SECONDS):
                answer = await proxy.client.settle("t", "silent:0:0:ff")
    assert (answer.status, answer.code) == (503, "BROKER_UNREACHABLE")
