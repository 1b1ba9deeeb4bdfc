"""Samples to the queue: routed by GPU, batched, in order, none skipped, memory bounded."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from common.errors import InvalidRequest
from common.queue.base import Producer
from common.retry import LAST_SECONDS
from common.wire import partition_for
from streamer.lane import MAX_BATCHES_PER_SEND, Outlet
from streamer.publish import Publisher
from streamer.retry import Retry
from tests.streamer.fakes import Blocked, FakeClock, Flaky, Recorder, sample, settle


@asynccontextmanager
async def publishing(
    producer: Producer,
    partitions: int = 1,
    batch_size: int = 2,
    buffer_batches: int = 4,
    clock: FakeClock | None = None,
    problems: dict[str, str] | None = None,
) -> AsyncIterator[Publisher]:
    clock = clock or FakeClock()
    outlet = Outlet(producer, "t", partitions, "s-0", "file", batch_size, 1.0, buffer_batches)
    retry = Retry(clock, random.Random(1), {} if problems is None else problems)
    publisher = Publisher(outlet, clock, retry)
    lanes = [asyncio.create_task(lane.send_for_ever()) for lane in publisher.lanes]
    try:
        yield publisher
    finally:
        for lane in lanes:
            lane.cancel()
        await asyncio.gather(*lanes, return_exceptions=True)


async def publish_all(publisher: Publisher, count: int) -> None:
    await publisher.publish([sample("GPU-a", n) for n in range(count)])
    await publisher.flush()
    await publisher.drained()


async def test_a_gpu_keeps_its_partition_and_its_order() -> None:
    queue = Recorder(partitions=3)
    async with publishing(queue, partitions=3) as publisher:
        gpus = [f"GPU-{n}" for n in range(9)]
        await publisher.publish([sample(gpu, at) for at in range(5) for gpu in gpus])
        await publisher.flush()
        await publisher.drained()
    for gpu in gpus:
        own = [s.timestamp for s in queue.samples if s.gpu.uuid == gpu]
        assert own == sorted(own)
        assert len(own) == 5
    assert {partition_for(s.gpu.id, 3) for s in queue.samples} == {n for n, _, _ in queue.sends}


async def test_batches_hold_batch_size_samples_and_the_rest_comes_with_a_flush() -> None:
    queue = Recorder()
    async with publishing(queue) as publisher:
        await publish_all(publisher, 5)
        assert publisher.points_published == 5
    assert [len(batch.samples) for batch in queue.batches] == [2, 2, 1]
    assert [batch.batch_id for batch in queue.batches] == [
        "s-0/file/0/0-of-1/0-1",
        "s-0/file/0/0-of-1/2-3",
        "s-0/file/0/0-of-1/4-4",
    ]


async def test_the_same_samples_have_the_same_ids_after_a_restart_and_others_in_a_new_pass() -> (
    None
):
    ids = []
    for number in (0, 0, 1):
        queue = Recorder()
        async with publishing(queue) as publisher:
            publisher.begin_pass(number)
            await publish_all(publisher, 4)
        ids.append([batch.batch_id for batch in queue.batches])
    assert ids[0] == ids[1]
    assert not set(ids[0]) & set(ids[2])


async def test_waiting_batches_share_a_send_with_one_in_flight() -> None:
    queue = Blocked()
    async with publishing(queue, batch_size=1, buffer_batches=500) as publisher:
        await publisher.publish([sample("GPU-a", n) for n in range(200)])
        await settle()
        queue.gate.set()
        await publisher.drained()
    assert queue.most_in_flight == 1
    assert max(len(payloads) for _, payloads, _ in queue.sends) == MAX_BATCHES_PER_SEND
    assert [s.timestamp for s in queue.samples] == sorted(s.timestamp for s in queue.samples)


async def test_a_full_buffer_holds_the_source_back() -> None:
    queue = Blocked()
    async with publishing(queue, batch_size=1, buffer_batches=3) as publisher:
        feeding = asyncio.create_task(publish_all(publisher, 50))
        await settle()
        assert publisher.buffered_batches == 3
        assert not feeding.done()
        queue.gate.set()
        await feeding
    assert len(queue.samples) == 50


async def test_a_queue_that_is_away_is_asked_again_with_the_same_key_until_it_takes() -> None:
    queue, clock, problems = Flaky(failures=30), FakeClock(), dict[str, str]()
    async with publishing(queue, clock=clock, problems=problems) as publisher:
        await publish_all(publisher, 2)
    assert len(queue.samples) == 2
    assert len(queue.keys) == 31
    assert len(set(queue.keys)) == 1
    assert all(2.0 <= wait <= LAST_SECONDS for wait in clock.slept)
    assert len(set(clock.slept)) > 1
    assert problems == {}


async def test_what_the_queue_will_never_take_ends_the_lane() -> None:
    queue = Flaky(failures=9, error=InvalidRequest("no"))
    async with publishing(queue) as publisher:
        await publisher.publish([sample("GPU-a", n) for n in range(2)])
        with pytest.raises(InvalidRequest):
            await publisher.lanes[0].send_for_ever()


async def test_a_partial_batch_waits_no_longer_than_the_linger() -> None:
    queue, clock = Recorder(), FakeClock(manual=True)
    async with publishing(queue, clock=clock, batch_size=100) as publisher:
        linger = asyncio.create_task(publisher.flush_lingering())
        await settle()
        await publisher.publish([sample("GPU-a")])
        await clock.advance(0.25)
        assert queue.samples == []
        for _ in range(3):
            await clock.advance(0.25)
        assert len(queue.samples) == 1
        linger.cancel()


@pytest.mark.parametrize("partitions", [1, 7])
def test_routing_is_stable_and_within_bounds(partitions: int) -> None:
    route: Callable[[str], int] = lambda gpu: partition_for(gpu, partitions)  # noqa: E731
    assert all(0 <= route(f"GPU-{n}") < partitions for n in range(50))


def test_routing_is_the_documented_hash() -> None:
    assert partition_for("GPU-a", 1 << 64) == 11_373_988_132_110_893_777
