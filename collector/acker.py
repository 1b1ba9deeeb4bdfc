"""Acks and rejections on their way to the brokers."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence

from common import logs
from common.clock import Clock
from common.errors import TelemetryError, may_be_repeated
from common.queue.base import Consumer
from common.retry import Backoff

log = logs.get("collector.acker")


Receipts = defaultdict[str, list[str]]


class Acker:
    """Settles what was spooled, everything that has come meanwhile in one request.

    Receipts are kept by why they are rejected; those with no reason are acked.

    A broker that is away is asked again until it is back, beside the acks for the others: a receipt
    it then calls stale is dropped, since its message comes again and storing it again changes
    nothing. Never holds more receipts than the queue lets one consumer have in flight.
    """

    def __init__(self, consumer: Consumer, clock: Clock) -> None:
        self.refused = 0
        self._consumer = consumer
        self._backoff = Backoff(clock)
        self._receipts: Receipts = defaultdict(list)
        self._news = asyncio.Event()
        self._postponed: Receipts = defaultdict(list)
        self._postponed_news = asyncio.Event()

    def add(self, receipts: Sequence[str], why: str = "") -> None:
        """Have receipts acked, or rejected for a reason."""
        if receipts:
            self._receipts[why] += receipts
            self._news.set()

    async def run(self) -> None:
        """Ack for ever."""
        while True:
            await self._news.wait()
            self._news.clear()
            batch, self._receipts = self._receipts, defaultdict(list)
            self._postpone(await self._settle_all(batch))

    async def run_postponed(self) -> None:
        """Ack for ever what could not be acked at first."""
        while True:
            await self._postponed_news.wait()
            self._postponed_news.clear()
            await self._backoff.wait()
            batch, self._postponed = self._postponed, defaultdict(list)
            again = await self._settle_all(batch)
            if not again:
                self._backoff.reset()
            self._postpone(again)

    def _postpone(self, batch: Mapping[str, list[str]]) -> None:
        for why, receipts in batch.items():
            self._postponed[why] += receipts
            self._postponed_news.set()

    async def _settle_all(self, batch: Mapping[str, list[str]]) -> dict[str, list[str]]:
        """Return what must be tried again."""
        tried = {why: await self._settle(receipts, why) for why, receipts in batch.items()}
        return {why: again for why, again in tried.items() if again}

    async def _settle(self, receipts: list[str], why: str) -> list[str]:
        """Return the receipts that must be tried again."""
        try:
            if why:
                settled = await self._consumer.reject(receipts, why)
            else:
                settled = await self._consumer.ack(receipts)
        except TelemetryError as error:
            if may_be_repeated(error.code):
                return receipts
            log.error("receipts refused", code=error.code, reason=error.message)
            self.refused += len(receipts)
            return []
        again = [receipt for receipt, code in settled.refused.items() if may_be_repeated(code)]
        self.refused += len(settled.refused) - len(again)
        return again
