"""Brokers that go and come back, and brokers that answer badly."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.client import payload
from tests.support.faulty import FaultyBroker, http_answer, opened
from tests.support.proxy import Cluster, cluster, running_proxy, until

OURS = {"error": {"code": "OVERLOADED", "message": "full", "details": None}}


async def drain(running: Cluster, count: int) -> list[bytes]:
    """Consume and ack ``count`` messages."""
    found = []
    async with running.client.consume("t") as events:
        for _ in range(count):
            row = await events.message()
            found.append(payload(row))
            answer = await running.client.settle("t", row["receipt"])
            assert (answer.status, answer.json["acked"]) == (200, 1)
    return sorted(found)


async def broker_taking(running: Cluster, partition: int, body: bytes) -> str:
    """Produce, and return the name of the broker that took it."""
    answer = await running.client.produce("t", body, partition=partition)
    assert answer.status == 200
    return str(answer.json["id"]).split(":")[0]


async def test_a_stand_in_takes_over_within_the_request(trio: Cluster) -> None:
    partition = await trio.partition_of("broker-1")
    order = trio.proxy.members.in_order("t", partition, 8)
    await trio.gates["broker-1"].shut()
    assert await broker_taking(trio, partition, b"x") == order[1].name
    assert trio.proxy.failovers == 1


async def test_a_long_body_reaches_the_stand_in_whole(trio: Cluster) -> None:
    async def long() -> Any:
        for _ in range(64):
            yield b"x" * 65536

    partition = await trio.partition_of("broker-1")
    await trio.gates["broker-1"].shut()
    trio.proxy.members.get("broker-1").ready = True
    taken = await trio.client.produce("t", long(), partition=partition)
    assert taken.status == 200
    (body,) = await drain(trio, 1)
    assert len(body) == 64 * 65536


async def test_nothing_is_stranded_by_an_outage(trio: Cluster) -> None:
    partition = await trio.partition_of("broker-1")
    assert await broker_taking(trio, partition, b"before") == "broker-1"
    await trio.gates["broker-1"].shut()
    assert await broker_taking(trio, partition, b"meanwhile") != "broker-1"
    assert await drain(trio, 1) == [b"meanwhile"]
    await trio.gates["broker-1"].open()
    await trio.until_ready_is("broker-1", True)
    assert await broker_taking(trio, partition, b"after") == "broker-1"
    assert await drain(trio, 2) == [b"after", b"before"]


async def test_an_open_stream_gets_the_backlog_of_a_broker_that_is_back(trio: Cluster) -> None:
    partition = await trio.partition_of("broker-1")
    async with trio.client.consume("t") as events:
        await trio.gates["broker-1"].shut()
        await trio.brokers["broker-1"].client.produce("t", b"backlog", partition=partition)
        await trio.until_ready_is("broker-1", False)
        await trio.gates["broker-1"].open()
        assert payload(await events.message()) == b"backlog"


async def test_acks_never_follow_a_failover(trio: Cluster) -> None:
    partition = await trio.partition_of("broker-1")
    await broker_taking(trio, partition, b"before")
    async with trio.client.consume("t") as events:
        receipt = (await events.message())["receipt"]
        await trio.gates["broker-1"].shut()
        stand_in = await broker_taking(trio, partition, b"meanwhile")
        await trio.client.settle("t", receipt)
        rows = await trio.brokers[stand_in].client.groups("t")
    assert sum(row["acked"] for row in rows) == 0


async def test_every_broker_away_is_said_so(trio: Cluster) -> None:
    for gate in trio.gates.values():
        await gate.shut()
    for method, path in [("POST", "/produce?topic=t"), ("GET", "/consume?topic=t")]:
        answer = await trio.client.request(method, path, data=b"x")
        assert (answer.status, answer.code) == (503, "BROKER_UNREACHABLE")
        assert answer.headers["Retry-After"]


async def test_ready_follows_the_brokers(tmp_path: Path) -> None:
    async with cluster(tmp_path, 2) as pair:
        for gate in pair.gates.values():
            await gate.shut()
        await until(lambda: "brokers" in pair.lifecycle.problems)
        assert (await pair.client.request("GET", "/ready")).status == 503
        await pair.gates["broker-1"].open()
        await until(lambda: "brokers" not in pair.lifecycle.problems)
        assert (await pair.client.request("GET", "/ready")).status == 200


async def test_a_request_that_may_have_been_done_is_not_sent_elsewhere() -> None:
    first, second = FaultyBroker("a", b""), FaultyBroker("b", b"")
    async with opened(first, second), running_proxy({"a": first.url, "b": second.url}) as proxy:
        proxy.proxy.topics._counts["t"] = 1
        answer = await proxy.client.produce("t", b"x")
    assert (answer.status, answer.code) == (503, "BROKER_UNREACHABLE")
    assert len(first.requests("produce")) + len(second.requests("produce")) == 1


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (http_answer(500, b"oops"), 500),
        (http_answer(429, OURS, Retry_After="7"), 429),
        (http_answer(302, b"", Location="http://127.0.0.1:1/"), 302),
        (b"no http at all\r\n\r\n", 503),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", 503),
    ],
)
async def test_a_brokers_answer_to_a_produce_is_passed_on_or_is_none(
    raw: bytes, status: int
) -> None:
    broker = FaultyBroker("a", raw)
    async with opened(broker), running_proxy({"a": broker.url}) as proxy:
        proxy.proxy.topics._counts["t"] = 1
        answer = await proxy.client.produce("t", b"x")
    assert answer.status == status
    assert answer.headers.get("Retry-After") == {429: "7", 503: "1"}.get(status)
    assert "Location" not in answer.headers


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (http_answer(429, OURS, Retry_After="7"), "OVERLOADED"),
        (http_answer(500, b"oops"), "BROKER_UNREACHABLE"),
        (http_answer(302, b"", Location="http://127.0.0.1:1/"), "BROKER_UNREACHABLE"),
        (http_answer(200, b'{"messages": [{"id": "'), "BROKER_UNREACHABLE"),
        (http_answer(200, b'"\xff"'), "BROKER_UNREACHABLE"),
        (http_answer(200, b"[" * 100_000), "BROKER_UNREACHABLE"),
        (b"no http at all\r\n\r\n", "BROKER_UNREACHABLE"),
    ],
)
async def test_a_brokers_bad_answer_to_a_question_is_an_error_of_ours(
    raw: bytes, code: str
) -> None:
    broker = FaultyBroker("a", raw)
    async with opened(broker), running_proxy({"a": broker.url}) as proxy:
        answer = await proxy.client.request("GET", "/messages?topic=t&broker=a")
    assert answer.code == code
    assert answer.headers["Retry-After"] == ("7" if code == "OVERLOADED" else "1")


@pytest.mark.parametrize(
    "stats",
    [
        http_answer(200, {"service": "another"}),
        http_answer(200, None),
        http_answer(200, {"broker": 3}),
        http_answer(200, b'{"broker": "\xff"}'),
        http_answer(503, OURS),
        http_answer(302, b"", Location="http://127.0.0.1:1/"),
        b"no http at all\r\n\r\n",
        None,
    ],
)
async def test_who_is_no_broker_is_never_ready_and_the_probes_go_on(stats: bytes | None) -> None:
    stranger, good = FaultyBroker("a", None, stats=stats), FaultyBroker("b", None)
    urls = {"a": stranger.url, "b": good.url}
    async with opened(stranger, good):
        urls = {"a": stranger.url, "b": good.url}
        async with running_proxy(urls, connect_seconds=1.0) as proxy:
            await until(lambda: len(stranger.requests("ready")) > 3)
            assert [member.ready for member in proxy.proxy.members] == [False, True]
            assert (await proxy.client.request("GET", "/ready")).status == 200


async def test_a_probe_follows_no_redirect() -> None:
    secret = FaultyBroker("secret", http_answer(200, {}))
    async with opened(secret):
        elsewhere = http_answer(302, b"", Location=f"{secret.url}/ready")
        broker = FaultyBroker("a", None, ready=elsewhere, stats=elsewhere)
        async with opened(broker), running_proxy({"a": broker.url}):
            await until(lambda: len(broker.requests("ready")) > 2)
    assert secret.heads == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/produce?topic=t&partition=0"),
        ("GET", "/consume?topic=t"),
        ("GET", "/messages?topic=t&broker=a"),
        ("GET", "/topics"),
        ("PUT", "/topics/t"),
        ("POST", "/ack?topic=t"),
        ("GET", "/status"),
        ("POST", "/drain?broker=a"),
    ],
)
async def test_no_request_follows_a_redirect(method: str, path: str) -> None:
    secret = FaultyBroker("secret", http_answer(200, {}))
    async with opened(secret):
        broker = FaultyBroker("a", http_answer(302, b"", Location=f"{secret.url}/stolen"))
        async with opened(broker), running_proxy({"a": broker.url}) as proxy:
            proxy.proxy.topics._counts["t"] = 1
            await proxy.client.request(method, path, data=b'{"id": "a:0:0:1"}')
    assert secret.heads == []


async def test_two_brokers_of_one_name_are_not_both_used() -> None:
    first, second = FaultyBroker("same", None), FaultyBroker("same", None)
    async with opened(first, second), running_proxy({"a": first.url, "b": second.url}) as proxy:
        await until(lambda: len(second.requests("ready")) > 2)
        ready = [member.ready for member in proxy.proxy.members]
        reasons = " ".join(member.reason for member in proxy.proxy.members)
    assert sorted(ready) == [False, True]
    assert "calls itself same" in reasons
