"""From the queue to the store: never acked before spooled, nothing lost, nothing twice."""

import asyncio
import errno
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from collector.acker import Acker
from collector.intake import Intake
from collector.leases import Leases
from collector.letters import Letters
from collector.spool import OWNER, Entry, Spool, Spooled
from collector.writer import MOST_BATCHES
from common.journal.files import DiskFiles
from common.journal.frame import LINES, Record
from common.journal.journal import Journal
from common.lifecycle import Lifecycle
from common.models import MAX_LABELS, Gpu, Sample
from common.queue.base import Delivery
from common.storage.base import Store
from common.storage.sqlite.store import SqliteStore
from tests.collector.conftest import Start
from tests.collector.fakes import (
    T0,
    FakeQueue,
    FakeStore,
    HastyClock,
    delivery,
    message,
    sample,
)
from tests.support.files import MemoryFiles
from tests.support.proxy import until


def receipts(*numbers: int) -> list[str]:
    return [delivery(number).receipt for number in numbers]


def big(number: int) -> Delivery:
    """A delivery of about 60 KB."""
    labels = {"x" * 400 + str(n): "x" * 500 for n in range(64)}
    gpu = Gpu(uuid="GPU-a", labels=labels)
    return delivery(number, message(Sample(gpu, T0 + number, {"power": 1.0})))


async def test_what_is_delivered_is_acked_and_stored(start: Start) -> None:
    queue, store = FakeQueue(), FakeStore()
    async with start(queue, store) as pipeline:
        queue.put(*(delivery(number) for number in range(50)))
        await until(lambda: len(store.stored) == 50 and len(queue.acked) == 50)
        await until(lambda: pipeline.stats()["spool_messages"] == 0)
        stats = pipeline.stats()
    assert queue.acked == receipts(*range(50))
    assert (stats["messages_processed"], stats["telemetry_new"]) == (50, 50)
    assert queue.closed


async def test_points_are_written_in_batches(start: Start) -> None:
    queue, store = FakeQueue(), FakeStore()
    store.here.clear()
    async with start(queue, store, batch_points=10):
        queue.put(*(delivery(number) for number in range(300)))
        await until(lambda: len(queue.acked) == 300)
        store.here.set()
        await until(lambda: len(store.stored) == 300)
    assert max(store.writes) == 10 * MOST_BATCHES


async def test_a_store_that_fails_gets_everything_again(start: Start) -> None:
    queue, store = FakeQueue(), FakeStore()
    store.failures = 5
    async with start(queue, store) as pipeline:
        queue.put(*(delivery(number) for number in range(10)))
        await until(lambda: len(store.stored) == 10)
        await until(lambda: pipeline.stats()["store_problem"] == "")
        assert pipeline.stats()["store_failures"] == 5


async def test_a_store_that_is_away_stops_consumption_and_not_for_ever(start: Start) -> None:
    queue, store = FakeQueue(), FakeStore()
    store.here.clear()
    async with start(queue, store, spool_bytes=1 << 20, spool_segment_bytes=1 << 16) as pipeline:
        queue.put(*(big(number) for number in range(100)))
        await until(lambda: pipeline.stats()["spool_bytes"] > 1 << 20)
        await until(lambda: queue.taken > len(queue.acked))
        assert len(queue.acked) < 100
        assert pipeline.stats()["spool_bytes"] < 6 << 20
        store.here.set()
        await until(lambda: len(store.stored) == 100 and len(queue.acked) == 100)


async def test_a_spool_of_one_file_gets_room_again(start: Start) -> None:
    queue, store = FakeQueue(), FakeStore()
    async with start(queue, store, spool_bytes=1 << 20, spool_segment_bytes=16 << 20):
        queue.put(*(big(number) for number in range(60)))
        await until(lambda: len(store.stored) == 60 and len(queue.acked) == 60)


async def test_what_does_not_fit_into_memory_comes_from_disk(start: Start) -> None:
    queue, store = FakeQueue(), FakeStore()
    store.here.clear()
    async with start(queue, store, spool_memory_points=3):
        queue.put(*(delivery(number) for number in range(200)))
        await until(lambda: len(queue.acked) == 200)
        store.here.set()
        await until(lambda: len(store.stored) == 200)
    order = [at for event, given in store.events if event == "store" for at in given]
    assert [*dict.fromkeys(order)] == [*range(200)]  # a few are written twice, to try the store


async def test_a_restart_writes_what_the_spool_holds(start: Start) -> None:
    queue, away, store = FakeQueue(), FakeStore(), FakeStore()
    away.here.clear()
    async with start(queue, away):
        queue.put(*(delivery(number) for number in range(20)))
        await until(lambda: len(queue.acked) == 20)
    async with start(FakeQueue(), store) as pipeline:
        await until(lambda: len(store.stored) == 20)
        await until(lambda: pipeline.stats()["spool_messages"] == 0)
    async with start(FakeQueue(), FakeStore()) as pipeline:
        assert pipeline.stats()["spool_messages"] == 0


async def test_a_message_over_several_lines_survives_a_restart(start: Start) -> None:
    queue, away, store = FakeQueue(), FakeStore(), FakeStore()
    away.here.clear()
    payload = message(sample(1), sample(2)).replace(b",", b",\n")
    async with start(queue, away):
        queue.put(delivery(0, payload, payload), delivery(3))
        await until(lambda: len(queue.acked) == 2)
    async with start(FakeQueue(), store):
        await until(lambda: sorted(store.stored) == [1, 2, 3])


async def test_a_redelivery_is_stored_once(start: Start, tmp_path: Path) -> None:
    queue, store = FakeQueue(), SqliteStore(tmp_path / "points.sqlite")
    async with start(queue, store) as pipeline:
        queue.put(*(delivery(number) for number in range(10)))
        queue.put(*(delivery(number) for number in range(10)))
        await until(lambda: pipeline.stats()["telemetry_stored"] == 20)
        assert pipeline.stats()["telemetry_new"] == 10
        assert store.stats().points == 10


async def test_a_restart_before_the_place_was_written_stores_once(
    start: Start, tmp_path: Path
) -> None:
    class Forgetful(Spool):
        def written(self, end: int) -> None:
            """As if the process had been killed before."""

    path, queue = tmp_path / "points.sqlite", FakeQueue()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("collector.pipeline.Spool", Forgetful)
        async with start(queue, SqliteStore(path)) as pipeline:
            queue.put(*(delivery(number) for number in range(10)))
            await until(lambda: pipeline.stats()["telemetry_stored"] == 10)
    store = SqliteStore(path)
    async with start(FakeQueue(), store) as pipeline:
        await until(lambda: pipeline.stats()["telemetry_stored"] == 10)
        assert pipeline.stats()["telemetry_new"] == 0
        assert store.stats().points == 10


class NotingSpool(Spool):
    """Notes when what it was given is on the disk."""

    events: list[Any]

    def append(self, entries: Sequence[Entry], now_ms: int) -> list[Spooled]:
        spooled = super().append(entries, now_ms)
        self.events += [("spool", at) for entry in entries for at in taken(entry)]
        return spooled


def taken(entry: Entry) -> list[str]:
    return receipts(*(each.timestamp - sample(0).timestamp for each in entry.samples))


class Desk:
    """An intake over files in memory, with one list of what happened."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.files = MemoryFiles()
        self.queue = FakeQueue(self.events)
        self.lifecycle = Lifecycle()
        self.disk = ThreadPoolExecutor(1)
        clock = HastyClock()
        acker = Acker(self.queue, clock)
        spool = NotingSpool(Path("/spool"), 1 << 20, 100, self.files)
        spool.events = self.events
        letters = Letters(self.queue, clock)
        leases = Leases(self.queue, clock, wanted=False)
        intake = Intake(acker, spool, letters, leases, self.disk, clock, 1 << 20, 32)
        self.lifecycle.spawn("receive", intake.receive(self.queue))
        self.lifecycle.spawn("spool", intake.spool())
        self.lifecycle.spawn("ack", acker.run())

    def acked(self) -> list[str]:
        return [receipt for event, given in self.events if event == "ack" for receipt in given]


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk()
    yield desk
    await desk.lifecycle.cancel_tasks()
    desk.disk.shutdown()


async def test_nothing_is_acked_before_it_is_spooled(desk: Desk) -> None:
    for number in range(100):
        desk.queue.put(delivery(number))
        if number % 7 == 0:
            await asyncio.sleep(0)
    await until(lambda: len(desk.acked()) == 100)
    spooled: set[str] = set()
    for event, given in desk.events:
        if event == "spool":
            spooled.add(given)
        else:
            assert spooled.issuperset(given)


async def test_a_spool_on_a_full_disk_acks_nothing_and_goes_on(desk: Desk) -> None:
    desk.files.fail("write", errno.ENOSPC, at=3, times=50, short=20)
    desk.queue.put(delivery(0))
    await until(lambda: len(desk.acked()) == 1)
    desk.queue.put(delivery(1))
    await until(lambda: desk.files.calls["write"] >= 5)
    assert desk.acked() == receipts(0)
    await until(lambda: desk.acked() == receipts(0, 1))


async def test_a_spool_that_lost_the_disk_acks_no_more_and_says_so(desk: Desk) -> None:
    desk.files.fail("sync", errno.EIO, at=3)
    desk.queue.put(delivery(0))
    await until(lambda: len(desk.acked()) == 1)
    desk.queue.put(delivery(1))
    await until(lambda: "spool" in desk.lifecycle.problems)
    assert desk.acked() == receipts(0)


async def test_a_pipeline_opens_what_an_older_one_left(start: Start, tmp_path: Path) -> None:
    directory = tmp_path / "collector" / "spool"
    directory.mkdir(parents=True)
    journal = Journal(directory, OWNER, 4096, DiskFiles())
    labels = {str(number): "" for number in range(MAX_LABELS + 1)}  # too many by now
    older = Sample(Gpu(uuid="GPU-a", labels=labels), sample(7).timestamp, {"power": 1.0})
    journal.append([Record(0, 1, 0, LINES, b"", message(older))], sync=True)
    journal.close()
    store: Store = FakeStore()  # type: ignore[assignment] # only its writing side is asked
    async with start(FakeQueue(), store):
        await until(lambda: 7 in store.stored)  # type: ignore[attr-defined]
