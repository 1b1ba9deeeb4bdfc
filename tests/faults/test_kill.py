"""kill -9 at random moments under load.

BROKER_KILLS makes it more of them.
"""

import asyncio
import os
import random
from pathlib import Path

import pytest

from tests.faults.load import History, drain, spawn
from tests.support.broker import BrokerProcess, broker_process

KILLS = int(os.environ.get("BROKER_KILLS", "6"))
LONGEST_LIFE_SECONDS = 0.25
LONGEST_START_SECONDS = 0.4
START_KILLED_SHARE = 0.2
SMALL = {"SEGMENT_BYTES": "65536", "CHECKPOINT_INTERVAL": "50ms", "QUEUE_SIZE": "200"}


async def live_and_die(
    broker: BrokerProcess, history: History, chance: random.Random, *durabilities: str
) -> None:
    """One life under load to a kill; now and then one more that does not get through its start."""
    load = spawn(broker.url, history, chance, "g", *durabilities)
    await asyncio.sleep(chance.uniform(0, LONGEST_LIFE_SECONDS))
    await broker.kill()
    await asyncio.gather(*load)
    if chance.random() < START_KILLED_SHARE:
        await broker.start()
        await asyncio.sleep(chance.uniform(0, LONGEST_START_SECONDS))
        await broker.kill()
    await broker.start()
    await broker.until_ready()


async def killed_often(
    data_dir: Path, seed: int, kills: int, *durabilities: str
) -> tuple[History, str]:
    """The history of many lives on one directory, drained at the end, and the brokers' log."""
    print(f"seed {seed}, {kills} kills, {durabilities}")
    history, chance = History(), random.Random(seed)
    async with broker_process(data_dir, environment=SMALL) as broker:
        for _ in range(kills):
            await live_and_die(broker, history, chance, *durabilities)
        for group in ("g", "fresh"):
            await drain(broker.url, history, group)
        return history, broker.stderr()


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("durability", ["fsync", "disk"])
async def test_what_was_answered_survives_any_kill(
    tmp_path: Path, durability: str, seed: int
) -> None:
    history, log = await killed_often(tmp_path / "data", seed, KILLS, durability)
    assert len(history.taken) > KILLS
    for group in ("g", "fresh"):  # one that lived through it all, and one that begins anew
        assert history.lost(group, durability) == []
    assert "Traceback" not in log


async def test_a_kill_costs_only_what_was_answered_memory(tmp_path: Path) -> None:
    history, _ = await killed_often(tmp_path / "data", 3, 10, "memory", "disk", "fsync")
    assert {taken.durability for taken in history.taken.values()} == {"memory", "disk", "fsync"}
    for group in ("g", "fresh"):
        assert history.lost(group, "disk", "fsync") == []
