"""A partition on a disk that loses what was not synced."""

import asyncio
import errno
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from broker.commit import Draft
from broker.group import Group
from broker.member import Farewell, Member
from broker.pace import Pace
from broker.partition import Partition
from broker.surroundings import Surroundings
from common.clock import Clock
from common.errors import DiskFull, Overloaded, TelemetryError, Unavailable
from common.journal.frame import TEXT
from tests.support.broker import broker_options
from tests.support.clock import ManualClock
from tests.support.files import Fault, MemoryFiles
from tests.support.waiting import until

DIRECTORY = Path("/data/topics/t/0")


@pytest.fixture
def disk() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def open_partition(
    files: MemoryFiles, disk: ThreadPoolExecutor, clock: Clock | None = None, **given: Any
) -> Partition:
    options, clock = broker_options(Path("/data"), **given), clock or ManualClock()
    shared = Surroundings(options, files, disk, clock, random.Random(1), lambda: "d1")
    return Partition("t", 0, DIRECTORY, shared)


async def produce(partition: Partition, body: bytes, durability: str = "fsync") -> int:
    return (await partition.produce(Draft(body, 1, TEXT), durability)).offset


def place(partition: Partition, group: str) -> Group:
    found = partition.groups.get(group)
    assert found is not None
    return found


async def bodies(partition: Partition) -> list[bytes]:
    found: list[bytes] = []
    while records := await partition.read(len(found), 1 << 20):
        found += [record.body for record in records]
    return found


async def test_what_was_answered_fsync_survives_a_power_cut(disk: ThreadPoolExecutor) -> None:
    files, sent = MemoryFiles(), [b"%d" % number for number in range(20)]
    partition = open_partition(files, disk)
    await asyncio.gather(*(produce(partition, body) for body in sent))
    files.crash()
    assert await bodies(open_partition(files, disk)) == sent


async def test_produces_that_wait_together_share_a_sync(disk: ThreadPoolExecutor) -> None:
    files = MemoryFiles()
    partition = open_partition(files, disk)
    await produce(partition, b"first")
    before = files.calls["sync"]
    await asyncio.gather(*(produce(partition, b"x") for _ in range(100)))
    assert files.calls["sync"] - before <= 2


@pytest.mark.parametrize("seed", range(20))
async def test_acknowledged_messages_survive_any_failing_disk(
    disk: ThreadPoolExecutor, seed: int
) -> None:
    chance, files = random.Random(seed), MemoryFiles()
    partition = open_partition(files, disk, segment_bytes=4096)
    operation = chance.choice(["write", "sync", "append_to", "sync_directory"])
    code = chance.choice([errno.EIO, errno.ENOSPC])
    files.fail(operation, code, at=chance.randint(1, 15), times=chance.randint(1, 3))
    taken: dict[int, bytes] = {}
    for number in range(30):
        body = b"%d" % number * chance.randint(1, 300)
        try:
            taken[await produce(partition, body)] = body
        except TelemetryError:
            continue
    files.crash(chance)
    found = dict(enumerate(await bodies(open_partition(files, disk, segment_bytes=4096))))
    assert found | taken == found


async def test_offsets_stay_without_gaps_when_a_write_is_refused(disk: ThreadPoolExecutor) -> None:
    files = MemoryFiles()
    partition = open_partition(files, disk)
    await produce(partition, b"first")
    files.fail("write", errno.ENOSPC)
    results = await asyncio.gather(
        *(produce(partition, b"%d" % n) for n in range(5)), return_exceptions=True
    )
    await produce(partition, b"last")
    kept = [result for result in results if isinstance(result, int)]
    assert kept == list(range(1, 1 + len(kept)))
    assert len(await bodies(partition)) == 2 + len(kept) == partition.end


async def test_a_new_place_at_the_end_survives_a_power_cut(disk: ThreadPoolExecutor) -> None:
    files = MemoryFiles()
    partition = open_partition(files, disk)
    await produce(partition, b"old")
    await partition.open_group("g", "latest")
    files.crash()
    assert place(open_partition(files, disk), "g").floor == 1


async def test_places_not_written_down_are_tried_again(disk: ThreadPoolExecutor) -> None:
    files = MemoryFiles()
    partition = open_partition(files, disk)
    files.fail("replace")
    await partition.open_group("g", "earliest")
    assert not open_partition(files, disk).groups
    await partition.groups.save()
    assert open_partition(files, disk).groups.get("g")


async def test_only_so_many_bytes_wait_for_the_disk(disk: ThreadPoolExecutor) -> None:
    partition = open_partition(MemoryFiles(), disk, pending_bytes=1000)
    waiting = [asyncio.ensure_future(produce(partition, b"x" * 300)) for _ in range(10)]
    results = await asyncio.gather(*waiting, return_exceptions=True)
    refused = [result for result in results if isinstance(result, Overloaded)]
    assert 0 < len(refused) < 10
    assert len(await bodies(partition)) == 10 - len(refused)


async def test_a_body_larger_than_what_may_wait_is_taken_alone(disk: ThreadPoolExecutor) -> None:
    partition = open_partition(MemoryFiles(), disk, pending_bytes=10)
    assert await produce(partition, b"x" * 1000) == 0


class SlowRemoval(MemoryFiles):
    """Unlinks only when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.removing, self.go_on = threading.Event(), threading.Event()

    def remove(self, path: Path) -> None:
        """See ``Files``."""
        self.removing.set()
        self.go_on.wait(10)
        super().remove(path)


async def test_the_log_is_not_written_to_while_it_is_trimmed(disk: ThreadPoolExecutor) -> None:
    files = SlowRemoval()
    partition = open_partition(files, disk, segment_bytes=4096, retention_seconds=0)
    for _ in range(3):
        await produce(partition, b"x" * 4000)
    await partition.seek("g", "latest")
    trimming = asyncio.create_task(partition.retire())
    await until(files.removing.is_set)
    producing = asyncio.create_task(produce(partition, b"x" * 4000))
    await asyncio.wait([producing], timeout=0.05)
    assert not producing.done()
    files.go_on.set()
    assert (await trimming, await producing) == (2, 3)
    assert open_partition(files, disk, segment_bytes=4096).end == 4


async def test_a_group_that_comes_while_files_go_begins_above_them(
    disk: ThreadPoolExecutor,
) -> None:
    files = SlowRemoval()
    partition = open_partition(files, disk, segment_bytes=4096, retention_seconds=0)
    for _ in range(3):
        await produce(partition, b"x" * 4000)
    await partition.seek("g", "latest")
    trimming = asyncio.create_task(partition.retire())
    await until(files.removing.is_set)
    group = await partition.open_group("new", "earliest")
    files.go_on.set()
    assert await trimming == 2
    assert group.floor == partition.first_offset == 2


async def test_a_group_that_comes_before_files_go_keeps_them(disk: ThreadPoolExecutor) -> None:
    files = MemoryFiles()
    partition = open_partition(files, disk, segment_bytes=4096, retention_seconds=0)
    for _ in range(3):
        await produce(partition, b"x" * 4000)
    await partition.seek("g", "latest")
    _, retired = await asyncio.gather(partition.open_group("new", "earliest"), partition.retire())
    assert (retired, place(partition, "new").floor, partition.first_offset) == (0, 0, 0)


async def test_files_that_could_not_be_removed_are_removed_the_next_time(
    disk: ThreadPoolExecutor,
) -> None:
    files = MemoryFiles()
    partition = open_partition(files, disk, segment_bytes=4096, retention_seconds=0)
    for _ in range(3):
        await produce(partition, b"x" * 4000)
    await partition.seek("g", "latest")
    files.fail("remove")
    with pytest.raises(OSError, match="Input/output"):
        await partition.retire()
    assert await partition.retire() == 2
    assert [path.name for path in files.snapshot() if path.suffix == ".seg"] == [f"{2:020d}.seg"]


async def test_what_was_retired_is_not_lost_after_a_crash(disk: ThreadPoolExecutor) -> None:
    files, clock = MemoryFiles(), ManualClock()
    partition = open_partition(files, disk, clock, segment_bytes=4096, retention_seconds=0)
    group = await partition.open_group("g", "earliest")
    for _ in range(3):
        await produce(partition, b"x" * 4000)
    lease = group.take(3, partition.end, clock.monotonic(), 30, Listener())
    assert lease is not None
    partition.settle(group, lease.delivery, 0, 2)
    assert await partition.retire() == 2
    files.crash()
    again = open_partition(files, disk, segment_bytes=4096)
    assert place(again, "g").counts(again.end)["lost"] == 0


@pytest.mark.parametrize(("code", "gone"), [(errno.EIO, 0), (errno.ENOSPC, 2)])
async def test_files_do_not_go_while_their_going_would_be_read_as_loss(
    disk: ThreadPoolExecutor, code: int, gone: int
) -> None:
    files, clock = MemoryFiles(), ManualClock()
    partition = open_partition(files, disk, clock, segment_bytes=4096, retention_seconds=0)
    group = await partition.open_group("g", "earliest")
    for _ in range(3):
        await produce(partition, b"x" * 4000)
    lease = group.take(3, partition.end, clock.monotonic(), 30, Listener())
    assert lease is not None
    partition.settle(group, lease.delivery, 0, 2)
    files.fail("sync", code)
    assert await partition.retire() == gone
    files.crash()
    again = open_partition(files, disk, segment_bytes=4096)
    assert place(again, "g").counts(again.end)["lost"] == 0


async def test_retention_stands_a_file_that_a_full_disk_left_empty(
    disk: ThreadPoolExecutor,
) -> None:
    files = MemoryFiles()
    partition = open_partition(files, disk, segment_bytes=4096, retention_seconds=0)
    for _ in range(3):
        await produce(partition, b"x" * 4000)
    files.fail("write", errno.ENOSPC, at=2)
    with pytest.raises(DiskFull):
        await produce(partition, b"x" * 4000)
    await partition.seek("g", "latest")
    assert await partition.retire() == 2
    assert await produce(partition, b"x") == 3


async def test_a_place_cut_by_one_crash_is_no_trap_after_the_next(
    disk: ThreadPoolExecutor,
) -> None:
    files = MemoryFiles()
    partition = open_partition(files, disk)
    await produce(partition, b"kept")
    await produce(partition, b"lost", "disk")
    await partition.open_group("g", "latest")
    files.crash()
    partition = open_partition(files, disk)
    await produce(partition, b"new")
    files.crash()
    assert place(open_partition(files, disk), "g").floor == 1


async def test_a_new_place_is_synced_although_a_checkpoint_wrote_it_first(
    disk: ThreadPoolExecutor,
) -> None:
    files = MemoryFiles()
    partition = open_partition(files, disk)
    await produce(partition, b"x")
    await partition.open_group("first", "earliest")
    opening = partition.open_group("new", "latest")
    await asyncio.gather(partition.open_group("other", "latest"), partition.groups.save(), opening)
    files.crash()
    assert place(open_partition(files, disk), "new").floor == 1


class Listener:
    """Holds messages, and waits for more."""

    group = "g"
    member = Member()

    def __init__(self) -> None:
        self.woken = self.in_flight = 0
        self.pace = Pace(1)

    def wake(self) -> None:
        """See ``broker.partition.Waker``."""
        self.woken += 1

    def dismiss(self, farewell: Farewell) -> None:
        """See ``broker.partition.Waker``."""

    def released(self, count: int) -> None:
        """See ``broker.lease.Holder``."""

    def answered(self, count: int, waited: float, left: float) -> None:
        """See ``broker.lease.Holder``."""

    def ran_out(self) -> None:
        """See ``broker.lease.Holder``."""


async def test_who_waits_hears_of_what_a_late_ack_found_expired(disk: ThreadPoolExecutor) -> None:
    clock, waiting = ManualClock(), Listener()
    partition = open_partition(MemoryFiles(), disk, clock)
    await produce(partition, b"x")
    group = await partition.open_group("g", "earliest")
    lease = group.take(1, partition.end, clock.monotonic(), 30, Listener())
    assert lease is not None
    partition.watch(waiting)
    clock.advance(31)  # the late ack comes before the chore that looks for it
    assert partition.settle(group, lease.delivery, 0, 0) == (0, 0)
    assert waiting.woken == 1


async def test_a_full_disk_is_told_to_those_who_need_only_memory(disk: ThreadPoolExecutor) -> None:
    files = MemoryFiles()
    partition = open_partition(files, disk)
    files.fail("write", errno.ENOSPC, times=2)
    with pytest.raises(TelemetryError):
        await produce(partition, b"first")
    with pytest.raises(TelemetryError):
        await produce(partition, b"second", "memory")
    assert await produce(partition, b"third", "memory") == 0


class HangingFiles(MemoryFiles):
    """A disk whose writes wait while ``awake`` is clear."""

    def __init__(self) -> None:
        super().__init__()
        self.awake = threading.Event()
        self.awake.set()

    def note(self, operation: str) -> Fault | None:
        """See ``MemoryFiles``."""
        if operation == "write":
            self.awake.wait()
        return super().note(operation)


async def test_nobody_waits_for_ever_for_a_disk_that_hangs(disk: ThreadPoolExecutor) -> None:
    files, clock = HangingFiles(), ManualClock()
    partition = open_partition(files, disk, clock, disk_timeout_seconds=30.0)
    await produce(partition, b"before")
    files.awake.clear()
    written = asyncio.create_task(produce(partition, b"on its way"))
    await asyncio.sleep(0)
    waiting = asyncio.create_task(produce(partition, b"not begun"))
    await asyncio.sleep(0)
    clock.advance(29)
    partition.look_at_disk()
    assert not written.done()
    clock.advance(1)
    partition.look_at_disk()
    for task, words in ((written, "may have been stored"), (waiting, "nothing was stored")):
        with pytest.raises(Unavailable, match=words):
            await task
    with pytest.raises(Unavailable, match="nothing was stored"):
        await produce(partition, b"refused at once")
    files.awake.set()
    await until(lambda: partition.end == 2)
    assert await produce(partition, b"after") == 2
    assert await bodies(partition) == [b"before", b"on its way", b"after"]


class Silent(ThreadPoolExecutor):
    """Does its work, and says so only once ``told`` is set; then ``done`` was set before."""

    def __init__(self) -> None:
        super().__init__(1)
        self.done, self.told = threading.Event(), threading.Event()
        self.told.set()

    def submit(self, work: Any, /, *given: Any, **named: Any) -> Any:
        def whole() -> Any:
            result = work(*given, **named)
            self.done.set()
            assert self.told.wait(10)
            return result

        return super().submit(whole)


async def test_what_the_disk_has_counts_once_the_event_loop_has_heard_of_it() -> None:
    with Silent() as disk:
        partition = open_partition(MemoryFiles(), disk)
        await produce(partition, b"first")
        group = await partition.open_group("g", "earliest")
        disk.told.clear()
        disk.done.clear()
        storing = asyncio.create_task(produce(partition, b"second"))
        await until(disk.done.is_set)
        counted = partition.end, group.counts(partition.end)["ready"], partition.depth
        disk.told.set()
        assert await storing == 1
        assert counted == (1, 1, 1)
        assert (partition.end, group.counts(partition.end)["ready"], partition.depth) == (2, 2, 2)
