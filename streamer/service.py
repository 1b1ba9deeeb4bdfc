"""The streamer as a service: what runs, what ends it, what it tells."""

import asyncio
import random
import sys
from collections.abc import Coroutine, Mapping
from typing import Any

import xxhash
from prometheus_client import CollectorRegistry

from common import logs
from common.clock import Clock, SystemClock
from common.errors import TelemetryError
from common.lifecycle import Lifecycle
from common.queue.base import Producer
from common.queue.factory import open_producer
from common.queue.options import queue_address
from streamer.metrics import StreamerMetrics
from streamer.options import StreamerOptions
from streamer.place import NoKeeper, Place
from streamer.publish import Publisher
from streamer.retry import Retry
from streamer.sources.base import Source, SourceError
from streamer.sources.csv_options import csv_source
from streamer.sources.generator import LiveFleet
from streamer.sources.nvml import NvmlSource
from streamer.stopping import unless_stopping
from streamer.summary import describe, write_summary
from streamer.wiring import content_name, make_feed, make_keeper, make_outlet, make_scrape

EXIT_FAILED = 1
EXIT_BAD_SOURCE = 2
SUMMARY_SECONDS = 10.0
MS_PER_SECOND = 1000

log = logs.get("streamer")


class StreamerService:
    """Feeds one source to the queue, then idles or ends the process."""

    name = "streamer"

    def __init__(
        self,
        options: StreamerOptions,
        lifecycle: Lifecycle,
        producer: Producer | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.lifecycle = lifecycle
        self.registry = CollectorRegistry()
        self.publisher: Publisher | None = None
        self._options = options
        self._clock = clock or SystemClock()
        self._producer = producer
        rng = random.Random()  # noqa: S311 - jitter, not a secret
        self.retry = Retry(self._clock, rng, lifecycle.problems)
        source = make_source(options, self._clock)
        ending = asyncio.Event()
        lifecycle.on_stop(ending.set)
        self._keeper = make_keeper(options, source.live, self._clock, lifecycle.problems)
        self.feed = make_feed(options, source, self._keeper or NoKeeper(), self._clock, ending)
        self._began = self._clock.monotonic()
        self._ended: float | None = None
        self._failed = False
        self._running: asyncio.Task[None] | None = None
        self.registry.register(StreamerMetrics(self))

    async def start(self) -> None:
        """Begin to read and publish in the background."""
        self._began = self._clock.monotonic()
        self._running = self.lifecycle.spawn("feed", self._guard(self._run()))
        if sys.stderr.isatty():
            from streamer.bar import Bar  # with what draws it, which a pipe has no use for

            bar = Bar(self.stats, self.lifecycle.problems, self._clock)
            self.lifecycle.spawn("progress", bar.show_for_ever())
        else:
            self.lifecycle.spawn("progress", self._log_progress())
        if self._options.duration_seconds:
            self.lifecycle.spawn("duration", self._end_in_time(self._options.duration_seconds))

    async def stop(self) -> None:
        """Publish what is buffered, within the grace, and leave the summary behind."""
        if self._running is not None and not self._failed:
            await self._settle(self._running)
        await self.lifecycle.cancel_tasks()
        await self.feed.source.close()
        if self._producer is not None:
            await self._producer.close()
        await self._leave_summary()
        log.info("stopped", **self._numbers())

    def stats(self) -> Mapping[str, Any]:
        """Live progress, in the words of the summary."""
        ended = self._clock.monotonic() if self._ended is None else self._ended
        return describe(self.feed, self.publisher, ended - self._began, self._ended is not None)

    async def _run(self) -> None:
        content = await self._open_source()
        place = None
        run = content
        if not self.feed.event_time.stable or self.feed.source.grows:  # so other batches
            run += f"-{int(self._clock.wall() * MS_PER_SECOND)}"
        if self._keeper is not None:
            place = await self._keeper.load(content, run)
        if place is not None and place.finished:
            log.info("the checkpoint says that all is published", passes=place.passes)
            await self._finish()
            return
        publisher = await self._open_queue(run if place is None else place.run)
        if publisher is None:
            return
        await self._stream(publisher, place)

    async def _stream(self, publisher: Publisher, place: Place | None) -> None:
        feed, keeper = self.feed, self._keeper
        if keeper is not None:
            keeper.attach(publisher)
            self.lifecycle.spawn("checkpoint", self._guard(keeper.keep_for_ever()))
        ended = await feed.run(publisher, self._loops(), place)
        await publisher.drained()
        if keeper is not None:
            await keeper.close(feed.number, feed.event_time.state(), ended)
        if not self.lifecycle.stopping.is_set():
            await self._finish()

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        """Run what the streamer cannot go on without; its failure ends the process."""
        try:
            await work
        except SourceError as error:
            self._fail("source cannot be read", str(error), EXIT_BAD_SOURCE)
        except TelemetryError as error:
            self._fail("queue refuses", f"{error.code}: {error.message}", EXIT_FAILED)
        except Exception as error:
            log.error("streamer failed", exc_info=error)
            self._fail("streamer failed", repr(error), EXIT_FAILED)

    async def _open_source(self) -> str:
        name = await self.feed.source.open()
        return content_name(self._options, self.feed, name)

    async def _open_queue(self, run: str) -> Publisher | None:
        """Ask for the partitions and start the lanes; None when stopped before."""
        options = self._options
        producer = self._producer = self._producer or open_producer(
            queue_address(options, options.direct), self._clock
        )
        partitions = await unless_stopping(
            self.lifecycle.stopping,
            self.retry.call("topic", lambda: producer.partitions(options.topic)),
        )
        if partitions is None:
            return None
        outlet = make_outlet(options, producer, partitions, run)
        publisher = self.publisher = Publisher(outlet, self._clock, self.retry)
        for number, lane in enumerate(publisher.lanes):
            self.lifecycle.spawn(f"lane-{number}", self._guard(lane.send_for_ever()))
        interval_seconds = options.collect_interval_seconds
        flushing = (
            publisher.flush_each(interval_seconds)
            if interval_seconds
            else publisher.flush_lingering()
        )
        self.lifecycle.spawn("flush", self._guard(flushing))
        log.info("streaming", content=run, topic=options.topic, partitions=partitions)
        return publisher

    async def _end_in_time(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
        log.info("the duration is over; publishing what was read", seconds=seconds)
        self.feed.ending.set()

    async def _finish(self) -> None:
        self._ended = self._clock.monotonic()
        log.info("finished", **self._numbers())
        await self._leave_summary()
        if self._options.exit_when_done:
            self.lifecycle.stop()

    async def _settle(self, running: asyncio.Task[None]) -> None:
        grace = asyncio.ensure_future(self._clock.sleep(self._options.shutdown_grace_seconds))
        await asyncio.wait({running, grace}, return_when=asyncio.FIRST_COMPLETED)
        grace.cancel()
        if not running.done():
            log.warning("stopped with batches unpublished", **self._numbers())

    async def _leave_summary(self) -> None:
        path = self._options.summary_file
        if path is None:
            return
        try:
            await asyncio.to_thread(write_summary, path, dict(self.stats()), self.feed)
        except OSError as error:
            self._fail("summary cannot be written", str(error), EXIT_FAILED)

    async def _log_progress(self) -> None:
        while self._ended is None:
            await self._clock.sleep(SUMMARY_SECONDS)
            log.info("progress", **self._numbers())

    def _numbers(self) -> dict[str, Any]:
        left_out = ("rejected", "targets")
        return {name: value for name, value in self.stats().items() if name not in left_out} | {
            "rejected": self.feed.source.progress.rejects.total
        }

    def _loops(self) -> bool:
        return self._options.loop and not self.feed.source.live

    def _fail(self, what: str, why: str, exit_code: int) -> None:
        self._failed = True
        self.lifecycle.problems["streamer"] = f"{what}: {why}"
        log.error(what, reason=why)
        self.lifecycle.stop(exit_code)


def make_source(options: StreamerOptions, clock: Clock) -> Source:
    """Return the source that the options name; a fleet is the same one at each start."""
    if options.csv_path is not None:
        return csv_source(options, clock)
    if options.scrapes:
        return make_scrape(options, clock)
    if options.nvml:
        return NvmlSource(options.scrape_interval_seconds, clock)
    seed = xxhash.xxh3_64_intdigest(options.instance_id.encode())
    return LiveFleet(options.generate_gpus, seed, clock)
