"""One target, asked in its own time."""

import asyncio
from typing import NamedTuple

import aiohttp

from common import logs
from common.clock import Clock
from common.models import Sample
from streamer.sources.base import Progress
from streamer.sources.exposition import Answer, ExpositionReader
from streamer.sources.outcomes import Outcome, TargetState
from streamer.sources.targets import Target

MS_PER_SECOND = 1000
LARGE_BYTES = 1 << 18  # an answer that is parsed off the event loop

log = logs.get("streamer.scrape")


class ScrapeLimits(NamedTuple):
    """How often, how long and how much."""

    interval_ms: int
    timeout_seconds: float
    max_bytes: int


class ScrapeError(Exception):
    """A scrape that gave nothing; ``outcome`` says why in one word."""

    def __init__(self, outcome: Outcome, reason: str) -> None:
        super().__init__(reason)
        self.outcome: Outcome = outcome


class Scraper:
    """Asks a target at ``phase_ms`` within each interval of the wall clock.

    A sample is stamped with the moment its scrape was due, so that the spacing is even. What is due
    is told by the monotonic clock; a wall clock that is set moves the stamps, not the scrapes.
    """

    def __init__(
        self,
        target: Target,
        phase_ms: int,
        limits: ScrapeLimits,
        state: TargetState,
        progress: Progress,
        session: aiohttp.ClientSession,
        clock: Clock,
    ) -> None:
        self._target = target
        self._phase_ms = phase_ms
        self._limits = limits
        self._state = state
        self._progress = progress
        self._session = session
        self._clock = clock
        self._reader = ExpositionReader(target.host)
        self._stamp = 0

    async def run(self, answers: "asyncio.Queue[list[Sample] | BaseException]") -> None:
        """Scrape for ever; an answer that nobody takes holds up this target alone."""
        interval_seconds = self._limits.interval_ms / MS_PER_SECOND
        due = self._clock.monotonic() + self._until_phase() / MS_PER_SECOND
        while True:
            await self._clock.sleep(max(0.0, due - self._clock.monotonic()))
            samples = await self._scrape(self._next_stamp())
            if samples:
                await answers.put(samples)
            late = self._clock.monotonic() - due
            missed = int(late // interval_seconds)
            self._state.missed += missed
            self._progress.scrapes["missed"] += missed
            due += (missed + 1) * interval_seconds

    def _until_phase(self) -> int:
        now_ms = int(self._clock.wall() * MS_PER_SECOND)
        return (self._phase_ms - now_ms) % self._limits.interval_ms

    def _next_stamp(self) -> int:
        """Return the moment nearest to now at which a scrape is due, never one twice in a row."""
        interval_ms = self._limits.interval_ms
        since = self._clock.wall() * MS_PER_SECOND - self._phase_ms
        stamp = round(since / interval_ms) * interval_ms + self._phase_ms
        self._stamp = stamp + interval_ms if stamp == self._stamp else stamp
        return self._stamp

    async def _scrape(self, stamp: int) -> list[Sample]:
        began = self._clock.monotonic()
        try:
            answer = await self._read(await self._fetch(), stamp)
        except ScrapeError as error:
            self._note(error.outcome, str(error), began)
            return []
        self._note("ok", "", began)
        progress = self._progress
        progress.rows_read += answer.rows
        progress.values_read += answer.rows
        progress.duplicates += answer.duplicates
        progress.rejects.count_all(answer.rejects)
        return answer.samples

    async def _fetch(self) -> str:
        try:
            async with (
                asyncio.timeout(self._limits.timeout_seconds),
                self._session.get(self._target.url, allow_redirects=False) as answer,
            ):
                if answer.status != 200:
                    raise ScrapeError("bad_status", f"answered {answer.status}")
                return (await self._receive(answer)).decode()
        except TimeoutError:
            seconds = self._limits.timeout_seconds
            raise ScrapeError("timeout", f"no whole answer within {seconds:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if isinstance(error, UnicodeDecodeError):
                raise ScrapeError("garbage", "the answer is not UTF-8") from None
            raise ScrapeError("unreachable", type(error).__name__) from error

    async def _receive(self, answer: aiohttp.ClientResponse) -> bytes:
        most = self._limits.max_bytes
        body = bytearray()
        async for chunk in answer.content.iter_any():
            body += chunk
            if len(body) > most:
                raise ScrapeError("too_large", f"the answer is over {most} bytes")
        return bytes(body)

    async def _read(self, text: str, stamp: int) -> Answer:
        if len(text) > LARGE_BYTES:
            answer = await asyncio.to_thread(self._reader.read, text, stamp)
        else:
            answer = self._reader.read(text, stamp)
        if answer.is_garbage:
            raise ScrapeError("garbage", "the answer is no Prometheus text")
        if not answer.samples:
            raise ScrapeError("no_gpus", "the answer has no series of a GPU")
        return answer

    def _note(self, outcome: Outcome, reason: str, began: float) -> None:
        state = self._state
        state.scrapes += 1
        state.seconds = round(self._clock.monotonic() - began, 6)
        self._progress.scrapes[outcome] += 1
        if outcome == "ok" and state.outcome not in ("", "ok"):
            log.info("target answers again", target=self._target.name)
        elif outcome != "ok" and outcome != state.outcome:
            log.warning(
                "target cannot be scraped",
                target=self._target.name,
                outcome=outcome,
                reason=reason,
            )
        state.failures += outcome != "ok"
        state.outcome, state.reason = outcome, reason
