"""Killed at any moment and started again: no row is missing, and none is there twice."""

import asyncio
import errno
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from common.lifecycle import Lifecycle
from common.queue.base import Produced
from streamer.checkpoint import FileKeeper
from streamer.place import Place
from streamer.service import StreamerService
from streamer.sources.base import SourceError
from streamer.timing import Decision
from tests.streamer.fakes import FakeClock, Recorder, options, row, write_file
from tests.support.files import Fault, MemoryFiles
from tests.support.waiting import until

GPUS = ("GPU-a", "GPU-b", "GPU-c")
METRICS = ("power", "util")
SECONDS = 40
POINTS = SECONDS * len(GPUS) * len(METRICS)

STEP_SECONDS = 0.02
LIMIT_SECONDS = 30.0

Point = tuple[str, str, int]


class Dying(Recorder):
    """Takes so many sends, and then hangs: the process is killed while they are under way."""

    def __init__(self, most: int) -> None:
        super().__init__(partitions=2)
        self.hangs = asyncio.Event()
        self._most = most

    async def send(
        self, topic: str, partition: int, payloads: Sequence[bytes], idempotency_key: str = ""
    ) -> Produced:
        if len(self.sends) >= self._most:
            self.hangs.set()
            await asyncio.Event().wait()
        return await super().send(topic, partition, payloads, idempotency_key)

    @property
    def points(self) -> list[Point]:
        return [
            (sample.gpu.id, metric, sample.timestamp)
            for sample in self.samples
            for metric in sample.metrics
        ]

    @property
    def keys(self) -> dict[str, str]:
        """Batch id to idempotency key."""
        ids = [batch.batch_id for batch in self.batches]
        keys = [key for _, payloads, key in self.sends for _ in payloads]
        return dict(zip(ids, keys, strict=True))


def fleet(tmp_path: Path) -> Path:
    stamps = [f"2025-07-18T20:{n // 60:02d}:{n % 60:02d}Z" for n in range(SECONDS)]
    rows = [row(u, m, stamp=stamp) for stamp in stamps for m in METRICS for u in GPUS]
    return write_file(tmp_path / "fleet.csv", *rows)


async def live(queue: Dying, clock: FakeClock, csv: Path, **given: Any) -> StreamerService:
    """One life of a streamer, which ends as kill -9 would end it, unless it finishes."""
    table = {"batch_size": 4, "checkpoint_interval_seconds": 0.01, "buffer_batches": 2} | given
    lifecycle = Lifecycle()
    path = csv.with_name("checkpoint")
    service = StreamerService(
        options(csv_path=csv, checkpoint_file=path, **table), lifecycle, queue, clock
    )
    await service.start()
    async with asyncio.timeout(LIMIT_SECONDS):
        while not (queue.hangs.is_set() or service.stats()["finished"]):
            assert not lifecycle.stopping.is_set(), lifecycle.problems
            await clock.advance(STEP_SECONDS)
            await asyncio.sleep(0.0005)
    await lifecycle.cancel_tasks()
    await service.feed.source.close()
    return service


@pytest.mark.parametrize("mode", ["keep", "now", "shift"])
@pytest.mark.parametrize("seed", range(6))
async def test_killed_again_and_again_each_point_is_sent_and_is_one_point(
    tmp_path: Path, mode: str, seed: int
) -> None:
    chance, clock, csv = random.Random(seed), FakeClock(manual=True), fleet(tmp_path)
    lives: list[Dying] = []
    finished = False
    while not finished:
        lives.append(Dying(chance.randrange(1, 12)))
        service = await live(lives[-1], clock, csv, event_time=mode, rate=200.0)
        finished = service.stats()["finished"]
        clock.now += chance.random()
    assert len(lives) > 2  # no life could send the whole file: each went on
    points = [point for queue in lives for point in queue.points]
    assert len(set(points)) == POINTS
    keys: dict[str, str] = {}
    for queue in lives:
        for batch_id, key in queue.keys.items():
            assert keys.setdefault(batch_id, key) == key
    contents: dict[str, Any] = {}
    for queue in lives:
        for batch in queue.batches:
            assert contents.setdefault(batch.batch_id, batch.samples) == batch.samples


async def test_what_is_sent_again_has_the_keys_it_had(tmp_path: Path) -> None:
    csv, clock = fleet(tmp_path), FakeClock(manual=True)  # no linger cuts a batch short
    first, second = Dying(9), Dying(1000)
    await live(first, clock, csv, checkpoint_interval_seconds=3600.0)
    await live(second, clock, csv)
    known = set(first.keys.values())
    assert len(known & set(second.keys.values())) == len(known)


async def test_a_clean_stop_is_gone_on_from_without_a_repeat(tmp_path: Path) -> None:
    csv, clock = fleet(tmp_path), FakeClock(manual=True)
    queues = [Dying(1000), Dying(1000)]
    lifecycle = Lifecycle()
    table = options(csv_path=csv, checkpoint_file=tmp_path / "checkpoint", rate=50.0)
    service = StreamerService(table, lifecycle, queues[0], clock)
    await service.start()
    while len(queues[0].sends) < 3:
        await clock.advance(STEP_SECONDS)
        await asyncio.sleep(0.0005)
    lifecycle.stop()
    await service.stop()
    await live(queues[1], clock, csv, batch_size=100)
    points = queues[0].points + queues[1].points
    assert len(points) == len(set(points)) == POINTS
    assert queues[0].points


async def test_what_is_finished_is_not_sent_again(tmp_path: Path) -> None:
    csv, clock = fleet(tmp_path), FakeClock(manual=True)
    await live(Dying(1000), clock, csv, event_time="shift")
    again = Dying(1000)
    service = await live(again, clock, csv, event_time="shift")
    assert again.sends == []
    assert service.stats()["finished"]


async def test_a_loop_goes_on_in_its_pass(tmp_path: Path) -> None:
    csv, clock = fleet(tmp_path), FakeClock(manual=True)
    lives = [Dying(200), Dying(20)]  # a pass is 30 batches or a few more
    for queue in lives:
        await live(queue, clock, csv, event_time="shift", loop=True, rate=200.0)
    passes = [[int(b.batch_id.split("/")[2]) for b in queue.batches] for queue in lives]
    assert passes[0][0] == 0
    assert passes[1][0] >= 1
    known = {batch.batch_id: batch.samples for batch in lives[0].batches}
    again = [batch for batch in lives[1].batches if batch.batch_id in known]
    assert all(known[batch.batch_id] == batch.samples for batch in again)


@pytest.mark.parametrize(
    "changed", [{"hostname_list": "host-0"}, {"event_time": "now"}, {"csv_timezone": "local"}]
)
async def test_other_options_begin_anew(tmp_path: Path, changed: dict[str, Any]) -> None:
    csv, clock = fleet(tmp_path), FakeClock(manual=True)
    first, second = Dying(5), Dying(1000)
    await live(first, clock, csv)
    await live(second, clock, csv, **changed)
    assert len(second.points) == POINTS
    assert not first.keys.keys() & second.keys.keys()


async def test_a_followed_file_goes_on_where_it_was_and_after_a_loss_with_what_is_there(
    tmp_path: Path,
) -> None:
    csv, clock = fleet(tmp_path), FakeClock(manual=True)
    queues = [Dying(1000), Dying(1000), Dying(1000)]
    text = csv.read_bytes()
    lines = text.splitlines(keepends=True)
    csv.write_bytes(b"".join(lines[:121]))
    await follow(queues[0], clock, csv)
    with csv.open("ab") as file:
        file.write(b"".join(lines[121:]))
    await follow(queues[1], clock, csv)
    points = queues[0].points + queues[1].points
    assert len(points) == len(set(points)) >= POINTS - len(GPUS) * len(METRICS)
    csv.unlink()
    csv.write_bytes(text.replace(b"2025-07-18", b"2025-07-19"))
    await follow(queues[2], clock, csv)
    ids = [set(queue.keys) for queue in queues]
    assert not ids[0] & ids[1]
    assert not (ids[0] | ids[1]) & ids[2]


async def follow(queue: Dying, clock: FakeClock, csv: Path) -> None:
    """Follow a file until nothing more comes, then stop cleanly."""
    lifecycle = Lifecycle()
    table = options(csv_path=csv, checkpoint_file=csv.with_name("checkpoint"), follow=True)
    service = StreamerService(table, lifecycle, queue, clock)
    await service.start()
    quiet, before = 0, 0
    while quiet < 100:
        assert not lifecycle.stopping.is_set(), lifecycle.problems
        await clock.advance(STEP_SECONDS)
        await asyncio.sleep(0.001)
        quiet = quiet + 1 if len(queue.points) == before and before else 0
        before = len(queue.points)
    lifecycle.stop()
    await service.stop()


async def test_a_damaged_file_is_as_none(tmp_path: Path) -> None:
    csv, clock = fleet(tmp_path), FakeClock(manual=True)
    await live(Dying(9), clock, csv, rate=200.0)
    path = tmp_path / "checkpoint"
    path.write_bytes(path.read_bytes()[:-20])
    queue = Dying(1000)
    await live(queue, clock, csv)
    assert len(queue.points) == POINTS


async def test_a_place_that_cannot_be_kept_ends_the_start(tmp_path: Path) -> None:
    keeper = FileKeeper(tmp_path / "no" / "such" / "file", 1.0, FakeClock(manual=True), {})
    with pytest.raises(SourceError, match="CHECKPOINT_FILE"):
        await keeper.load("content", "run")


async def test_a_disk_that_fails_is_waited_for_and_said(tmp_path: Path) -> None:
    files, problems, clock = MemoryFiles(), dict[str, str](), FakeClock(manual=True)
    files.names(tmp_path)
    files.faults = [Fault("sync", errno.ENOSPC, at=1, times=2)]
    keeper = FileKeeper(tmp_path / "checkpoint", 1.0, clock, problems, files)
    assert await keeper.load("content", "run") is None
    noting = asyncio.create_task(keeper.note(Decision(0, 0, 5)))
    await until(lambda: "checkpoint" in problems)
    assert not noting.done()
    while not noting.done():
        await clock.advance(5.0)
        await asyncio.sleep(0)
    assert problems == {}
    again = FileKeeper(tmp_path / "checkpoint", 1.0, clock, problems, files)
    assert await again.load("content", "other") == Place(
        content="content", run="run", decisions=[Decision(0, 0, 5)]
    )


class Confirming:
    """What a keeper wants to know of a publisher; ``late`` lets its first question be answered."""

    positions = gathered = (0,)

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.late = asyncio.Event()

    async def until_confirmed(self, gathered: Sequence[int]) -> None:
        if not self.asked.is_set():
            self.asked.set()
            await self.late.wait()


async def test_a_place_that_comes_behind_the_last_one_is_no_failure() -> None:
    files, path, publisher = MemoryFiles(), Path("/checkpoint"), Confirming()
    keeper = FileKeeper(path, 0.01, FakeClock(), {}, files)
    await keeper.load("content", "run")
    keeper.attach(publisher)  # type: ignore[arg-type]
    keeping = asyncio.create_task(keeper.keep_for_ever())
    keeper.offer(1, {})
    await publisher.asked.wait()
    await keeper.close(2, {}, finished=False)
    kept = files.content(path)
    publisher.late.set()
    for _ in range(10):
        await asyncio.sleep(0)
    assert not keeping.done()
    assert files.content(path) == kept
    keeping.cancel()
