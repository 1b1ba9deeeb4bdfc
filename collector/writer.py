"""From the spool into the store, in batches, without an end to trying."""

import asyncio
from concurrent.futures import Executor

from collector.intake import Intake
from collector.spool import Spool, Spooled
from common import logs
from common.clock import Clock
from common.errors import StoreUnavailable
from common.models import Sample
from common.retry import Backoff
from common.storage.base import Store, Written
from common.threads import run_in

log = logs.get("collector.writer")

MOST_BATCHES = 10


class Writer:
    """Owns the way from the spool to the store, and how far it has come."""

    def __init__(
        self,
        spool: Spool,
        store: Store,
        intake: Intake,
        disk: Executor,
        store_thread: Executor,
        clock: Clock,
        batch_points: int,
        flush_seconds: float,
    ) -> None:
        self.points = 0
        self.new_points = 0
        self.failures = 0
        self.problem = ""
        self._spool = spool
        self._store = store
        self._intake = intake
        self._disk = disk
        self._store_thread = store_thread
        self._clock = clock
        self._batch_points = batch_points
        self._flush_seconds = flush_seconds

    async def run(self) -> None:
        """Write for ever."""
        while True:
            samples, end = await self._gather()
            if samples:
                await self._write(samples)
            await run_in(self._disk, self._spool.written, end)
            self._intake.check_room()

    async def _gather(self) -> tuple[list[Sample], int]:
        """Collect samples until a write is full or its first sample has waited long enough.

        What waits already is taken along, up to ten times a full write: the more there is to do,
        the less each point costs.
        """
        await self._wait_for_spooled()
        samples: list[Sample] = []
        points = 0
        deadline = self._clock.monotonic() + self._flush_seconds
        while points < self._batch_points * MOST_BATCHES:
            items = await self._next()
            for item in items:
                samples += item.samples
                points += item.points
            if items:
                continue
            left = deadline - self._clock.monotonic()
            if points >= self._batch_points or left <= 0 or not await self._wait_for_spooled(left):
                break
        return samples, self._spool.read_offset

    async def _next(self) -> list[Spooled]:
        item = self._spool.next_in_memory()
        if item is not None:
            return [item]
        if not self._spool.has_more_on_disk():
            return []
        items = await self._read_from_disk()
        self._spool.took(items)
        return items

    async def _read_from_disk(self) -> list[Spooled]:
        backoff = Backoff(self._clock)
        while True:
            try:
                return await run_in(self._disk, self._spool.read_from_disk)
            except OSError as error:
                log.error("spool cannot be read", reason=str(error))
                await backoff.wait()

    async def _wait_for_spooled(self, seconds: float | None = None) -> bool:
        """Return True when something waits in the spool, False when ``seconds`` passed."""
        self._intake.spooled.clear()
        if self._spool.read_offset < self._spool.end:
            return True
        try:
            async with asyncio.timeout(seconds):
                await self._intake.spooled.wait()
        except TimeoutError:
            return False
        return True

    async def _write(self, samples: list[Sample]) -> None:
        backoff = Backoff(self._clock)
        while True:
            try:
                self._count(await run_in(self._store_thread, self._store.write, samples))
                return
            except StoreUnavailable as error:
                self.failures += 1
                self._note(error.message)
                await backoff.wait(error.retry_after_seconds or 0.0)

    def _count(self, written: Written) -> None:
        self.points += written.points
        self.new_points += written.new_points or 0  # a store may not tell
        if self.problem:
            log.info("store answers again")
            self.problem = ""

    def _note(self, problem: str) -> None:
        if not self.problem:
            log.error("store does not answer, the spool keeps everything", reason=problem)
        self.problem = problem
