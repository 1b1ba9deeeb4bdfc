"""What the options of delivery do: pauses of the queue, collecting, workers, hosts, durations."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from pydantic import ValidationError

from common.errors import PartitionFull
from common.queue.base import Produced
from tests.streamer.fakes import Blocked, FakeClock, Recorder, options, row, settle, write_file
from tests.streamer.test_app import streamer

HOUR = 3600.0
RETRY_AFTER = 5.0
GPUS = 40
BUFFER_BYTES = 1 << 16


def long_file(tmp_path: Path, seconds: int, hosts: int = 4) -> Path:
    """``GPUS`` rows a second, so that each row but its last is a sample when it is read."""
    rows = [
        row(
            f"GPU-{n}", host=f"host-{n % hosts}", stamp=f"2025-07-18T20:{s // 60:02d}:{s % 60:02d}Z"
        )
        for s in range(seconds)
        for n in range(GPUS)
    ]
    return write_file(tmp_path / "long.csv", *rows)


class Away(Recorder):
    """Refuses for an hour, and says when to come again."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(partitions=4)
        self.asked: list[tuple[int, float, str]] = []
        self._clock = clock

    async def send(
        self, topic: str, partition: int, payloads: Sequence[bytes], idempotency_key: str = ""
    ) -> Produced:
        self.asked.append((partition, self._clock.now, idempotency_key))
        if self._clock.now < HOUR:
            raise PartitionFull("full", retry_after_seconds=RETRY_AFTER)
        return await super().send(topic, partition, payloads, idempotency_key)


async def test_an_hour_without_the_queue_costs_bounded_memory_and_no_row(tmp_path: Path) -> None:
    clock = FakeClock(manual=True)
    queue, csv = Away(clock), long_file(tmp_path, 300)
    async with streamer(
        queue, clock, csv_path=csv, buffer_bytes=BUFFER_BYTES, batch_size=10
    ) as run:
        await run.until(lambda: run.service.retry.retries >= 1)
        held = 0
        while clock.now < HOUR - 1:
            await clock.advance(1.0)
            if run.service.publisher is not None:
                held = max(held, run.service.publisher.buffered_bytes)
        largest = max(map(len, (p for _, some, _ in queue.sends for p in some)), default=4096)
        assert 0 < held <= BUFFER_BYTES + 4 * max(largest, 4096)
        assert queue.sends == []
        assert (await run.get("/ready"))[0] == 503
        published = run.service.stats()
        assert published["points_published"] == 0
        assert 0 < published["lag_points"] < 300 * GPUS
        async with asyncio.timeout(30):
            while not run.service.stats()["finished"]:
                await clock.advance(1.0)
                await asyncio.sleep(0)
        assert (await run.get("/ready"))[0] == 200
    assert len(queue.samples) == len({(s.gpu.id, s.timestamp) for s in queue.samples})
    assert len(queue.samples) == 300 * GPUS
    for partition in range(4):
        tries = [(at, key) for number, at, key in queue.asked if number == partition and at < HOUR]
        gaps = [b - a for (a, _), (b, _) in pairwise(tries)]
        assert min(gaps) >= RETRY_AFTER
        assert len({key for _, key in tries}) == 1


async def test_collecting_publishes_one_batch_a_partition_each_interval(tmp_path: Path) -> None:
    clock, queue = FakeClock(manual=True), Recorder(partitions=2)
    async with streamer(
        queue,
        clock,
        generate_gpus=16,
        collect_interval_seconds=5.0,
        batch_size=1,
    ) as run:
        await run.until(lambda: run.service.publisher is not None)
        for _ in range(44):
            await clock.advance(0.25)
    sizes = [(partition, len(some)) for partition, some, _ in queue.sends]
    assert {size for _, size in sizes} == {1}
    assert Counter(partition for partition, _ in sizes) == {0: 3, 1: 3}  # the last at the stop
    first = [len(batch.samples) for batch in queue.batches[:2]]
    assert sum(first) in (16 * 4, 16 * 5)  # what five seconds bring


async def test_workers_bound_the_sends_and_copy_nothing(tmp_path: Path) -> None:
    queue = Blocked(partitions=8)
    async with streamer(
        queue, csv_path=long_file(tmp_path, 3), batch_size=1, workers=3, exit_when_done=True
    ) as run:
        await run.until(lambda: queue.in_flight == 3)
        await settle()
        queue.gate.set()
        await run.until(run.lifecycle.stopping.is_set)
    assert queue.most_in_flight == 3
    assert len(queue.samples) == 3 * GPUS


async def test_only_listed_hosts_are_sent_and_the_rest_is_counted(tmp_path: Path) -> None:
    queue = Recorder()
    async with streamer(
        queue,
        csv_path=long_file(tmp_path, 5),
        hostname_list="host-1,host-3",
        exit_when_done=True,
    ) as run:
        await run.until(run.lifecycle.stopping.is_set)
        stats = run.service.stats()
    assert {sample.gpu.hostname for sample in queue.samples} == {"host-1", "host-3"}
    assert stats["points"] + stats["points_left_out"] == stats["rows_read"] == 5 * GPUS


async def test_a_duration_ends_the_reading_and_publishes_what_was_read(tmp_path: Path) -> None:
    clock, queue = FakeClock(manual=True), Recorder()
    async with streamer(
        queue,
        clock,
        csv_path=long_file(tmp_path, 60),
        rate=100.0,
        duration_seconds=6.0,
        exit_when_done=True,
    ) as run:
        async with asyncio.timeout(30):
            while not run.lifecycle.stopping.is_set():
                await clock.advance(0.05)
                await asyncio.sleep(0.001)
        stats = run.service.stats()
    assert run.lifecycle.exit_code == 0
    assert stats["points_published"] == stats["points"]
    assert 400 <= stats["points"] <= 700


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"rate": 1, "csv_delay_ms": 1}, "RATE or CSV_DELAY_MS"),
        ({"workers": -1}, "workers"),
        ({"shard_index": "streamer"}, "pod name"),
        ({"nvml": True}, "exactly one"),
        ({"scrape_targets": "a:1"}, "exactly one"),
    ],
)
def test_nonsense_is_refused_by_name(given: dict[str, object], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        options(generate_gpus=1, **given)
