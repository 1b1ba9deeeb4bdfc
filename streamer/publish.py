"""Samples to the queue: by GPU to a partition, in batches, none skipped."""

from collections.abc import Sequence

from common.clock import Clock
from common.models import Sample
from common.wire import partition_for
from streamer.lane import Lane, Outlet
from streamer.retry import Retry

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

    @property
    def points_published(self) -> int:
        """Points that the queue has confirmed."""
        return sum(lane.points_published for lane in self.lanes)

    @property
    def buffered_batches(self) -> int:
        """Batches that wait or are in flight."""
        return sum(len(lane.buffer) for lane in self.lanes)

    def begin_pass(self, number: int) -> None:
        """The source begins from its start; everything gathered was flushed."""
        for lane in self.lanes:
            lane.begin_pass(number)

    async def publish(self, samples: Sequence[Sample]) -> None:
        """Gather samples, in order, and flush each batch that is full."""
        lanes = self.lanes
        for sample in samples:
            lane = lanes[partition_for(sample.gpu.id, len(lanes))]
            if lane.gather(sample):
                await lane.flush()

    async def flush(self) -> None:
        """Put every batch into its buffer, full or not."""
        for lane in self.lanes:
            await lane.flush()

    async def drained(self) -> None:
        """Return when the queue has confirmed all that was flushed."""
        for lane in self.lanes:
            await lane.buffer.drained()

    async def flush_lingering(self) -> None:
        """Flush what has waited for the linger, for ever. A lane whose buffer is full waits on."""
        while True:
            await self._clock.sleep(self._step_seconds)
            for lane in self.lanes:
                due = lane.due_seconds()
                if due is not None and due < self._step_seconds and not lane.buffer.full:
                    await lane.flush()
