"""Produce through the proxy: where it lands, and that it lands as it was sent."""

import gzip
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from common.wire import partition_for
from tests.support.client import payload
from tests.support.faulty import FaultyBroker, opened
from tests.support.proxy import Cluster, cluster, running_proxy

KEYS = [
    "k",
    "a b",
    "a+b",
    "50%",
    "%41",
    "x/y?z=1&w=2#f",
    "é\N{GRINNING FACE}",
    "a;b",
    "\r\nHost: x",
    "@169.254.169.254/",
    "//169.254.169.254/latest",
    "http://169.254.169.254/",
]


async def stored(trio: Cluster, partition: int) -> list[dict[str, Any]]:
    """The messages of a partition, read from its owner through the proxy."""
    query = {"topic": "t", "partition": str(partition), "limit": "1000"}
    answer = await trio.client.request("GET", "/messages", params=query)
    rows: list[dict[str, Any]] = answer.json["messages"]
    return rows


async def broker_of(trio: Cluster, partition: int) -> str:
    owner: str = (await trio.status())["owners"]["t"][partition]
    return owner


async def in_pieces(piece: bytes, times: int) -> AsyncIterator[bytes]:
    for _ in range(times):
        yield piece


async def test_a_partition_is_taken_by_the_owner_that_status_names(trio: Cluster) -> None:
    for partition in range(8):
        answer = (await trio.client.produce("t", b"x", partition=partition)).json
        assert answer["id"].split(":") == [await broker_of(trio, partition), str(partition), "0"]


async def test_a_key_always_lands_in_its_partition(trio: Cluster) -> None:
    for _ in range(3):
        answer = (await trio.client.produce("t", b"x", key="gpu-7")).json
        assert answer["partition"] == partition_for("gpu-7", 8)
        assert answer["id"].startswith(await broker_of(trio, answer["partition"]))


async def test_without_either_partitions_take_turns(trio: Cluster) -> None:
    taken = [(await trio.client.produce("t", b"x")).json["partition"] for _ in range(16)]
    assert sorted(taken[:8]) == list(range(8))
    assert taken[:8] == taken[8:]


@pytest.mark.parametrize("key", KEYS)
async def test_any_key_arrives_as_it_was_given(trio: Cluster, key: str) -> None:
    answer = (await trio.client.produce("t", b"x", key=key)).json
    assert answer["partition"] == partition_for(key, 8)
    assert [row["key"] for row in await stored(trio, answer["partition"])] == [key]


@pytest.mark.parametrize("body", [b"raw", b"\x00\xff\r\n", b" \n", "é\u2028".encode()])
async def test_raw_bytes_pass_as_they_are(trio: Cluster, body: bytes) -> None:
    assert (await trio.client.produce("t", body, partition=1)).status == 200
    assert [payload(row) for row in await stored(trio, 1)] == [body]


async def test_lines_pass_as_messages(trio: Cluster) -> None:
    answer = await trio.client.produce_lines("t", b"1", b"2", b"3", partition=1)
    assert answer.json["count"] == 3
    assert [payload(row) for row in await stored(trio, 1)] == [b"1", b"2", b"3"]


async def test_gzip_is_undone_by_the_broker_alone(trio: Cluster) -> None:
    headers = {"Content-Encoding": "gzip"}
    await trio.client.produce("t", gzip.compress(b"small"), partition=1, headers=headers)
    assert [payload(row) for row in await stored(trio, 1)] == [b"small"]


@pytest.mark.parametrize("text", ["plain", "é\N{GRINNING FACE}"])
async def test_message_headers_arrive_as_at_the_broker_itself(trio: Cluster, text: str) -> None:
    owner = trio.brokers[await broker_of(trio, 1)]
    for client in (trio.client, owner.client):
        await client.produce("t", b"x", partition=1, headers={"X-Message-Trace": text})
    through, straight = await stored(trio, 1)
    assert through["headers"] == straight["headers"]


async def test_a_body_of_many_chunks_is_streamed(trio: Cluster) -> None:
    answer = await trio.client.produce("t", in_pieces(b"x" * 65536, 64), partition=1)  # type: ignore[arg-type]
    assert answer.json["count"] == 1
    assert [len(payload(row)) for row in await stored(trio, 1)] == [64 * 65536]


@pytest.mark.parametrize("number", ["8", "-1", "x", "", "²", "9" * 5000])
async def test_a_partition_that_is_not_there_is_refused(trio: Cluster, number: str) -> None:
    answer = await trio.client.produce("t", b"x", partition=number)
    assert (answer.status, answer.code) == (400, "INVALID_REQUEST")


async def test_over_the_cap_nothing_is_stored_and_no_broker_is_blamed(tmp_path: Path) -> None:
    async with cluster(tmp_path, 1, max_body_bytes=1 << 20, probe_seconds=60) as one:
        for _ in range(5):
            whole = await one.client.produce("t", BytesIO(b"x" * (1 << 21)), partition=1)  # type: ignore[arg-type]
            pieces = await one.client.produce("t", in_pieces(b"x" * 65536, 32), partition=1)  # type: ignore[arg-type]
            assert [whole.code, pieces.code] == ["TOO_LARGE", "TOO_LARGE"]
        assert (await one.status())["brokers"][0]["breaker"] == "closed"
        assert await stored(one, 1) == []


async def test_a_client_that_leaves_midway_is_no_fault_of_the_broker(tmp_path: Path) -> None:
    async def leave() -> AsyncIterator[bytes]:
        yield b"x" * 100_000
        raise ConnectionResetError

    async with cluster(tmp_path, 1, probe_seconds=60) as one:
        for _ in range(5):
            with pytest.raises((ConnectionError, aiohttp.ClientError)):
                await one.client.produce("t", leave(), partition=1)  # type: ignore[arg-type]
        assert (await one.client.produce("t", b"x", partition=1)).status == 200
        assert (await one.status())["brokers"][0]["breaker"] == "closed"


async def test_what_the_client_says_of_itself_stays_at_the_proxy() -> None:
    broker = FaultyBroker("a", b"HTTP/1.1 503 Away\r\nContent-Length: 0\r\n\r\n")
    secrets = {"Host": "evil.example", "X-Forwarded-For": "10.1.2.3", "Cookie": "sweet=1"}
    async with opened(broker), running_proxy({"a": broker.url}) as proxy:
        proxy.proxy.topics._counts["t"] = 4
        await proxy.client.produce("t", b"x", headers=secrets | {"X-Request-ID": "mine"})
        (head,) = broker.requests("produce")
    assert f"Host: {broker.url[7:]}".encode() in head
    assert b"X-Request-ID: mine" in head
    assert not any(word in head for word in (b"evil", b"10.1.2.3", b"Cookie"))
    assert head.count(b"Authorization: ") == 1


async def test_two_proxies_place_equally(trio: Cluster) -> None:
    urls = {name: gate.url for name, gate in trio.gates.items()}
    async with running_proxy(dict(reversed(urls.items()))) as other:
        for number in range(20):
            key = f"gpu-{number}"
            here = (await trio.client.produce("t", b"x", key=key)).json["id"].split(":")[:2]
            there = (await other.client.produce("t", b"x", key=key)).json["id"].split(":")[:2]
            assert here == there
        owners = (await other.client.request("GET", "/status")).json["owners"]
    assert owners == (await trio.status())["owners"]
