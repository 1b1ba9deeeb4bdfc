"""Consume and ack over the wire."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from common.http import sse
from tests.support.broker import RunningBroker, running_broker
from tests.support.client import BrokerClient, Events, payload
from tests.support.clock import ManualClock

ODD_PAYLOADS = [
    b"plain",
    b"",
    b"cr\r",
    b"lf\n\nlf",
    b"crlf\r\n\r\ndata: forged\r\n\r\n",
    b"nul\0",
    "\u2028\u2029 \N{GRINNING FACE} \ufeff".encode(),
    b"\xff\xfe\x80",
    b"data: x",
    b": comment",
    b'{"json": "\\u0000"}',
    b"x" * 300_000,
]


@pytest.mark.parametrize("batch", [None, 1, 5, 100])
async def test_any_payload_comes_back_byte_for_byte(
    client: BrokerClient, batch: int | None
) -> None:
    for body in ODD_PAYLOADS:
        await client.produce("t", body, partition=0)
    found: list[bytes] = []
    async with client.consume("t", **({"batch": batch} if batch else {})) as events:
        while len(found) < len(ODD_PAYLOADS):
            found += (await events.batch())[1] if batch else [payload(await events.message())]
    assert found == ODD_PAYLOADS


async def test_a_message_says_everything_about_itself(client: BrokerClient) -> None:
    headers = {"X-Message-Source": "rack 7", "X-Message-Unit": "\u00b0C"}
    await client.produce("t", b"hello", key="gpu-\u00e9", headers=headers)
    async with client.consume("t") as events:
        event = await events.next()
        message = msgspec.json.decode(event.data[0])
    assert event.type == "message"
    assert event.id == message["receipt"]
    assert (message["topic"], message["offset"], message["attempt"]) == ("t", 0, 1)
    assert message["id"] == f"broker-0:{message['partition']}:0"
    assert message["key"] == "gpu-\u00e9"
    assert message["headers"] == {"source": "rack 7", "unit": "\u00b0C"}
    assert message["created_at"].endswith("Z")
    assert message["payload"] == "hello"


async def test_a_batch_of_plain_lines_comes_as_it_went(client: BrokerClient) -> None:
    lines = [b"line %d" % number for number in range(10)]
    await client.produce_lines("t", *lines, partition=0)
    async with client.consume("t", batch=4) as events:
        batches = [await events.batch() for _ in range(3)]
    assert [payloads for _, payloads in batches] == [lines[0:4], lines[4:8], lines[8:]]
    assert [head["encoding"] for head, _ in batches] == ["lines"] * 3
    assert [head["offset"] for head, _ in batches] == [0, 4, 8]


async def test_keys_come_through_in_a_batch(client: BrokerClient) -> None:
    await client.produce("t", b"a", key="k")
    async with client.consume("t", batch=4) as events:
        event = await events.next()
    assert b'"key":"k"' in event.data[1]


async def test_the_stream_is_not_to_be_buffered(client: BrokerClient) -> None:
    async with client.consume("t") as events:
        assert events.status == 200
        assert events.headers["Content-Type"].startswith("text/event-stream")
        assert events.headers["Cache-Control"] == "no-store"
        assert events.headers["X-Accel-Buffering"] == "no"
        assert "Content-Encoding" not in events.headers


async def test_a_consumer_may_come_before_the_first_message(client: BrokerClient) -> None:
    async with client.consume("t") as events:
        await client.produce("t", b"later")
        assert (await events.message())["payload"] == "later"


@pytest.mark.parametrize("batch", [None, 100])
async def test_never_more_in_flight_than_asked_for(client: BrokerClient, batch: int | None) -> None:
    await client.produce_lines("t", *[b"x"] * 10, partition=0)
    given = {"batch": batch} if batch else {}
    async with client.consume("t", max_in_flight=3, partition=0, **given) as events:
        receipts = await take(events, 3, batch)
        row = await client.books("t")
        assert (row["in_flight"], row["ready"]) == (3, 7)
        await client.settle("t", *receipts)
        await take(events, 3, batch)
        row = await client.books("t")
        assert (row["in_flight"], row["acked"]) == (3, 3)


async def take(events: Events, count: int, batch: int | None) -> list[str]:
    """Receive exactly ``count`` messages; return their receipts."""
    if batch:
        head, payloads = await events.batch()
        assert len(payloads) == count
        return [head["receipt"]]
    return [message["receipt"] for message in await events.messages(count)]


async def test_heartbeats_come_in_silence(tmp_path: Path) -> None:
    async with (
        running_broker(tmp_path, heartbeat_seconds=0.05) as broker,
        broker.client.consume("t") as events,
    ):
        assert {await events.chunk() for _ in range(3)} == {sse.HEARTBEAT}


async def test_heartbeats_come_although_others_are_busy(tmp_path: Path) -> None:
    async with running_broker(tmp_path, heartbeat_seconds=0.2) as broker:
        client = broker.client
        await client.produce("t", b"the one it may hold", partition=0)

        async def keep_producing() -> None:
            while True:
                await client.produce("t", b"more", partition=0, durability="disk")

        async with client.consume("t", max_in_flight=1) as events:
            await events.message()
            busy = asyncio.create_task(keep_producing())
            async with asyncio.timeout(5):
                assert await events.chunk() == sse.HEARTBEAT
            busy.cancel()
            await asyncio.wait([busy])


async def test_every_group_gets_everything(client: BrokerClient) -> None:
    await client.produce_lines("t", b"a", b"b", b"c")
    for group in ("one", "two"):
        async with client.consume("t", group=group) as events:
            assert [m["payload"] for m in await events.messages(3)] == ["a", "b", "c"]


async def test_consumers_of_a_group_share(client: BrokerClient) -> None:
    await client.produce_lines("t", *[b"%d" % n for n in range(4)], partition=0)
    async with (
        client.consume("t", max_in_flight=2) as one,
        client.consume("t", max_in_flight=2) as other,
    ):
        found = [m["payload"] for events in (one, other) for m in await events.messages(2)]
    assert sorted(found) == ["0", "1", "2", "3"]


@pytest.mark.parametrize(
    ("start", "first"), [("earliest", "0"), ("latest", "new"), ("2", "2"), ("99", "new")]
)
async def test_a_new_group_begins_where_it_asks_to(
    client: BrokerClient, start: str, first: str
) -> None:
    await client.produce_lines("t", *[b"%d" % n for n in range(4)], partition=0)
    async with client.consume("t", start=start, partition=0) as events:
        await client.produce("t", b"new", partition=0)
        assert (await events.message())["payload"] == first


async def test_a_group_goes_on_where_it_was(client: BrokerClient) -> None:
    await client.produce_lines("t", *[b"%d" % n for n in range(4)], partition=0)
    async with client.consume("t", max_in_flight=2) as events:
        receipts = [message["receipt"] for message in await events.messages(2)]
        await client.settle("t", *receipts)
    async with client.consume("t", start="earliest") as events:
        assert [(await events.message())["payload"] for _ in range(2)] == ["2", "3"]


async def test_a_dropped_connection_gives_its_messages_back_at_once(tmp_path: Path) -> None:
    async with running_broker(tmp_path, ManualClock()) as broker:
        client = broker.client
        await client.produce_lines("t", b"a", b"b", partition=0)
        async with client.consume("t") as events:
            await events.messages(2)
        async with client.consume("t") as events:
            again = await events.messages(2)
    assert [(m["payload"], m["attempt"]) for m in again] == [("a", 2), ("b", 2)]


async def test_after_the_visibility_timeout_another_gets_it_and_the_late_ack_is_refused(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    async with running_broker(tmp_path, clock, visibility_timeout_seconds=30) as broker:
        client = broker.client
        await client.produce("t", b"x", partition=0)
        async with (
            client.consume("t", max_in_flight=1) as slow,
            client.consume("t", max_in_flight=1) as other,
        ):
            first = await slow.message()
            await client.produce("t", b"y", partition=0)
            await other.message()
            clock.advance(29.9)
            assert (await client.books("t"))["expired"] == 0
            clock.advance(0.2)
            again = [await slow.message(), await other.message()]
            late = await client.settle("t", first["receipt"])
            assert (late.status, late.code) == (409, "RECEIPT_STALE")
            assert late.json["error"]["details"] == {first["receipt"]: "STALE"}
            row = await client.books("t")
            assert (row["acked"], row["in_flight"], row["expired"]) == (0, 2, 2)
            done = await client.settle("t", *(message["receipt"] for message in again))
    assert {message["attempt"] for message in again} == {2}
    assert done.json["acked"] == 2


async def test_the_wall_clock_does_not_end_a_lease(tmp_path: Path) -> None:
    clock = ManualClock()
    async with running_broker(tmp_path, clock) as broker:
        await broker.client.produce("t", b"x", partition=0)
        async with broker.client.consume("t") as events:
            message = await events.message()
            clock.jump_wall(86_400)
            clock.advance(1)
            settled = await broker.client.settle("t", message["receipt"])
    assert settled.json["acked"] == 1


async def test_one_receipt_settles_a_whole_batch_and_a_part_of_it_a_part(
    client: BrokerClient,
) -> None:
    await client.produce_lines("t", *[b"x"] * 10, partition=0)
    async with client.consume("t", batch=10) as events:
        head, _ = await events.batch()
        part = head["receipt"].replace(":0-9:", ":3-5:")
        assert (await client.settle("t", part)).json["acked"] == 3
        whole = await client.settle("t", head["receipt"])
    assert whole.json == {"acked": 7, "already": 3, "refused": {}}


async def test_an_ack_repeated_is_already_done(client: BrokerClient) -> None:
    await client.produce("t", b"x", partition=0)
    async with client.consume("t") as events:
        message = await events.message()
        first, again = [await client.settle("t", message["receipt"]) for _ in range(2)]
    assert (first.json["acked"], first.json["already"]) == (1, 0)
    assert (again.status, again.json["acked"], again.json["already"]) == (200, 0, 1)


async def test_a_good_receipt_among_bad_ones_is_settled(client: BrokerClient) -> None:
    await client.produce("t", b"x", partition=0)
    async with client.consume("t", partition=0) as events:
        good = (await events.message())["receipt"]
        bad = {
            "other:0:0:ab": "WRONG_BROKER",
            "broker-0:9:0:ab": "UNKNOWN",
            "broker-0:1:0:ab": "UNKNOWN",
            "broker-0:0:7:ab": "STALE",
        }
        answer = await client.settle("t", *bad, good)
    assert answer.status == 200
    assert answer.json == {"acked": 1, "already": 0, "refused": bad}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"id": "broker-0:0:5:ff"}, 409, "RECEIPT_STALE"),
        ({"id": "broker-1:0:0:ff"}, 409, "RECEIPT_STALE"),
        ({"id": "broker-0:0:0"}, 400, "RECEIPT_INVALID"),
        ({"id": "broker-0:0:9-1:ff"}, 400, "RECEIPT_INVALID"),
        ({"id": "x" * 10_000}, 400, "RECEIPT_INVALID"),
        ({}, 400, "INVALID_REQUEST"),
        ({"ids": "a"}, 400, "INVALID_REQUEST"),
        ({"ids": [1]}, 400, "INVALID_REQUEST"),
        ({"id": "broker-0:0:0:ff", "more": 1}, 400, "INVALID_REQUEST"),
    ],
)
async def test_a_forged_ack_changes_nothing(
    client: BrokerClient, body: dict[str, str], status: int, code: str
) -> None:
    await client.produce("t", b"x", partition=0)
    async with client.consume("t", partition=0) as events:
        await events.message()
        answer = await client.request("POST", "/ack", params={"topic": "t"}, json=body)
        assert (answer.status, answer.code) == (status, code)
        row = await client.books("t")
    assert (row["acked"], row["in_flight"]) == (0, 1)


@pytest.mark.parametrize("given", [{"topic": "t", "group": "none"}, {"topic": "none"}])
async def test_an_ack_to_nowhere_is_not_found(client: BrokerClient, given: dict[str, str]) -> None:
    await client.produce("t", b"x")
    body = {"id": "broker-0:0:0:ff"}
    answer = await client.request("POST", "/ack", params=given, json=body)
    assert (answer.status, answer.code) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    "given",
    [
        {"max_in_flight": "0"},
        {"max_in_flight": "-1"},
        {"max_in_flight": "1000000000"},
        {"batch": "0"},
        {"batch": "x"},
        {"partition": "4"},
        {"from": "yesterday"},
        {"from": "-1"},
    ],
)
async def test_limits_outside_their_bounds_are_refused(
    client: BrokerClient, given: dict[str, str]
) -> None:
    answer = await client.request("GET", "/consume", params={"topic": "t"} | given)
    assert (answer.status, answer.code) == (400, "INVALID_REQUEST")


async def test_a_stream_is_not_opened_for_who_sees_no_body(client: BrokerClient) -> None:
    await client.produce("t", b"x", partition=0)
    answer = await client.request("HEAD", "/consume", params={"topic": "t"})
    assert answer.status == 405
    assert await client.groups("t") == []


@pytest.mark.parametrize("last", ["broker-0:0:0:ff", "x" * 7000, "-1"])
async def test_a_last_event_id_is_taken_and_changes_nothing(
    running: RunningBroker, last: str
) -> None:
    await running.client.produce("t", b"x", partition=0)
    async with running.client.consume("t", headers={"Last-Event-ID": last}) as events:
        assert (await events.message())["offset"] == 0


@pytest.mark.parametrize("limit", [{"queue_size": 1}, {"queue_bytes": 200}])
@pytest.mark.parametrize("in_flight", [1, 7, 1000])
async def test_a_backlog_larger_than_memory_comes_back_in_order(
    tmp_path: Path, limit: dict[str, Any], in_flight: int
) -> None:
    bodies = [b"%d" % number for number in range(60)]
    async with running_broker(tmp_path, segment_bytes=4096, event_bytes=300, **limit) as broker:
        client = broker.client
        for first in range(0, 60, 3):
            await client.produce_lines("t", *bodies[first : first + 3], partition=0)
        assert broker.broker.topics.get("t").partition(0).window.messages <= 12
        found: list[bytes] = []
        async with client.consume("t", max_in_flight=in_flight, batch=10) as events:
            while len(found) < len(bodies):
                head, payloads = await events.batch()
                found += payloads
                await client.settle("t", head["receipt"])
    assert found == bodies


async def test_what_the_disk_lost_is_passed_over_and_counted(tmp_path: Path) -> None:
    async with running_broker(tmp_path, segment_bytes=4096, queue_size=1) as broker:
        client = broker.client
        for _ in range(30):
            await client.produce("t", b"x" * 1000, partition=0)
        parts = sorted((tmp_path / "topics/t/0").glob("*.seg"))
        content = bytearray(parts[1].read_bytes())
        content[500] ^= 1
        parts[1].write_bytes(content)
        async with client.consume("t") as events:
            offsets = [message["offset"] for message in await events.messages(29)]
        row = await client.books("t")
    assert sorted(set(range(30)) - set(offsets)) == [3]
    assert row["lost"] == 1
    assert row["ready"] + row["in_flight"] + row["acked"] + row["lost"] == 30


async def test_a_disk_slower_than_the_timeout_does_not_upset_the_books(tmp_path: Path) -> None:
    clock = ManualClock()
    async with running_broker(tmp_path, clock, queue_size=1, event_bytes=1) as broker:
        client = broker.client
        for _ in range(5):
            await client.produce("t", b"x", partition=0)
        partition = broker.broker.topics.get("t").partition(0)
        read, slow = partition.read, [True]

        async def read_late(offset: int, max_bytes: int) -> object:
            found = await read(offset, max_bytes)
            if slow:
                clock.advance(31)
                partition.expire()
                slow.clear()
            return found

        partition.read = read_late  # type: ignore[method-assign, assignment]
        async with client.consume("t", partition=0) as events:
            found = await events.messages(5)
            row = await client.books("t")
    assert sorted(message["offset"] for message in found) == [0, 1, 2, 3, 4]
    assert (row["in_flight"], row["ready"]) == (5, 0)


async def test_who_leaves_gives_back_at_once_what_it_has_though_the_disk_is_slow(
    tmp_path: Path,
) -> None:
    async with running_broker(tmp_path, queue_size=1, event_bytes=1) as broker:
        client = broker.client
        for _ in range(2):
            await client.produce("t", b"x", partition=0)
        partition = broker.broker.topics.get("t").partition(0)
        read, asked, answering = partition.read, asyncio.Event(), asyncio.Event()

        async def read_late(offset: int, max_bytes: int) -> object:
            if offset == 1 and not asked.is_set():
                asked.set()
                await answering.wait()
            return await read(offset, max_bytes)

        partition.read = read_late  # type: ignore[method-assign, assignment]
        async with client.consume("t", partition=0) as leaving:
            assert (await leaving.message())["offset"] == 0
            await asked.wait()
        async with client.consume("t", partition=0) as events:
            found = await events.messages(2)
            answering.set()
            row = await client.books("t")
    assert [message["offset"] for message in found] == [0, 1]
    assert (row["in_flight"], row["ready"]) == (2, 0)


async def test_a_client_that_takes_gzip_gets_each_event_at_once_all_the_same(
    client: BrokerClient,
) -> None:
    headers = {"Accept-Encoding": "gzip, deflate, br, zstd"}
    async with client.consume("t", headers=headers) as events:
        assert "Content-Encoding" not in events.headers
        for number in range(3):
            await client.produce("t", b"%d" % number, partition=0)
            assert (await events.message())["payload"] == str(number)
