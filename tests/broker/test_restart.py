"""Stopping and starting again, within one event loop."""

import asyncio
import socket
import time
from pathlib import Path

import pytest

from common.journal import segment
from tests.support.broker import RunningBroker, running_broker
from tests.support.client import TOKEN, BrokerClient, payload
from tests.support.serving import NotStartedError
from tests.support.waiting import until


async def drain(client: BrokerClient, topic: str, count: int, **given: object) -> list[str]:
    """Consume and ack ``count`` messages of partition 0; return the payloads."""
    async with client.consume(topic, partition=0, **given) as events:
        messages = await events.messages(count)
        await client.settle(topic, *(message["receipt"] for message in messages))
    return [message["payload"] for message in messages]


async def test_messages_and_places_survive_a_restart(tmp_path: Path) -> None:
    async with running_broker(tmp_path) as broker:
        await broker.client.produce_lines("t", *[b"%d" % n for n in range(6)], partition=0)
        assert await drain(broker.client, "t", 2, max_in_flight=2) == ["0", "1"]
    async with running_broker(tmp_path) as broker:
        assert (await broker.client.produce("t", b"6", partition=0)).json["offset"] == 6
        assert await drain(broker.client, "t", 5) == ["2", "3", "4", "5", "6"]
        row = await broker.client.books("t")
    assert (row["acked"], row["lag"]) == (7, 0)


async def test_acks_with_holes_between_survive_a_restart(tmp_path: Path) -> None:
    async with running_broker(tmp_path) as broker:
        client = broker.client
        await client.produce_lines("t", *[b"%d" % n for n in range(6)], partition=0)
        async with client.consume("t") as events:
            messages = await events.messages(6)
            await client.settle("t", *(messages[n]["receipt"] for n in (0, 2, 4)))
    async with running_broker(tmp_path) as broker:
        assert await drain(broker.client, "t", 3) == ["1", "3", "5"]


async def test_a_receipt_of_an_earlier_run_is_stale(tmp_path: Path) -> None:
    async with running_broker(tmp_path) as broker:
        await broker.client.produce("t", b"x", partition=0)
        async with broker.client.consume("t") as events:
            message = await events.message()
    async with running_broker(tmp_path) as broker, broker.client.consume("t") as events:
        await events.message()
        assert (await broker.client.settle("t", message["receipt"])).status == 409


async def test_a_stop_says_goodbye_and_ends_every_stream(tmp_path: Path) -> None:
    async with running_broker(tmp_path) as broker:
        for _ in range(4):
            await broker.client.produce("t", b"x")
        async with asyncio.timeout(5):
            ends = [asyncio.create_task(last_event(broker)) for _ in range(30)]
            await until(lambda: len(broker.broker.streams) == len(ends))
            broker.lifecycle.stop()
            assert await asyncio.gather(*ends) == ["goodbye"] * len(ends)


async def last_event(broker: RunningBroker) -> str:
    """Read a stream to its end; return the type of the last event."""
    kind = ""
    async with BrokerClient(broker.url) as client, client.consume("t") as events:
        try:
            while True:
                kind = (await events.next()).type
        except EOFError:
            return kind


async def test_while_stopping_nothing_new_is_taken(tmp_path: Path) -> None:
    async with running_broker(tmp_path) as broker:
        await broker.client.produce("t", b"x")
        broker.lifecycle.stopping.set()
        for method, path in (("POST", "/produce"), ("GET", "/consume")):
            answer = await broker.client.request(method, path, params={"topic": "t"})
            assert (answer.status, answer.code) == (503, "UNAVAILABLE")
        assert not await broker.client.is_ready()
        broker.lifecycle.stopping.clear()


async def test_a_client_that_never_reads_does_not_hold_up_the_stop(tmp_path: Path) -> None:
    async with running_broker(tmp_path, shutdown_grace_seconds=1) as broker:
        for _ in range(20):
            await broker.client.produce("t", b"x" * 1_000_000, partition=0)
        deaf = await open_deaf_stream(broker.url)
        await until(lambda: broker.broker.streams)
        began = time.monotonic()
    deaf.close()
    assert time.monotonic() - began < 3


async def open_deaf_stream(url: str) -> socket.socket:
    """Ask for a stream on a socket that nobody reads."""
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(deaf, ("127.0.0.1", int(url.rpartition(":")[2])))
    head = f"GET /consume?topic=t HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    await loop.sock_sendall(deaf, head.encode())
    return deaf


async def test_a_client_that_stops_reading_loses_its_messages_to_others(tmp_path: Path) -> None:
    async with running_broker(tmp_path, send_timeout_seconds=0.3) as broker:
        for _ in range(20):
            await broker.client.produce("t", b"x" * 1_000_000, partition=0)
        deaf = await open_deaf_stream(broker.url)
        await until(lambda: broker.broker.streams)
        async with broker.client.consume("t") as events:
            messages = await events.messages(20)
        deaf.close()
    assert sorted(message["offset"] for message in messages) == list(range(20))
    assert {message["attempt"] for message in messages} >= {2}


async def test_files_that_are_not_ours_do_not_hinder_a_start(tmp_path: Path) -> None:
    async with running_broker(tmp_path) as broker:
        await broker.client.produce("t", b"x", partition=0)
    leave_strangers(tmp_path)
    async with running_broker(tmp_path) as broker:
        assert await drain(broker.client, "t", 1) == ["x"]
        topics = (await broker.client.request("GET", "/topics")).json["topics"]
    assert [topic["topic"] for topic in topics] == ["t"]


def leave_strangers(data_dir: Path) -> None:
    (data_dir / "topics" / "lost+found").mkdir()
    (data_dir / "topics" / ".DS_Store").write_bytes(b"?")
    (data_dir / "topics" / "t" / "0" / "groups.tmp").write_bytes(b"half")
    (data_dir / "topics" / "t" / "0" / "1.seg").write_bytes(b"?")


async def test_a_damaged_groups_file_costs_a_repetition_and_no_message(tmp_path: Path) -> None:
    async with running_broker(tmp_path) as broker:
        await broker.client.produce_lines("t", b"a", b"b", partition=0)
        await drain(broker.client, "t", 2)
    (tmp_path / "topics" / "t" / "0" / "groups").write_bytes(b'{"default": {"floor": 99}}')
    async with running_broker(tmp_path) as broker:
        assert await drain(broker.client, "t", 2) == ["a", "b"]


async def test_a_log_of_a_later_version_is_refused_by_name_and_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(segment, "VERSION", segment.VERSION + 1)
    async with running_broker(tmp_path) as broker:
        await broker.client.produce("t", b"x", partition=0)
    monkeypatch.undo()
    before = everything_below(tmp_path)
    with pytest.raises(NotStartedError):
        async with running_broker(tmp_path):
            pass
    assert "segment version 2" in capsys.readouterr().err
    assert everything_below(tmp_path) == before


def everything_below(directory: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


async def test_a_new_group_keeps_its_place_over_a_crash(tmp_path: Path) -> None:
    async with running_broker(tmp_path, checkpoint_seconds=60) as broker:
        client = broker.client
        await client.produce("t", b"old", partition=0)
        async with client.consume("t", start="latest", partition=0):
            saved = (tmp_path / "topics" / "t" / "0" / "groups").read_bytes()
        await client.produce("t", b"new", partition=0)
    (tmp_path / "topics" / "t" / "0" / "groups").write_bytes(saved)
    async with running_broker(tmp_path) as broker:
        assert await drain(broker.client, "t", 1, start="latest") == ["new"]


async def test_a_stopped_broker_lets_its_directory_go(tmp_path: Path) -> None:
    for _ in range(2):
        async with running_broker(tmp_path) as broker:
            with pytest.raises(NotStartedError):
                async with running_broker(tmp_path):
                    pass
            assert await broker.client.is_ready()


async def test_a_damaged_topic_file_is_made_anew_from_the_partitions(tmp_path: Path) -> None:
    async with running_broker(tmp_path, partitions_per_topic=3) as running:
        for partition in range(3):
            await running.client.produce("t", b"%d" % partition, partition=partition)
    (tmp_path / "topics" / "t" / "topic").write_bytes(b"rotten")
    async with running_broker(tmp_path, partitions_per_topic=7) as running:
        assert len(running.broker.topics.get("t").partitions) == 3
        async with running.client.consume("t") as events:
            found = {payload(row) for row in await events.messages(3)}
    assert found == {b"0", b"1", b"2"}
