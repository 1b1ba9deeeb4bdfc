"""Power cuts: a broker on an ext4 image, which is copied while the broker stands still.

What the copy holds is what the disk had: the page cache of the file system is not in it. Every test
has an image of its own, since one fsync brings everything before it on the same ext4 to the disk.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

from tests.faults.load import TOPIC, History, drain, produce_batch, spawn
from tests.support import still
from tests.support.broker import BrokerProcess, broker_process
from tests.support.client import BrokerClient
from tests.support.mounts import after_power_cut, ext4
from tests.support.waiting import until, until_told

LOAD_SECONDS = 0.5
NO_RESERVE = {"DISK_RESERVE": "0"}  # the images are small


class OnDisk(NamedTuple):
    """A broker on an ext4 image of its own."""

    broker: BrokerProcess
    client: BrokerClient
    data_dir: Path
    image: Path

    def partition_files(self, pattern: str, partition: int = 0) -> list[Path]:
        """Files of a partition that exist now, by name."""
        return sorted((self.data_dir / "topics" / TOPIC / str(partition)).glob(pattern))


@contextlib.asynccontextmanager
async def on_ext4(tmp_path: Path, **environment: str) -> AsyncIterator[OnDisk]:
    """A broker process on a new ext4 image."""
    image = tmp_path / "disk.img"
    with ext4(image, tmp_path / "before") as disk:
        data_dir = disk / "data"
        async with (
            broker_process(
                data_dir, log_dir=tmp_path, environment=NO_RESERVE | environment
            ) as broker,
            BrokerClient(broker.url) as client,
        ):
            yield OnDisk(broker, client, data_dir, image)


@contextlib.asynccontextmanager
async def power_cut(on_disk: OnDisk, tmp_path: Path) -> AsyncIterator[BrokerProcess]:
    """A broker started, without any repair, from what the power cut left."""
    still.stop(on_disk.broker.process.pid)
    with after_power_cut(on_disk.image, tmp_path / "after") as left:
        await on_disk.broker.kill()
        async with broker_process(
            left / "data", log_dir=tmp_path, environment=NO_RESERVE
        ) as broker:
            yield broker


@contextlib.asynccontextmanager
async def loaded(on_disk: OnDisk, history: History, *durabilities: str) -> AsyncIterator[None]:
    """Load that has lasted a while, goes on, and ends with the broker."""
    load = spawn(on_disk.broker.url, history, random.Random(1), "g", *durabilities)
    await asyncio.sleep(LOAD_SECONDS)
    yield
    await asyncio.gather(*load)


async def test_what_was_answered_fsync_is_there(tmp_path: Path) -> None:
    history = History()
    async with (
        on_ext4(tmp_path, SEGMENT_BYTES="65536") as on_disk,
        loaded(on_disk, history, "fsync"),
        power_cut(on_disk, tmp_path) as broker,
    ):
        for group in ("g", "fresh"):
            await drain(broker.url, history, group)
    assert len(history.taken) > 100
    assert history.lost("g", "fsync") == history.lost("fresh", "fsync") == []


async def test_what_was_answered_disk_may_end_early_and_has_no_holes(tmp_path: Path) -> None:
    history = History()
    async with (
        on_ext4(tmp_path) as on_disk,
        loaded(on_disk, history, "disk"),
        power_cut(on_disk, tmp_path) as broker,
    ):
        await drain(broker.url, history, "fresh")
        log = broker.stderr()
    lost = history.lost("fresh", "disk")
    assert lost, "nothing lost: the image does not forget, and proves nothing"
    ends = dict(sorted(lost, reverse=True))  # the first that is lost, by partition
    kept = set(history.taken) - set(lost)
    assert all(offset < ends.get(partition, offset + 1) for partition, offset in kept)
    assert "Traceback" not in log


async def test_a_file_just_begun_is_there_with_its_first_message(tmp_path: Path) -> None:
    history, chance = History(), random.Random(2)
    async with on_ext4(tmp_path, SEGMENT_BYTES="4096") as on_disk:
        while len(on_disk.partition_files("*.seg")) < 3:
            assert await produce_batch(on_disk.client, history, chance) == 200
        async with power_cut(on_disk, tmp_path) as broker:
            await drain(broker.url, history, "fresh")
            assert "lost" not in broker.stderr()
    assert history.lost("fresh", "fsync") == []


async def test_places_just_replaced_bring_messages_again_and_lose_none(tmp_path: Path) -> None:
    history = History()
    async with (
        on_ext4(tmp_path, CHECKPOINT_INTERVAL="10ms") as on_disk,
        loaded(on_disk, history, "fsync"),
    ):
        places = on_disk.partition_files("groups")[0]
        before = places.stat().st_ino
        await until(lambda: places.stat().st_ino != before)
        async with power_cut(on_disk, tmp_path) as broker:
            await drain(broker.url, history, "g")
    assert history.lost("g", "fsync") == []


async def test_a_group_that_began_at_the_end_still_begins_there(tmp_path: Path) -> None:
    history, chance = History(), random.Random(4)
    async with on_ext4(tmp_path, CHECKPOINT_INTERVAL="60s") as on_disk:
        await produce_batch(on_disk.client, history, chance)
        old = len(history.taken)
        async with (
            on_disk.client.consume(TOPIC, group="g", start="latest"),
            power_cut(on_disk, tmp_path) as broker,
            BrokerClient(broker.url) as client,
        ):
            await produce_batch(client, history, chance)
            await drain(broker.url, history, "g")
    assert set(history.came["g"]) == set(list(history.taken)[old:])


async def test_files_just_retired_do_not_come_as_new(tmp_path: Path) -> None:
    history, chance = History(), random.Random(5)
    small = {"SEGMENT_BYTES": "4096", "RETENTION": "0s", "RETENTION_CHECK": "20ms"}
    async with on_ext4(tmp_path, CHECKPOINT_INTERVAL="60s", **small) as on_disk:
        for _ in range(40):
            await produce_batch(on_disk.client, history, chance)
        first = on_disk.partition_files("*.seg")[0]
        await drain(on_disk.broker.url, history, "g")
        await until(lambda: not first.exists())
        seen = dict(history.came["g"])
        for _ in range(5):
            await produce_batch(on_disk.client, history, chance)
        async with power_cut(on_disk, tmp_path) as broker, BrokerClient(broker.url) as client:
            rows = await client.groups(TOPIC, "g")
            await drain(broker.url, history, "g")
    assert history.lost("g", "fsync") == []
    assert seen.items() <= history.came["g"].items()
    assert sum(row["lost"] for row in rows) == 0


async def test_a_dead_letter_or_its_message_is_there(tmp_path: Path) -> None:
    async with on_ext4(tmp_path) as on_disk:
        client = on_disk.client
        await client.produce(TOPIC, b"poison", partition=0)
        async with client.consume(TOPIC, group="g") as events:
            receipt = (await events.message())["receipt"]
            wish = {"id": receipt, "mode": "reject", "reason": "poison"}
            await client.request("POST", f"/nack?topic={TOPIC}&group=g", json=wish)
            queue = f"/dlq?topic={TOPIC}&group=g"

            async def is_dead() -> bool:
                return bool((await client.request("GET", queue)).json["depth"])

            await until_told(is_dead)
            async with power_cut(on_disk, tmp_path) as broker, BrokerClient(broker.url) as after:
                letters = (await after.request("GET", queue)).json["dead_letters"]
    assert [letter["payload"] for letter in letters] == ["poison"]


async def test_a_repeat_of_what_was_answered_is_known(tmp_path: Path) -> None:
    keyed = {"partition": 0, "headers": {"Idempotency-Key": "once"}}
    async with on_ext4(tmp_path) as on_disk:
        first = (await on_disk.client.produce(TOPIC, b"x", **keyed)).json
        async with power_cut(on_disk, tmp_path) as broker, BrokerClient(broker.url) as client:
            again = (await client.produce(TOPIC, b"x", **keyed)).json
    assert (again["offset"], again["duplicate"]) == (first["offset"], True)


async def test_kill_9_right_after_the_restart_loses_nothing_either(tmp_path: Path) -> None:
    history = History()
    async with (
        on_ext4(tmp_path) as on_disk,
        loaded(on_disk, history, "disk", "fsync"),
        power_cut(on_disk, tmp_path) as broker,
    ):
        await broker.kill()
        await broker.start()
        await broker.until_ready()
        await drain(broker.url, history, "fresh")
    assert history.lost("fresh", "fsync") == []
