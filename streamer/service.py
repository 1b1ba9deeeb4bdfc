"""The streamer as a service: what runs, what ends it, what it tells."""

import asyncio
import random
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
from streamer.feed import Feed
from streamer.lane import Outlet
from streamer.metrics import StreamerMetrics
from streamer.options import StreamerOptions
from streamer.pacing import Pacer
from streamer.publish import Publisher
from streamer.retry import Retry
from streamer.sources.base import Source, SourceError
from streamer.sources.dcgm_csv import DcgmCsv
from streamer.sources.generator import LiveFleet
from streamer.stopping import unless_stopping
from streamer.summary import describe, write_summary
from streamer.timing import KeepTime, event_time

EXIT_FAILED = 1
EXIT_BAD_SOURCE = 2
PROGRESS_SECONDS = 10.0
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
        self.feed = make_feed(options, self._clock, lifecycle.stopping)
        self._began = self._clock.monotonic()
        self._ended: float | None = None
        self._failed = False
        self._running: asyncio.Task[None] | None = None
        self.registry.register(StreamerMetrics(self))

    async def start(self) -> None:
        """Begin to read and publish in the background."""
        self._began = self._clock.monotonic()
        self._running = self.lifecycle.spawn("feed", self._guard(self._run()))
        self.lifecycle.spawn("progress", self._log_progress())

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
        published = self.publisher.points_published if self.publisher else 0
        return describe(self.feed, published, ended - self._began, self._ended is not None)

    async def _run(self) -> None:
        publisher = await self._open()
        if publisher is None:
            return
        ended = await self.feed.run(publisher, self._loops())
        await publisher.drained()
        if ended:
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

    async def _open(self) -> Publisher | None:
        """Open the source, ask for the partitions and start the lanes; None when stopped before."""
        options = self._options
        content = await self.feed.source.open()
        if not self.feed.event_time.stable:  # other times, so other batches
            content += f"-{int(self._clock.wall() * MS_PER_SECOND)}"
        producer = self._producer = self._producer or open_producer(
            options.queue_url, options.service_token, options.direct, self._clock
        )
        partitions = await unless_stopping(
            self.lifecycle.stopping,
            self.retry.call("topic", lambda: producer.partitions(options.topic)),
        )
        if partitions is None:
            return None
        outlet = make_outlet(options, producer, partitions, content)
        publisher = self.publisher = Publisher(outlet, self._clock, self.retry)
        for number, lane in enumerate(publisher.lanes):
            self.lifecycle.spawn(f"lane-{number}", self._guard(lane.send_for_ever()))
        self.lifecycle.spawn("linger", self._guard(publisher.flush_lingering()))
        log.info("streaming", content=content, topic=options.topic, partitions=partitions)
        return publisher

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
            await self._clock.sleep(PROGRESS_SECONDS)
            log.info("progress", **self._numbers())

    def _numbers(self) -> dict[str, Any]:
        return {name: value for name, value in self.stats().items() if name != "rejected"} | {
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
        return DcgmCsv(options.csv_path)
    seed = xxhash.xxh3_64_intdigest(options.instance_id.encode())
    return LiveFleet(options.generate_gpus, seed, clock)


def make_feed(options: StreamerOptions, clock: Clock, stopping: asyncio.Event) -> Feed:
    """Put the path from the source to the publisher together."""
    source = make_source(options, clock)
    timing = KeepTime() if source.live else event_time(options.event_time, clock)
    return Feed(source, timing, Pacer(options.rate, clock), clock, stopping)


def make_outlet(
    options: StreamerOptions, producer: Producer, partitions: int, content: str
) -> Outlet:
    """Say where all lanes lead."""
    return Outlet(
        producer=producer,
        topic=options.topic,
        partitions=partitions,
        instance_id=options.instance_id,
        content=content,
        batch_size=options.batch_size,
        linger_seconds=options.linger_seconds,
        buffer_batches=options.buffer_batches,
    )
