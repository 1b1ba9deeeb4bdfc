"""One stream from all brokers: whole events, bounded, ended politely."""

import asyncio
from pathlib import Path

import pytest

from proxy.events import split_goodbye
from tests.support.client import Events, payload
from tests.support.faulty import FaultyBroker, http_answer, opened
from tests.support.proxy import Cluster, cluster, running_proxy, until


async def fill(running: Cluster, each: int = 1, size: int = 10) -> list[bytes]:
    """Put ``each`` messages into every partition; return all of them."""
    sent = []
    for partition in range(8):
        payloads = [f"{partition}-{n}-".ljust(size, "x").encode() for n in range(each)]
        assert (
            await running.client.produce_lines("t", *payloads, partition=partition)
        ).status == 200
        sent += payloads
    return sorted(sent)


async def payloads(events: Events, count: int) -> list[bytes]:
    return sorted([payload(row) for row in await events.messages(count)])


async def batches(events: Events, count: int) -> list[bytes]:
    found: list[bytes] = []
    while len(found) < count:
        head, lines = await events.batch()
        assert head["count"] == len(lines)
        found += lines
    return sorted(found)


def unacked(running: Cluster) -> int:
    """Messages that the brokers' books say are out."""
    return sum(row["in_flight"] for row in books(running))


def books(running: Cluster) -> list[dict[str, int]]:
    return [
        group.counts(part.end)
        for broker in running.brokers.values()
        for part in broker.broker.topics.partitions()
        for group in part.groups
    ]


async def test_messages_of_every_broker_come(trio: Cluster) -> None:
    sent = await fill(trio)
    async with trio.client.consume("t") as events:
        assert events.headers["Content-Type"].startswith("text/event-stream")
        assert await payloads(events, 8) == sent


async def test_batches_of_every_broker_come(trio: Cluster) -> None:
    sent = await fill(trio, each=5)
    async with trio.client.consume("t", batch=3) as events:
        assert await batches(events, 40) == sent


async def test_what_is_produced_later_comes_at_once(trio: Cluster) -> None:
    async with trio.client.consume("t") as events:
        for partition in range(8):
            await trio.client.produce("t", b"now", partition=partition)
            assert (await events.message())["partition"] == partition


@pytest.mark.parametrize("piece_bytes", [1, 7])
async def test_events_are_never_cut_however_they_arrive(tmp_path: Path, piece_bytes: int) -> None:
    async with cluster(tmp_path, 2, piece_bytes=piece_bytes) as pair:
        sent = await fill(pair, each=3, size=100)
        async with pair.client.consume("t") as events:
            assert await payloads(events, 24) == sent
        async with pair.client.consume("t", group="other", batch=2) as events:
            assert await batches(events, 24) == sent


async def test_every_chunk_ends_with_an_event(tmp_path: Path) -> None:
    async with cluster(tmp_path, 2, piece_bytes=1) as pair:
        await fill(pair, each=2, size=100)
        async with pair.client.consume("t") as events:
            text = b""
            while text.count(b"event: message") < 16 or not text.endswith(b"\n\n"):
                text += await events.chunk()
    assert all(event.startswith((b"event: message", b": ")) for event in text.split(b"\n\n")[:-1])


async def test_a_brokers_goodbye_is_its_own(trio: Cluster) -> None:
    async with trio.client.consume("t") as events:
        trio.brokers["broker-1"].lifecycle.stop()
        await trio.until_ready_is("broker-1", False)
        partition = await trio.partition_of("broker-2")
        await trio.client.produce("t", b"still here", partition=partition)
        assert payload(await events.message()) == b"still here"


async def test_the_proxys_goodbye_is_the_last_event(trio: Cluster) -> None:
    async with trio.client.consume("t") as events:
        trio.lifecycle.stop()
        assert (await events.next()).type == "goodbye"
        with pytest.raises(EOFError):
            await events.next()


async def test_an_idle_stream_beats(tmp_path: Path) -> None:
    async with (
        cluster(tmp_path, 1, heartbeat_seconds=0.05) as one,
        one.client.consume("t") as events,
    ):
        assert await events.chunk() == b": still here\n\n"
        assert await events.chunk() == b": still here\n\n"


@pytest.mark.parametrize(("total", "share"), [(3, 1), (10, 3), (24, 7)])
async def test_in_flight_is_bounded_over_all_brokers(trio: Cluster, total: int, share: int) -> None:
    await fill(trio, each=30)
    async with trio.client.consume("t", max_in_flight=total) as events:
        first = await events.messages(3 * share)
        assert unacked(trio) == 3 * share <= total
        await trio.client.settle("t", *(row["receipt"] for row in first))
        await events.messages(3 * share)
        assert unacked(trio) == 3 * share


async def test_too_little_for_all_brokers_is_refused_with_the_reason(trio: Cluster) -> None:
    answer = await trio.client.request("GET", "/consume?topic=t&max_in_flight=2")
    assert (answer.status, answer.code) == (400, "INVALID_REQUEST")
    assert "3 or more" in answer.json["error"]["message"]


@pytest.mark.parametrize("query", ["topic=t&batch=0", "topic=t&from=never", "topic=t&group=a/b"])
async def test_what_a_broker_refuses_is_refused(trio: Cluster, query: str) -> None:
    answer = await trio.client.request("GET", f"/consume?{query}")
    assert (answer.status, answer.code) == (400, "INVALID_REQUEST")
    await until(lambda: not any(broker.broker.streams for broker in trio.brokers.values()))


async def test_a_head_request_leases_nothing(trio: Cluster) -> None:
    await fill(trio)
    answer = await trio.client.request("HEAD", "/consume?topic=t")
    assert answer.status == 405
    assert unacked(trio) == 0


async def test_a_client_that_leaves_gives_everything_back(trio: Cluster) -> None:
    sent = await fill(trio, each=3)
    tasks = len(asyncio.all_tasks())
    for _ in range(3):
        async with trio.client.consume("t") as events:
            assert await payloads(events, 24) == sent
        await until(lambda: unacked(trio) == 0)
        await until(lambda: not any(broker.broker.streams for broker in trio.brokers.values()))
        await until(lambda: len(asyncio.all_tasks()) <= tasks)


async def test_a_silent_broker_does_not_hold_up_the_others(tmp_path: Path) -> None:
    silent = FaultyBroker("silent", None)
    async with cluster(tmp_path, 1) as one, opened(silent):
        await fill(one)
        urls = {"broker-0": one.gates["broker-0"].url, "silent": silent.url}
        async with (
            running_proxy(urls, connect_seconds=2.0) as proxy,
            proxy.client.consume("t") as events,
        ):
            await events.messages(8)


@pytest.mark.parametrize(
    "answer",
    [
        b"no http at all\r\n\r\n",
        http_answer(200, b"<html>\n\n<body>\n\n", Content_Type="text/html"),
        http_answer(302, b"", Location="http://127.0.0.1:1/"),
        http_answer(500, b'{"error": {"code": "\xff'),
        http_answer(500, b"[" * 100_000),
        http_answer(503, {"error": {"code": "UNAVAILABLE", "message": "", "details": None}}),
        b"HTTP/1.1 500 Endless\r\nContent-Length: 1000\r\n\r\n",
    ],
)
async def test_a_broker_that_talks_nonsense_does_not_hold_up_the_others(
    tmp_path: Path, answer: bytes
) -> None:
    mad = FaultyBroker("mad", answer)
    async with cluster(tmp_path, 1) as one, opened(mad):
        sent = await fill(one)
        urls = {"broker-0": one.gates["broker-0"].url, "mad": mad.url}
        async with (
            running_proxy(urls, connect_seconds=2.0) as proxy,
            proxy.client.consume("t") as events,
        ):
            assert await payloads(events, 8) == sent
            await until(lambda: len(mad.requests("consume")) > 2)


async def test_an_event_over_the_limit_is_dropped_with_its_stream(tmp_path: Path) -> None:
    async with cluster(tmp_path, 2, max_event_bytes=10_000, piece_bytes=1000) as pair:
        mine, other = [await pair.partition_of(name) for name in pair.brokers]
        await pair.client.produce("t", b"x" * 500_000, partition=mine)
        await pair.client.produce("t", b"small", partition=other)
        async with pair.client.consume("t") as events:
            assert payload(await events.message()) == b"small"


async def test_a_reader_that_stops_reading_is_cut(tmp_path: Path) -> None:
    async with cluster(tmp_path, 1, send_timeout_seconds=0.1) as one:
        for partition in range(8):
            await one.client.produce("t", b"x" * 1_000_000, partition=partition)
        async with one.client.consume("t"):
            await until(lambda: unacked(one) > 0)
            await until(lambda: unacked(one) == 0)


async def test_a_defect_in_passing_events_on_leaves_no_broker_unread(
    trio: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = iter([RuntimeError("a defect")])

    def split(events: bytes) -> tuple[bytes, bytes]:
        for failure in failures:
            raise failure
        return split_goodbye(events)

    monkeypatch.setattr("proxy.fanin.split_goodbye", split)
    sent = await fill(trio)
    async with trio.client.consume("t") as events:
        assert await payloads(events, 8) == sent
