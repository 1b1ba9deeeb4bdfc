"""Signals at awkward moments: stops under load, stops of stops, pauses, crash loops."""

import asyncio
import contextlib
import random
import signal
import sys
from pathlib import Path

import pytest

from tests.faults.load import TOPIC, History, drain, produce_batch, spawn
from tests.support import still
from tests.support.broker import BrokerProcess, broker_process
from tests.support.client import TOKEN, BrokerClient

STOPPED = (0, -signal.SIGTERM)
REPAIRS = ("torn", "damaged", "quarantined", "Traceback", "places behind")
LOAD_SECONDS = 0.3
CRASHES = 20
HELD = 100
CONSUMER = """
import sys, urllib.request
stream = urllib.request.urlopen(urllib.request.Request(sys.argv[1], headers={
    "Authorization": "Bearer " + sys.argv[2]}))
for line in stream:
    if line.startswith(b"id:"):
        print("one", flush=True)
"""


async def start_and_drain(broker: BrokerProcess, history: History) -> None:
    """Start it again; everything answered is there, and nothing had to be repaired."""
    await broker.start()
    await broker.until_ready()
    for group in ("g", "fresh"):
        await drain(broker.url, history, group)
        assert history.lost(group, "fsync", "disk", "memory") == []
    assert not [word for word in REPAIRS if word in broker.stderr()]


@pytest.mark.parametrize("signals", [1, 2])
async def test_a_stop_under_load_keeps_what_was_answered_whatever_the_durability(
    tmp_path: Path, signals: int
) -> None:
    history = History()
    async with broker_process(tmp_path / "data") as broker:
        load = spawn(broker.url, history, random.Random(1), "g", "fsync", "disk", "memory")
        await asyncio.sleep(LOAD_SECONDS)
        for _ in range(signals):
            broker.process.send_signal(signal.SIGTERM)
        assert await broker.wait() in STOPPED
        await asyncio.gather(*load)
        assert history.taken
        await start_and_drain(broker, history)


async def test_a_stop_during_the_start_leaves_everything_as_it_was(tmp_path: Path) -> None:
    history, chance = History(), random.Random(2)
    async with broker_process(tmp_path / "data") as broker:
        async with BrokerClient(broker.url) as client:
            for _ in range(50):
                await produce_batch(client, history, chance)
            for number in range(32):  # something to recover
                await client.produce("big", b"x" * 900_000, partition=number % 4)
        await broker.terminate()
        for attempt in range(8):
            await broker.start()
            await asyncio.sleep(0.08 * attempt)
            async with asyncio.timeout(10):
                assert await broker.terminate() in STOPPED
        await start_and_drain(broker, history)


async def test_a_crash_loop_leaves_no_files_behind(tmp_path: Path) -> None:
    history, chance = History(), random.Random(3)
    async with broker_process(tmp_path / "data", SEGMENT_BYTES="8192") as broker:
        async with BrokerClient(broker.url) as client:
            for _ in range(20):
                await produce_batch(client, history, chance)
        await broker.terminate()
        files = sorted((tmp_path / "data").rglob("*"))
        for _ in range(CRASHES):
            await broker.start()
            await asyncio.sleep(chance.uniform(0, 0.4))
            await broker.kill()
        assert sorted((tmp_path / "data").rglob("*")) == files
        await start_and_drain(broker, history)


async def test_a_pause_of_the_broker_ends_leases_and_stores_nothing_twice(tmp_path: Path) -> None:
    async with (
        broker_process(tmp_path / "data", VISIBILITY_TIMEOUT="500ms") as broker,
        BrokerClient(broker.url) as client,
    ):
        keyed = {"partition": 0, "headers": {"Idempotency-Key": "once"}}
        await client.produce(TOPIC, b"first", partition=0)
        async with client.consume(TOPIC) as events:
            held = await events.message()
            still.stop(broker.process.pid)
            asking = asyncio.create_task(client.produce(TOPIC, b"second", **keyed))
            acking = asyncio.create_task(client.settle(TOPIC, held["receipt"]))
            await asyncio.sleep(0.7)  # the pause is the fault
            broker.process.send_signal(signal.SIGCONT)
            assert (await acking).code == "RECEIPT_STALE"
            again = await events.message()
            assert (again["offset"], again["attempt"]) == (0, 2)
            assert (await client.settle(TOPIC, again["receipt"])).json["acked"] == 1
            assert (await events.message())["payload"] == "second"
        repeat = (await client.produce(TOPIC, b"second", **keyed)).json
        assert (repeat["offset"], repeat["duplicate"]) == ((await asking).json["offset"], True)


async def test_a_killed_consumer_gives_everything_back_at_once(tmp_path: Path) -> None:
    async with broker_process(tmp_path / "data") as broker, BrokerClient(broker.url) as client:
        await client.produce_lines(TOPIC, *[b"%d" % n for n in range(HELD)], partition=0)
        url = f"{broker.url}/consume?topic={TOPIC}&max_in_flight={HELD}"
        consumer = await asyncio.create_subprocess_exec(
            sys.executable, "-c", CONSUMER, url, TOKEN, stdout=asyncio.subprocess.PIPE
        )
        assert consumer.stdout is not None
        with contextlib.closing(consumer.stdout._transport):  # type: ignore[attr-defined]
            for _ in range(HELD):
                await consumer.stdout.readline()
            assert (await client.books(TOPIC))["in_flight"] == HELD
            consumer.kill()
            await consumer.wait()
        async with client.consume(TOPIC) as events:
            messages = await events.messages(HELD)
    assert [message["offset"] for message in messages] == list(range(HELD))
    assert {message["attempt"] for message in messages} == {2}
