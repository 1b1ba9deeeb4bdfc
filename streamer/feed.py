"""The path of samples from the source to the publisher."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from common import logs
from common.clock import Clock
from common.models import Sample
from streamer.manifest import Manifest
from streamer.pacing import Pacer
from streamer.place import Keeper, Place, positions_of, skipped
from streamer.publish import Publisher
from streamer.selection import Selection
from streamer.sources.base import Mark, Source, SourceError
from streamer.stopping import unless_stopping
from streamer.timing import EventTime

EMPTY_PASS_SECONDS = 1.0  # a file with no good row must not be read in a spin

log = logs.get("streamer.feed")


class Stages(NamedTuple):
    """What samples go through, in this order."""

    selection: Selection
    pacer: Pacer
    event_time: EventTime


class Feed:
    """Reads, selects, paces, sets times, counts and publishes, until the source or time ends.

    ``ending`` is set when no more is to be read. ``number`` is that of the next sample.
    """

    def __init__(
        self, source: Source, stages: Stages, keeper: Keeper, clock: Clock, ending: asyncio.Event
    ) -> None:
        self.source = source
        self.selection = stages.selection
        self.event_time = stages.event_time
        self.manifest = Manifest()
        self.passes = 0
        self.number = 0
        self.ending = ending
        self._pacer = stages.pacer
        self._keeper = keeper
        self._clock = clock
        self._skip = 0

    async def run(self, publisher: Publisher, loop: bool, place: Place | None = None) -> bool:
        """Feed ``publisher``, from ``place`` on, and say whether the source came to its end.

        Raises SourceError when the source cannot be read.
        """
        await self._begin(publisher, place)
        while True:
            ended = await self._run_pass(publisher)
            if not loop or self.ending.is_set():
                return ended
            await self.source.rewind()
            self._begin_pass(publisher)

    async def _begin(self, publisher: Publisher, place: Place | None) -> None:
        if place is None:
            self._begin_pass(publisher)
            return
        self.passes, self.number = place.passes, place.samples
        self._skip = skipped(place)
        publisher.begin_pass(self.passes, positions_of(place))
        self.event_time.resume(place.timing, place.decisions)
        if place.mark:
            await self._go_to(place.mark, publisher)
        elif self.source.grows:
            self._skip = 0  # nothing says that this is what was read; what is sent twice is known
        log.info("goes on from the checkpoint", passes=self.passes, samples=self.number)

    async def _go_to(self, mark: Mark, publisher: Publisher) -> None:
        """Go to where the source was; of a growing one that is gone, read what is there."""
        try:
            await self.source.resume(mark)
        except SourceError as error:
            if not self.source.grows:
                raise
            log.warning("what was read is gone; reading what is there", reason=str(error))
            self._skip = 0
            self.passes += 1  # other samples, so batches of other names than those sent before
            publisher.begin_pass(self.passes)
            self._keeper.mark({}, self.passes, self.number)

    def _begin_pass(self, publisher: Publisher) -> None:
        publisher.begin_pass(self.passes)
        self.event_time.begin_pass()
        self._keeper.mark(None, self.passes, self.number)

    async def _run_pass(self, publisher: Publisher) -> bool:
        before = self.number
        while (samples := await self._read()) is not None:
            await self._pass_on(samples, publisher)
        if self.ending.is_set():
            await self._send(self.selection.pick(await self.source.leftover()), publisher)
            await publisher.flush()
            return False
        await publisher.flush()
        self.passes += 1
        log.info("pass ended", passes=self.passes, points=self.manifest.points)
        if self.number == before:
            await unless_stopping(self.ending, self._clock.sleep(EMPTY_PASS_SECONDS))
        return True

    async def _read(self) -> list[Sample] | None:
        """Return the next chunk, less what was confirmed before the start; None at the end.

        No mark is taken once it is ending: the last chunk may not have been passed on whole.
        """
        if self.ending.is_set():
            return None
        if not self._skip:
            mark = self.source.mark()
            if mark is not None:
                self._keeper.mark(mark, self.passes, self.number)
        samples = await unless_stopping(self.ending, self.source.read())
        if samples is None:
            return None
        samples = self.selection.pick(samples)
        known = min(self._skip, len(samples))
        self._skip -= known
        return samples[known:]

    async def _pass_on(self, samples: list[Sample], publisher: Publisher) -> None:
        """Send samples at the rate, or at once when it is ending and they cannot be read again."""
        for some in self._pacer.slices(samples):
            seconds = self._pacer.delay_seconds(some)
            if seconds:
                await unless_stopping(self.ending, self._clock.sleep(seconds))
            if self.ending.is_set() and self.source.mark() is not None:
                return
            await self._send(some, publisher)

    async def _send(self, samples: Sequence[Sample], publisher: Publisher) -> None:
        decision = self.event_time.apply(samples, self.number)
        if decision is not None:
            await self._keeper.note(decision)
        self.manifest.add(samples)
        await publisher.publish(samples)
        self.number += len(samples)
        if self.event_time.settled:
            self._keeper.offer(self.number, self.event_time.state())
