"""From the queue into the spool, and only then the ack.

Two stages run at once: one receives and validates, the other spools everything that has come
meanwhile with one fsync and hands the receipts to the acker.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import NamedTuple, ParamSpec, TypeVar

from collector.acker import Acker
from collector.rejects import Rejects
from collector.spool import Entry, Spool
from collector.validate import Reject, examine
from common import logs
from common.clock import Clock
from common.errors import PartitionReadOnly, TelemetryError
from common.models import Sample
from common.queue.base import Consumer, Delivery
from common.retry import Backoff
from common.threads import run_in

log = logs.get("collector.intake")

EXAMINED_AT_ONCE = 32

P = ParamSpec("P")
T = TypeVar("T")


class Examined(NamedTuple):
    """A delivery, sorted into what goes on and what does not."""

    receipt: str
    messages: int
    entry: Entry
    rejects: list[Reject]


class Intake:
    """Owns the way from the consumer to the spool."""

    def __init__(
        self,
        consumer: Consumer,
        acker: Acker,
        spool: Spool,
        rejects: Rejects,
        disk: Executor,
        clock: Clock,
        spool_bytes: int,
    ) -> None:
        self.messages = 0
        self.spooled = asyncio.Event()
        self.room = asyncio.Event()
        self.room.set()
        self._consumer = consumer
        self._acker = acker
        self._spool = spool
        self._rejects = rejects
        self._disk = disk
        self._clock = clock
        self._spool_bytes = spool_bytes
        self._examined: asyncio.Queue[Examined] = asyncio.Queue(EXAMINED_AT_ONCE)

    async def receive(self) -> None:
        """Receive and validate, for ever."""
        async for delivery in self._consumer.deliveries():
            await self._examined.put(examine_delivery(delivery))

    async def spool(self) -> None:
        """Spool and ack, for ever."""
        while True:
            await self._wait_for_room()
            batch = [await self._examined.get()]
            while not self._examined.empty():
                batch.append(self._examined.get_nowait())
            await self._keep(batch)
            self._acker.add([examined.receipt for examined in batch])
            self.messages += sum(examined.messages for examined in batch)

    def check_room(self) -> None:
        """Look again whether the spool is below its cap; one in which nothing waits is."""
        if self._spool.bytes_on_disk < self._spool_bytes or not self._spool.pending:
            self.room.set()
        else:
            self.room.clear()

    async def _wait_for_room(self) -> None:
        self.check_room()
        if not self.room.is_set():
            log.warning("spool full, consumption stops", bytes=self._spool.bytes_on_disk)
            await self.room.wait()
            log.info("spool has room, consumption goes on", bytes=self._spool.bytes_on_disk)

    async def _keep(self, batch: Sequence[Examined]) -> None:
        """Put good and bad on the disk, however long it takes."""
        now_ms = int(self._clock.wall() * 1000)
        rejects = [reject for examined in batch for reject in examined.rejects]
        if rejects:
            await self._until_done(self._rejects.keep, rejects, now_ms)
        entries = [examined.entry for examined in batch if examined.entry.payloads]
        if entries:
            self._spool.keep(await self._until_done(self._spool.append, entries, now_ms))
            self.spooled.set()

    async def _until_done(self, work: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
        """Repeat what the disk refuses; a spool that can no longer be trusted ends the stage."""
        backoff = Backoff(self._clock)
        while True:
            try:
                return await run_in(self._disk, work, *given, **named)
            except PartitionReadOnly:
                raise
            except (TelemetryError, OSError) as error:
                log.error("spooling failed, nothing is acked", reason=str(error))
                await backoff.wait()


def examine_delivery(delivery: Delivery) -> Examined:
    """Validate every message of a delivery."""
    payloads: list[bytes] = []
    samples: list[Sample] = []
    rejects: list[Reject] = []
    for payload in delivery.payloads:
        verdict = examine(payload)
        if verdict.payload:
            payloads.append(verdict.payload)
            samples += verdict.samples
        rejects += verdict.rejects
    return Examined(delivery.receipt, len(delivery.payloads), Entry(payloads, samples), rejects)
