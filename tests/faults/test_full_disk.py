"""Disks without room, small limits, and disks that turn read-only under a running broker."""

import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.faults.load import GONE
from tests.support.broker import BrokerProcess, broker_process
from tests.support.client import BrokerClient, Events
from tests.support.mounts import ext4, run, tmpfs
from tests.support.needs import need_programs

BLOCK = b"x" * 20_000
MOST_BLOCKS = 2000
STREAMS = 60


class Small(NamedTuple):
    """A broker whose disk has little room; ``filler`` takes it or gives it back."""

    broker: BrokerProcess
    client: BrokerClient
    filler: Path

    async def produce_until_refused(self, payload: bytes = BLOCK) -> int:
        """Produce to partition 0 until the disk is full; return how often that went well."""
        for taken in range(MOST_BLOCKS):
            answer = await self.client.produce("t", payload, partition=0)
            if answer.status != 200:
                assert (answer.status, answer.code) == (503, "DISK_FULL")
                assert int(answer.headers["Retry-After"]) >= 1
                return taken
        raise AssertionError("the disk is never full")

    async def takes_again(self) -> bool:
        """Whether a produce goes through."""
        return (await self.client.produce("t", BLOCK, partition=0)).status == 200

    async def received(self, count: int, group: str) -> list[int]:
        """The offsets that a group of partition 0 gets, each acked."""
        async with self.client.consume("t", group=group, partition=0) as events:
            messages = await events.messages(count)
            receipts = [message["receipt"] for message in messages]
            assert (await self.client.settle("t", *receipts, group=group)).json["acked"] == count
        return [message["offset"] for message in messages]


def fill(path: Path) -> None:
    """Write until there is no room for a byte."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"x" * size)


@contextlib.asynccontextmanager
async def small(
    disk: Path, tmp_path: Path, prefix: Sequence[str] = (), **environment: str
) -> AsyncIterator[Small]:
    """A broker process on a small disk."""
    async with (
        broker_process(
            disk / "data",
            prefix=prefix,
            log_dir=tmp_path,
            environment={"CHECKPOINT_INTERVAL": "20ms", "DISK_RESERVE": "0"} | environment,
        ) as broker,
        BrokerClient(broker.url) as client,
    ):
        yield Small(broker, client, disk / "filler")


@pytest.fixture(params=["tmpfs", "ext4"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A file system of a few MiB."""
    if request.param == "tmpfs":
        with tmpfs(tmp_path / "disk", "size=2m") as at:
            yield at
    else:
        with ext4(tmp_path / "disk.img", tmp_path / "disk", megabytes=8) as at:
            yield at


@pytest.mark.parametrize("segment_bytes", ["32MiB", "64KiB"])
async def test_a_full_disk_refuses_delivers_acks_and_takes_again(
    tmp_path: Path, disk: Path, segment_bytes: str
) -> None:
    async with small(disk, tmp_path, SEGMENT_BYTES=segment_bytes) as on:
        async with on.client.consume("t", group="g", partition=0):
            pass  # its place is there before the disk is full
        await on.client.produce("t", b"first", partition=0)
        fill(on.filler)
        taken = 1 + await on.produce_until_refused()
        assert (await on.client.produce("t", BLOCK, partition=1)).code == "DISK_FULL"
        for group in ("g", "late"):
            assert await on.received(taken, group) == list(range(taken))
        on.filler.unlink()
        assert await on.takes_again()
        assert await on.received(1, "g") == [taken]
        log = on.broker.stderr()
    assert "Traceback" not in log
    async with small(disk, tmp_path) as on:
        assert await on.received(taken + 1, "fresh") == list(range(taken + 1))


async def test_a_disk_full_before_the_start_refuses_only_what_needs_room(
    tmp_path: Path, disk: Path
) -> None:
    async with small(disk, tmp_path) as on:
        await on.client.produce("t", b"x", partition=0)
        await on.broker.terminate()
    fill(disk / "filler")
    async with small(disk, tmp_path) as on:
        assert await on.produce_until_refused() < MOST_BLOCKS
        assert (await on.client.produce("new", b"x")).code == "DISK_FULL"
        assert (await on.received(1, "g")) == [0]
        on.filler.unlink()
        assert await on.takes_again()
        assert (await on.client.produce("new", b"x")).status == 200
        assert "Traceback" not in on.broker.stderr()


async def test_a_group_that_begins_at_the_end_needs_room_for_its_place(
    tmp_path: Path, disk: Path
) -> None:
    async with small(disk, tmp_path) as on:
        await on.client.produce("t", b"old", partition=0)
        fill(on.filler)
        await on.produce_until_refused(b"x" * 100)
        at_end = {"group": "g", "start": "latest", "partition": 0}
        async with on.client.consume("t", **at_end) as events:
            assert events.status == 503
        on.filler.unlink()
        async with on.client.consume("t", **at_end) as events:
            assert events.status == 200


async def test_no_inode_for_a_new_file_is_a_full_disk(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "disk", "size=8m", "nr_inodes=24") as disk:
        async with small(disk, tmp_path, SEGMENT_BYTES="16KiB") as on:
            await on.client.produce("t", b"x", partition=0)
            taken = 1 + await on.produce_until_refused()
            assert await on.received(taken, "g") == list(range(taken))
            assert (await on.client.produce("new", b"x")).code == "DISK_FULL"
            run("mount", "-o", "remount,nr_inodes=200", str(disk))
            assert await on.takes_again()
            assert (await on.client.produce("new", b"x")).status == 200


async def test_a_file_that_may_not_grow_is_a_full_disk_until_it_may(tmp_path: Path) -> None:
    need_programs("prlimit")
    async with small(tmp_path, tmp_path, prefix=["prlimit", "--fsize=300000:unlimited"]) as on:
        taken = await on.produce_until_refused()
        assert await on.received(taken, "g") == list(range(taken))
        run("prlimit", f"--pid={on.broker.process.pid}", "--fsize=unlimited")
        assert await on.takes_again()
        assert await on.received(1, "g") == [taken]


async def test_a_disk_that_turns_read_only_is_refused_delivered_from_and_left(
    tmp_path: Path,
) -> None:
    with ext4(tmp_path / "disk.img", tmp_path / "disk") as disk:
        async with small(disk, tmp_path) as on:
            await on.client.produce("t", b"x", partition=0)
            run("mount", "-o", "remount,abort", str(disk))
            answer = await on.client.produce("t", b"y", partition=0)
            assert (answer.status, answer.code) == (503, "PARTITION_READ_ONLY")
            assert (await on.client.produce("new", b"y")).code == "UNAVAILABLE"
            assert await on.received(1, "g") == [0]
            assert (await on.client.request("GET", "/health")).status == 200
            assert await on.broker.terminate() != 1
            assert "Traceback" not in on.broker.stderr()


async def test_descriptors_that_run_out_stop_nothing_that_is_open(tmp_path: Path) -> None:
    need_programs("prlimit")
    async with small(tmp_path, tmp_path, prefix=["prlimit", "--nofile=50"]) as on:
        for partition in range(4):
            await on.client.produce("t", b"x", partition=partition)
        async with contextlib.AsyncExitStack() as streams, BrokerClient(on.broker.url) as crowd:
            await open_until_refused(streams, crowd)
            assert (await on.client.produce("t", b"y", partition=0)).status == 200
        assert await on.takes_again()
        assert await on.received(3, "after") == [0, 1, 2]
        assert on.broker.process.returncode is None


async def open_until_refused(streams: contextlib.AsyncExitStack, client: BrokerClient) -> None:
    """Open streams until the broker has no descriptor for one more."""
    for number in range(STREAMS):
        opening = client.consume("t", group=f"g{number}")
        try:
            found: Events = await streams.enter_async_context(opening)
        except GONE:
            return
        if found.status != 200:
            return
    raise AssertionError("descriptors never run out")
