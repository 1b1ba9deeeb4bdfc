"""From the spool into the store, in batches; what the store refuses, into dead letters."""

import asyncio
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor

from collector.acker import Acker
from collector.examined import receipts_of
from collector.held import Held
from collector.intake import Intake
from collector.leases import Leases
from collector.letters import HOPELESS_SECONDS, Letters
from collector.narrow import Narrowing, Refused
from collector.refusals import places_of, refused_by_guard, rejects_of
from collector.spool import Spool, Spooled
from collector.storing import Storing
from collector.validate import Reject
from common import logs
from common.clock import Clock
from common.errors import TooLarge
from common.models import Sample
from common.queue.base import Letter
from common.retry import Backoff
from common.storage.cardinality import CardinalityGuard
from common.threads import run_in

log = logs.get("collector.writer")

MOST_BATCHES = 10
REST = 8.0


class Writer:
    """Owns the way from the spool to the store, and how far it has come."""

    def __init__(
        self,
        spool: Spool | Held,
        storing: Storing,
        guard: CardinalityGuard,
        intake: Intake,
        letters: Letters,
        acker: Acker,
        leases: Leases,
        disk: Executor,
        clock: Clock,
        batch_points: int,
        flush_seconds: float,
    ) -> None:
        self._spool = spool
        self._storing = storing
        self._guard = guard
        self._intake = intake
        self._letters = letters
        self._acker = acker
        self._leases = leases
        self._disk = disk
        self._clock = clock
        self._batch_points = batch_points
        self._flush_seconds = flush_seconds
        self._rested = 0.0

    async def run(self) -> None:
        """Write for ever."""
        await self._storing.until_open()
        while True:
            items, end = await self._gather()
            samples = [sample for item in items for sample in item.samples]
            if samples:
                began = self._clock.monotonic()
                await self._write(items, samples)
                now = self._clock.monotonic()
                self._rested = now + (now - began) * REST
            await run_in(self._disk, self._spool.written, end)
            self._settle(items)
            self._intake.check_room()

    async def _write(self, items: Sequence[Spooled], samples: Sequence[Sample]) -> None:
        """Store what the guard and the store take, dead-letter what they refuse."""
        admitted = self._guard.admit(samples, self._clock.monotonic())
        if admitted.refused:
            places = places_of(items)
            for reason, refused in refused_by_guard(admitted.refused).items():
                await self._bury(rejects_of(places, refused, reason))
        if not admitted.samples:
            return
        words = await self._storing.write(admitted.samples)
        if words is not None:
            refused = await self._narrow(admitted.samples, words)
            places = places_of(items)
            await self._bury(rejects_of([places[at] for at in admitted.places], refused))

    async def _narrow(self, samples: Sequence[Sample], words: str) -> list[Refused]:
        narrowing = Narrowing(self._storing.write)
        refused = await narrowing.run(samples, words)
        log.warning(
            "store refused part of a write",
            samples=len({piece.at for part in refused for piece in part.pieces}),
            writes=narrowing.writes,
            reason=words,
        )
        return refused

    async def _bury(self, rejected: Iterable[tuple[Reject, Letter]]) -> None:
        rejects = list(rejected)
        self._letters.count([reject for reject, _ in rejects])
        letters = [letter for _, letter in rejects]
        while True:
            try:
                return await self._letters.bury(letters)
            except TooLarge as error:
                log.error("letters too large, raise MAX_BODY_BYTES", reason=error.message)
                await self._clock.sleep(HOPELESS_SECONDS)

    def _settle(self, items: Sequence[Spooled]) -> None:
        """Ack what only waited for the store."""
        if self._spool.durable:
            return
        for item in items:
            if item.origin:
                self._acker.add(receipts_of(item.receipt, item.origin.offsets))
            self._leases.drop(item.receipt)

    async def _gather(self) -> tuple[list[Spooled], int]:
        """Collect until a write is full or its first sample has waited long enough.

        What waits already is taken along, up to ten times a full write, and a full write waits
        until the store has rested: the more a write has to do, the less each point costs.
        """
        await self._wait_for_spooled()
        gathered: list[Spooled] = []
        points = 0
        deadline = self._clock.monotonic() + self._flush_seconds
        rested = min(self._rested, deadline)
        while points < self._batch_points * MOST_BATCHES:
            items = await self._next()
            gathered += items
            points += sum(item.points for item in items)
            if items:
                continue
            until = rested if points >= self._batch_points else deadline
            left = until - self._clock.monotonic()
            if left <= 0 or not await self._wait_for_spooled(left):
                break
        return gathered, self._spool.read_offset

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
