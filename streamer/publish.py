"""Samples to the queue: by GPU to a partition, in batches, none skipped."""

import asyncio
from collections.abc import Sequence

from common.clock import Clock
from common.models import Sample
from common.wire import partition_for
from streamer.lane import Lane, Outlet
from streamer.retry import Retry

REMEMBERED = 1 << 16
LINGER_STEPS = 4  # how often a linger is looked after within its length


class Publisher:
    """Routes samples to one lane per partition.

    ``publish`` waits while the lane of a sample is full: that is the backpressure on the source.
    """

    def __init__(self, outlet: Outlet, clock: Clock, retry: Retry) -> None:
        self.lanes = [Lane(outlet, n, clock, retry) for n in range(outlet.partitions)]
        self.capacity_batches = outlet.partitions * outlet.buffer_batches
        self._step_seconds = outlet.linger_seconds / LINGER_STEPS
        self._clock = clock
        self._lane_of: dict[str, Lane] = {}

    @property
    def points_published(self) -> int:
        """Points that the queue has confirmed."""
        return sum(lane.points_published for lane in self.lanes)

    @property
    def buffered_batches(self) -> int:
        """Batches that wait or are in flight."""
        return sum(len(lane.buffer) for lane in self.lanes)

    @property
    def buffered_bytes(self) -> int:
        """Bytes of them."""
        return sum(lane.buffer.bytes for lane in self.lanes)

    @property
    def positions(self) -> list[int]:
        """How many samples of this pass each partition got."""
        return [lane.position for lane in self.lanes]

    @property
    def gathered(self) -> list[int]:
        """How many samples each partition got since the start."""
        return [lane.gathered for lane in self.lanes]

    def begin_pass(self, number: int, positions: Sequence[int] = ()) -> None:
        """The source begins from its start, or where a checkpoint was; all gathered was flushed.

        Positions of another number of partitions say nothing of these.
        """
        if len(positions) != len(self.lanes):
            positions = [0] * len(self.lanes)
        for lane, position in zip(self.lanes, positions, strict=True):
            lane.begin_pass(number, position)

    async def publish(self, samples: Sequence[Sample]) -> None:
        """Gather samples, in order within a lane, then put each full batch into its buffer."""
        known = self._lane_of
        shares: dict[Lane, list[Sample]] = {lane: [] for lane in self.lanes}
        for sample in samples:
            gpu = sample.gpu
            gpu_id = gpu.uuid or gpu.id
            shares[known.get(gpu_id) or self._place(gpu_id)].append(sample)
        full = [lane for lane, share in shares.items() if lane.gather(share)]
        async with asyncio.TaskGroup() as flushes:  # one that must wait holds no other up
            for lane in full:
                flushes.create_task(lane.flush(partial=False))

    def _place(self, gpu_id: str) -> Lane:
        """Work out a GPU's lane, once until so many others were."""
        if len(self._lane_of) >= REMEMBERED:
            self._lane_of.clear()
        lane = self._lane_of[gpu_id] = self.lanes[partition_for(gpu_id, len(self.lanes))]
        return lane

    async def flush(self) -> None:
        """Put every batch into its buffer, full or not."""
        for lane in self.lanes:
            await lane.flush()

    async def drained(self) -> None:
        """Return when the queue has confirmed all that was flushed."""
        for lane in self.lanes:
            await lane.buffer.drained()

    async def until_confirmed(self, gathered: Sequence[int]) -> None:
        """Return when the queue has confirmed so many samples of each partition."""
        for lane, end in zip(self.lanes, gathered, strict=True):
            await lane.buffer.until_confirmed(end)

    async def flush_lingering(self) -> None:
        """Flush what has waited for the linger, for ever. A lane whose buffer is full waits on."""
        while True:
            await self._clock.sleep(self._step_seconds)
            for lane in self.lanes:
                due = lane.due_seconds()
                if due is not None and due < self._step_seconds and not lane.buffer.full:
                    await lane.flush()

    async def flush_each(self, seconds: float) -> None:
        """Flush everything at once each so many seconds, for ever, without drift."""
        due = self._clock.monotonic() + seconds
        while True:
            await self._clock.sleep(max(0.0, due - self._clock.monotonic()))
            await self.flush()
            due = max(due, self._clock.monotonic() - seconds) + seconds
