"""Broker processes: killed, stopped, started wrongly."""

import asyncio
import contextlib
import itertools
import random
import signal
import socket
import time
from pathlib import Path

import aiohttp
import pytest

from tests.support.broker import BrokerProcess, broker_process
from tests.support.client import TOKEN, BrokerClient
from tests.support.ports import free_port

STREAMS = 50
STOP_SECONDS = 5.0


async def produce_until_dead(url: str, partition: int) -> list[bytes]:
    """Produce one after another until the broker is gone; return what was acknowledged."""
    acked: list[bytes] = []
    async with BrokerClient(url) as client:
        with contextlib.suppress(aiohttp.ClientError):
            for number in range(100_000):
                payload = b"%d-%d" % (partition, number)
                answer = await client.produce("t", payload, partition=partition)
                if answer.status == 200:
                    acked.append(payload)
    return acked


async def read_partition(client: BrokerClient, partition: int, count: int) -> list[bytes]:
    """The first ``count`` payloads of a partition, as a consumer gets them."""
    found: list[bytes] = []
    async with client.consume("t", partition=partition, batch=1000) as events:
        while len(found) < count:
            found += (await events.batch())[1]
    return found[:count]


@pytest.mark.parametrize("seed", range(3))
async def test_after_kill_9_every_acknowledged_message_is_delivered_in_order(
    tmp_path: Path, seed: int
) -> None:
    async with broker_process(tmp_path / "data", SEGMENT_BYTES="4096") as broker:
        loads = [asyncio.create_task(produce_until_dead(broker.url, n)) for n in range(4)]
        await asyncio.sleep(random.Random(seed).uniform(0.1, 0.5))
        await broker.kill()
        acked = await asyncio.gather(*loads)
        await broker.start()
        await broker.until_ready()
        async with BrokerClient(broker.url) as client:
            for partition, payloads in enumerate(acked):
                assert payloads
                assert await read_partition(client, partition, len(payloads)) == payloads


async def test_sigterm_with_many_streams_ends_in_time_and_needs_no_repair(tmp_path: Path) -> None:
    async with broker_process(tmp_path / "data") as broker, BrokerClient(broker.url) as client:
        await client.produce_lines("t", *[b"x"] * 100)
        async with contextlib.AsyncExitStack() as streams:
            for _ in range(STREAMS):
                await streams.enter_async_context(client.consume("t"))
            began = time.monotonic()
            code = await broker.terminate()
        assert time.monotonic() - began < STOP_SECONDS
        assert code in (0, -signal.SIGTERM)
        await broker.start()
        await broker.until_ready()
        row = await client.books("t", partition=1)
        assert row["in_flight"] == 0
        await broker.terminate()
        log = broker.stderr()
    assert "Traceback" not in log
    for word in ("torn", "damaged", "quarantined", "error"):
        assert word not in log


async def test_an_interrupt_ends_it_without_a_traceback(tmp_path: Path) -> None:
    async with broker_process(tmp_path / "data") as broker:
        broker.process.send_signal(signal.SIGINT)
        assert await broker.wait() in (0, -signal.SIGINT)
        assert "Traceback" not in broker.stderr()


async def refused(data_dir: Path, port: int, **environment: str) -> tuple[int, str]:
    """Start a broker that is expected not to; return its exit code and stderr."""
    broker = BrokerProcess(data_dir, environment, port)
    await broker.start()
    try:
        async with asyncio.timeout(20):
            return await broker.wait(), broker.stderr()
    finally:
        await broker.end()


async def test_a_second_broker_on_a_directory_refuses_and_the_first_goes_on(
    tmp_path: Path,
) -> None:
    async with broker_process(tmp_path / "data") as broker, BrokerClient(broker.url) as client:
        await client.produce("t", b"x", partition=0)
        code, errors = await refused(tmp_path / "data", free_port())
        assert (await client.produce("t", b"y", partition=0)).json["offset"] == 1
    assert code == 2
    assert errors.startswith("error: DATA_DIR: another broker has")
    assert "Traceback" not in errors


async def test_a_port_in_use_is_said_and_leaves_the_data_alone(tmp_path: Path) -> None:
    async with broker_process(tmp_path / "data") as broker, BrokerClient(broker.url) as client:
        await client.produce("t", b"x", partition=0)
    log = tmp_path / "data" / "topics" / "t" / "0" / f"{0:020d}.seg"
    before = log.read_bytes()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, errors = await refused(tmp_path / "data", taken.getsockname()[1])
    assert code in (1, 3)
    assert "address already in use" in errors
    assert log.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("QUEUE_SIZE", "-5"),
        ("QUEUE_SIZE", "many"),
        ("PARTITIONS_PER_TOPIC", "0"),
        ("VISIBILITY_TIMEOUT", "soon"),
        ("BROKER_NAME", "a/b"),
        ("DURABILITY", "always"),
        ("SERVICE_TOKEN", "short"),
        ("MAX_BODY_BYTES", "1GiB"),
    ],
)
async def test_a_bad_option_is_named_and_no_secret_is_shown(
    tmp_path: Path, name: str, value: str
) -> None:
    code, errors = await refused(tmp_path / "data", free_port(), **{name: value})
    assert code == 2
    assert errors.startswith(f"error: {name}")
    assert TOKEN not in errors
    assert "short" not in errors.partition(":")[2] or name != "SERVICE_TOKEN"


async def test_a_second_signal_neither_hangs_it_nor_costs_what_was_answered(
    tmp_path: Path,
) -> None:
    async with broker_process(tmp_path / "data") as broker, BrokerClient(broker.url) as client:
        taken: list[bytes] = []

        async def produce() -> None:
            for number in itertools.count():
                payload = b"%d" % number
                answer = await client.produce("t", payload, partition=0)
                if answer.status == 200:
                    taken.append(payload)

        producing = asyncio.create_task(produce())
        async with client.consume("t", group="g") as events:
            await events.message()
            began = time.monotonic()
            broker.process.send_signal(signal.SIGTERM)
            broker.process.send_signal(signal.SIGTERM)
            assert await broker.wait() in (0, -signal.SIGTERM)
        assert time.monotonic() - began < STOP_SECONDS
        with pytest.raises((aiohttp.ClientError, ConnectionError)):
            await producing
        await broker.start()
        await broker.until_ready()
        assert (await read_partition(client, 0, len(taken)))[: len(taken)] == taken
        assert "Traceback" not in broker.stderr()
