"""The path of samples from the source to the publisher."""

import asyncio

from common import logs
from common.clock import Clock
from common.models import Sample
from streamer.manifest import Manifest
from streamer.pacing import Pacer
from streamer.publish import Publisher
from streamer.sources.base import Source
from streamer.stopping import unless_stopping
from streamer.timing import EventTime

EMPTY_PASS_SECONDS = 1.0  # a file with no good row must not be read in a spin

log = logs.get("streamer.feed")


class Feed:
    """Reads, sets times, counts, paces and publishes, until the source ends or a stop begins."""

    def __init__(
        self,
        source: Source,
        event_time: EventTime,
        pacer: Pacer,
        clock: Clock,
        stopping: asyncio.Event,
    ) -> None:
        self.source = source
        self.manifest = Manifest()
        self.passes = 0
        self.event_time = event_time
        self._pacer = pacer
        self._clock = clock
        self._stopping = stopping

    async def run(self, publisher: Publisher, loop: bool) -> bool:
        """Feed ``publisher`` and say whether the source came to its end.

        Raises SourceError when the source cannot be read.
        """
        again, ended = True, False
        while again:
            ended = await self._run_pass(publisher)
            again = loop and not self._stopping.is_set()
            if again:
                await self.source.rewind()
        return ended

    async def _run_pass(self, publisher: Publisher) -> bool:
        before = self.manifest.samples
        publisher.begin_pass(self.passes)
        self.event_time.begin_pass()
        while (samples := await unless_stopping(self._stopping, self.source.read())) is not None:
            await self._pass_on(samples, publisher)
        await publisher.flush()
        if self._stopping.is_set():
            return False
        self.passes += 1
        log.info("pass ended", passes=self.passes, points=self.manifest.points)
        if self.manifest.samples == before:
            await unless_stopping(self._stopping, self._clock.sleep(EMPTY_PASS_SECONDS))
        return True

    async def _pass_on(self, samples: list[Sample], publisher: Publisher) -> None:
        self.event_time.apply(samples)
        for some in self._pacer.slices(samples):
            await unless_stopping(self._stopping, self._pacer.pass_through(len(some)))
            if self._stopping.is_set():
                return
            for sample in some:
                self.manifest.add(sample)
            await publisher.publish(some)
