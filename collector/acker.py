"""Acks on their way to the brokers."""

import asyncio
from collections.abc import Sequence

from common import logs
from common.clock import Clock
from common.errors import TelemetryError, may_be_repeated
from common.queue.base import Consumer
from common.retry import Backoff

log = logs.get("collector.acker")


class Acker:
    """Acks what was spooled, everything that has come meanwhile in one request.

    A broker that is away is asked again until it is back, beside the acks for the others: a receipt
    it then calls stale is dropped, since its message comes again and storing it again changes
    nothing. Never holds more receipts than the queue lets one consumer have in flight.
    """

    def __init__(self, consumer: Consumer, clock: Clock) -> None:
        self.refused = 0
        self._consumer = consumer
        self._backoff = Backoff(clock)
        self._receipts: list[str] = []
        self._news = asyncio.Event()
        self._postponed: list[str] = []
        self._postponed_news = asyncio.Event()

    def add(self, receipts: Sequence[str]) -> None:
        """Have receipts acked."""
        self._receipts += receipts
        self._news.set()

    async def run(self) -> None:
        """Ack for ever."""
        while True:
            await self._news.wait()
            self._news.clear()
            batch, self._receipts = self._receipts, []
            self._postpone(await self._ack(batch))

    async def run_postponed(self) -> None:
        """Ack for ever what could not be acked at first."""
        while True:
            await self._postponed_news.wait()
            self._postponed_news.clear()
            await self._backoff.wait()
            batch, self._postponed = self._postponed, []
            again = await self._ack(batch)
            if not again:
                self._backoff.reset()
            self._postpone(again)

    def _postpone(self, receipts: list[str]) -> None:
        if receipts:
            self._postponed += receipts
            self._postponed_news.set()

    async def _ack(self, receipts: list[str]) -> list[str]:
        """Return the receipts that must be tried again."""
        try:
            settled = await self._consumer.ack(receipts)
        except TelemetryError as error:
            if may_be_repeated(error.code):
                return receipts
            log.error("acks refused", code=error.code, reason=error.message)
            self.refused += len(receipts)
            return []
        again = [receipt for receipt, code in settled.refused.items() if may_be_repeated(code)]
        self.refused += len(settled.refused) - len(again)
        return again
