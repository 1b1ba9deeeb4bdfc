"""What is new in the store: one look for all who listen, as long as somebody does."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import msgspec

from api.answers import PointAnswer, point_answers
from api.asking import Asking
from common import logs
from common.clock import Clock
from common.errors import Overloaded, TelemetryError, Unavailable
from common.lifecycle import Lifecycle
from common.storage.base import GpuFilter, GpuRecord, Store, TelemetryQuery

log = logs.get("live")

TASK = "live"
GPUS_AT_ONCE = 1_000
MOST_POINTS = 1_000
MOST_WAITING = 4_096


class News(msgspec.Struct):
    """New points of one GPU, by time and metric.

    ``skipped`` counts points that were stored since the last event of this GPU and are not in
    this one: they are older than the newest known, or too many at once.
    """

    gpu_id: str
    points: list[PointAnswer]
    skipped: int


class Interest(NamedTuple):
    """Whose points a listener wants; nothing said is anything."""

    gpu_ids: frozenset[str]
    host: str | None
    model: str | None
    namespace: str | None
    metrics: frozenset[str]

    def wants(self, record: GpuRecord) -> bool:
        """Whether a GPU is one of those."""
        if self.gpu_ids and record.id not in self.gpu_ids:
            return False
        gpu = record.gpu
        given = (
            (self.host, gpu.hostname),
            (self.model, gpu.model),
            (self.namespace, gpu.namespace),
        )
        return all(wanted is None or wanted == found for wanted, found in given)

    def part_of(self, news: News) -> News | None:
        """What a listener gets of some news; None when it is nothing."""
        if not self.metrics:
            return news
        points = [point for point in news.points if point.metric in self.metrics]
        return News(news.gpu_id, points, news.skipped) if points or news.skipped else None


class Listener:
    """One open stream: what it wants, and what waits to be sent to it."""

    def __init__(self, interest: Interest) -> None:
        self.interest = interest
        self.end: TelemetryError | None = None
        self._waiting: list[News] = []
        self._changed = asyncio.Event()

    def offer(self, news: News) -> None:
        """Queue some news; a listener that is that far behind is given up."""
        part = self.interest.part_of(news)
        if part is None:
            return
        if len(self._waiting) >= MOST_WAITING:
            self.finish(Overloaded("the stream is not read as fast as points are stored"))
            return
        self._waiting.append(part)
        self._changed.set()

    def finish(self, reason: TelemetryError) -> None:
        """End the stream once what waits is sent."""
        self.end = reason
        self._changed.set()

    async def take(self, seconds: float) -> list[News]:
        """Return what waits, or nothing when that is all there was for so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return []
        self._changed.clear()
        taken, self._waiting = self._waiting, []
        return taken


class Feed:
    """Looks at the store each interval while there are listeners, and tells them what is new.

    A point is new when its time is after the newest one its GPU had at the last look.
    """

    def __init__(
        self,
        ask: Asking,
        lifecycle: Lifecycle,
        clock: Clock,
        *,
        interval_seconds: float,
        max_streams: int,
    ) -> None:
        self.interval_seconds = interval_seconds
        self._ask = ask
        self._lifecycle = lifecycle
        self._clock = clock
        self._max_streams = max_streams
        self._listeners: set[Listener] = set()
        self._known: dict[str, GpuRecord] = {}

    def __len__(self) -> int:
        return len(self._listeners)

    async def begin(self) -> None:
        """Know what is stored now, if nobody listens yet.

        Raises Overloaded when too many do, StoreUnavailable, and Unavailable during the stop.
        """
        if self._lifecycle.stopping.is_set():
            raise Unavailable("the API is stopping")
        if len(self._listeners) >= self._max_streams:
            raise Overloaded(f"{self._max_streams} live streams are open")
        if self._lifecycle.has(TASK):
            return
        known = {record.id: record async for record in self._records()}
        if not self._lifecycle.has(TASK):
            self._known = known
            self._lifecycle.spawn(TASK, self._run())

    @contextmanager
    def listening(self, interest: Interest) -> Iterator[Listener]:
        """Be told of news, once ``begin`` returned."""
        listener = Listener(interest)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def finish(self, reason: TelemetryError) -> None:
        """End every stream."""
        for listener in self._listeners:
            listener.finish(reason)

    async def _run(self) -> None:
        try:
            while True:
                await self._clock.sleep(self.interval_seconds)
                if not self._listeners:
                    return
                await self._look()
        except TelemetryError as error:
            log.warning("live streams end", reason=error.message)
            self.finish(error)

    async def _look(self) -> None:
        """Tell each listener what came since the last look."""
        async for record in self._records():
            before = self._known.get(record.id)
            self._known[record.id] = record
            if before == record or not any(each.interest.wants(record) for each in self._listeners):
                continue
            news = await self._news(before, record)
            if not news.points and not news.skipped:
                continue
            for listener in self._listeners:
                if listener.interest.wants(record):
                    listener.offer(news)

    async def _news(self, before: GpuRecord | None, now: GpuRecord) -> News:
        """What a GPU has that it had not before, the newest of it if it is much."""
        begin, stored = (before.last_seen + 1, before.points) if before else (now.first_seen, 0)
        query = TelemetryQuery(now.id, MOST_POINTS, begin, now.last_seen, descending=True)
        found = await self._ask(lambda store: store.telemetry(query))
        points = sorted(found.points, key=lambda p: (p.timestamp, p.metric)) if found else []
        return News(now.id, point_answers(points), max(0, now.points - stored - len(points)))

    async def _records(self) -> AsyncIterator[GpuRecord]:
        """Every GPU there is."""
        after = ""
        while True:
            page = await self._ask(partial(gpus_after, after))
            for record in page:
                yield record
            if len(page) < GPUS_AT_ONCE:
                return
            after = page[-1].id


def gpus_after(after: str, store: Store) -> list[GpuRecord]:
    """Some GPUs, from after an id on."""
    return store.gpus(GpuFilter(), GPUS_AT_ONCE, after)
