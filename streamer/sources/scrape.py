"""dcgm-exporters, scraped on an interval: a live source of many targets."""

import asyncio
import zlib
from pathlib import Path
from typing import NamedTuple

import aiohttp

from common import logs
from common.clock import Clock
from common.models import Sample
from streamer.sources.base import Mark, Progress, SourceError
from streamer.sources.outcomes import TargetState
from streamer.sources.scraper import MS_PER_SECOND, ScrapeLimits, Scraper
from streamer.sources.targets import Target, TargetList

WAITING_ANSWERS = 64
LOOK_SECONDS = 5.0  # how often the file of targets is looked at

log = logs.get("streamer.scrape")


class ScrapePlan(NamedTuple):
    """What to scrape, and how."""

    targets: tuple[str, ...]
    path: Path | None
    limits: ScrapeLimits


class ScrapeSource:
    """Asks every target in a task of its own; see ``Source``.

    Answers that nobody takes wait, at most ``WAITING_ANSWERS`` and one a target: a target whose
    answer waits is not asked again, and the scrapes it misses are counted.
    """

    live = True
    grows = False

    def __init__(self, plan: ScrapePlan, clock: Clock) -> None:
        self.progress = Progress()
        self._plan = plan
        self._clock = clock
        self._list = TargetList(plan.targets, plan.path)
        self._answers: asyncio.Queue[list[Sample] | BaseException] = asyncio.Queue(WAITING_ANSWERS)
        self._tasks: dict[Target, asyncio.Task[None]] = {}
        self._watching: asyncio.Task[None] | None = None
        self._session: aiohttp.ClientSession | None = None
        self._unreadable = False

    async def open(self) -> str:
        """See ``Source``."""
        targets = await asyncio.to_thread(self._list.read)
        if not targets and self._plan.path is None:
            raise SourceError("there is no target to scrape")
        self._session = open_session()
        self._follow(targets)
        if self._plan.path is not None:
            self._watching = asyncio.create_task(self._watch(), name="targets")
        return f"scrape-{int(self._clock.wall() * MS_PER_SECOND)}"

    async def read(self) -> list[Sample] | None:
        """Wait for an answer and return what has come."""
        return take(await self._answers.get()) + await self.leftover()

    def mark(self) -> Mark | None:
        """The present has no place to go back to."""
        return None

    async def resume(self, mark: Mark) -> None:
        """See ``Source``."""

    async def leftover(self) -> list[Sample]:
        """See ``Source``."""
        samples: list[Sample] = []
        while not self._answers.empty():
            samples += take(self._answers.get_nowait())
        return samples

    async def rewind(self) -> None:
        """Nothing to go back to: the present goes on."""

    async def close(self) -> None:
        """See ``Source``."""
        tasks = [*self._tasks.values(), *([self._watching] if self._watching else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def _follow(self, targets: list[Target]) -> None:
        """Scrape these targets and no others."""
        for target in self._tasks.keys() - set(targets):
            self._tasks.pop(target).cancel()
            self.progress.targets.pop(target.name, None)
        for target in targets:
            if target not in self._tasks:
                self._tasks[target] = self._start(target)

    def _start(self, target: Target) -> asyncio.Task[None]:
        if self._session is None:
            raise RuntimeError("the source is not open")
        state = self.progress.targets[target.name] = TargetState()
        phase_ms = zlib.crc32(target.url.encode()) % self._plan.limits.interval_ms
        scraper = Scraper(
            target, phase_ms, self._plan.limits, state, self.progress, self._session, self._clock
        )
        task = asyncio.create_task(scraper.run(self._answers), name=f"scrape {target.name}")
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Hand on what ended a scraper by itself; one that was cancelled is not wanted any more."""
        if task.cancelled() or (error := task.exception()) is None:
            return
        if self._answers.full():
            self._answers.get_nowait()
        self._answers.put_nowait(error)

    async def _watch(self) -> None:
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            try:
                targets = await asyncio.to_thread(self._list.read)
            except SourceError as error:
                if not self._unreadable:
                    log.error("targets kept as they were", reason=str(error))
                self._unreadable = True
                continue
            self._unreadable = False
            if set(targets) != self._tasks.keys():
                log.info("targets changed", before=len(self._tasks), now=len(targets))
                self._follow(targets)


def take(answer: list[Sample] | BaseException) -> list[Sample]:
    """Return the samples of an answer, or raise what a scraper ended with."""
    if isinstance(answer, BaseException):
        raise answer
    return answer


def open_session() -> aiohttp.ClientSession:
    """A session that follows no redirect, no proxy variable, and keeps no cookie."""
    return aiohttp.ClientSession(
        headers={"Accept": "text/plain;version=0.0.4", "Accept-Encoding": "identity"},
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
    )
