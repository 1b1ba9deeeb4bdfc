"""Every system call a broker's files depend on: it dies before it, or the call fails or hangs."""

import random
import signal
from pathlib import Path

import pytest

from tests.faults.load import GONE, TOPIC, History, Place, drain, produce_batch
from tests.support.broker import broker_process, running_broker
from tests.support.client import BrokerClient
from tests.support.tracing import SYNCS, attached

CHANGES = "writev,ftruncate,rename,unlink,mkdir"
SEGMENT = {"SEGMENT_BYTES": "4096", "CHECKPOINT_INTERVAL": "20ms", "DISK_THREADS": "1"}
MOST_CALLS = 200
SCRIPT_BATCHES = 5
STOPPED = (0, -signal.SIGTERM)


async def script(client: BrokerClient, history: History) -> None:
    """A topic made, files filled and begun, a group that comes and acks, a dead letter."""
    chance = random.Random(7)
    for _ in range(SCRIPT_BATCHES):
        await produce_batch(client, history, chance, ("fsync", "disk"))
    async with client.consume(TOPIC, group="g", batch=10) as events:
        head, payloads = await events.batch()
        history.delivered("g", head, payloads)
        await client.settle(TOPIC, head["receipt"], group="g")
        head, _ = await events.batch()
        wish = {"id": head["receipt"], "mode": "reject"}
        await client.request("POST", f"/nack?topic={TOPIC}&group=g", json=wish)
        await produce_batch(client, history, chance)


async def killed_at(tmp_path: Path, calls: str, number: int) -> bool:
    """Run the script on a new directory, die before the n-th call; True if it came to that.

    Then a broker starts from what is there, and everything that was answered is there.
    """
    history, data_dir = History(), tmp_path / f"{number}"
    async with (
        broker_process(data_dir, environment=SEGMENT) as broker,
        BrokerClient(broker.url) as client,
    ):
        what = f"signal=KILL:when={number}"
        async with attached(broker.process.pid, calls, what, tmp_path / "calls"):
            try:
                await script(client, history)
                code = await broker.terminate()
            except GONE:
                code = await broker.wait()
        log = broker.stderr()
    async with running_broker(data_dir) as again:
        dead: set[Place] = set()
        if (await again.client.request("GET", "/topics")).json["topics"]:
            await drain(again.url, history, "fresh")
            await drain(again.url, history, "g")
            dead = await dead_letters(again.client)
    assert not list(data_dir.rglob("*.bad")), f"killed at call {number}"
    assert history.lost("fresh", "fsync", "disk") == [], f"killed at call {number}"
    assert set(history.lost("g", "fsync", "disk")) <= dead, f"killed at call {number}"
    assert "Traceback" not in log
    return code not in STOPPED


async def dead_letters(client: BrokerClient) -> set[Place]:
    """Where the messages were that are in the dead-letter queue now."""
    page = (await client.request("GET", f"/dlq?topic={TOPIC}&group=g")).json["dead_letters"]
    return {(letter["partition"], letter["offset"]) for letter in page}


@pytest.mark.parametrize("calls", [SYNCS, CHANGES])
async def test_killed_before_any_call_it_loses_nothing(tmp_path: Path, calls: str) -> None:
    for number in range(1, MOST_CALLS):
        if not await killed_at(tmp_path, calls, number):
            break
    assert 10 < number < MOST_CALLS - 1
