"""From the queue into the spool, and only then the ack.

Two stages run at once: one receives and validates, the other spools everything that has come
meanwhile with one fsync and hands the receipts to the acker.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import ParamSpec, TypeVar

from collector.acker import Acker
from collector.examined import Examined, examine_delivery, receipts_of
from collector.held import Held
from collector.known import Known
from collector.leases import Leases
from collector.letters import Letters
from collector.spool import Spool
from common import logs
from common.clock import Clock
from common.errors import PartitionReadOnly, TelemetryError, TooLarge
from common.queue.base import Consumer
from common.retry import Backoff
from common.threads import run_in

log = logs.get("collector.intake")

P = ParamSpec("P")
T = TypeVar("T")


class Intake:
    """Owns the way from the consumers to the spool; ``handlers`` deliveries are under way at most.

    What an undurable spool holds is acked by who stores it, and its leases are kept until then.
    """

    def __init__(
        self,
        acker: Acker,
        spool: Spool | Held,
        letters: Letters,
        leases: Leases,
        disk: Executor,
        clock: Clock,
        spool_bytes: int,
        handlers: int,
    ) -> None:
        self.delivered = 0
        self.messages = 0
        self.spooled = asyncio.Event()
        self.room = asyncio.Event()
        self.room.set()
        self._acker = acker
        self._spool = spool
        self._letters = letters
        self._leases = leases
        self._disk = disk
        self._clock = clock
        self._spool_bytes = spool_bytes
        self._known = Known()
        self._examined: asyncio.Queue[Examined] = asyncio.Queue()
        self._handlers = asyncio.Semaphore(handlers)

    async def receive(self, consumer: Consumer) -> None:
        """Receive and validate, for ever."""
        async for delivery in consumer.deliveries():
            self.delivered += len(delivery.payloads)
            self._leases.take(delivery.receipt)
            await self._handlers.acquire()
            self._examined.put_nowait(examine_delivery(delivery, self._known))

    async def spool(self) -> None:
        """Spool and settle, for ever."""
        while True:
            await self._wait_for_room()
            batch = [await self._examined.get()]
            while not self._examined.empty():
                batch.append(self._examined.get_nowait())
            await self._bury(batch)
            await self._keep(batch)
            for examined in batch:
                self._settle(examined)
                self._handlers.release()

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

    async def _bury(self, batch: Sequence[Examined]) -> None:
        """Dead-letter the broken parts of messages; of a part too large for it, the message."""
        for examined in batch:
            if examined.letters:
                try:
                    await self._letters.bury(examined.letters)
                except TooLarge as error:
                    log.warning("part too large for a letter", reason=error.message)
                    examined.rejected |= {each.offset: each.error for each in examined.letters}
            self._letters.count(examined.rejects)

    async def _keep(self, batch: Sequence[Examined]) -> None:
        """Put the good on the disk, however long it takes."""
        now_ms = int(self._clock.wall() * 1000)
        entries = [examined.entry for examined in batch if examined.entry.payloads]
        if entries:
            self._spool.keep(await self._until_done(self._spool.append, entries, now_ms))
            self.spooled.set()

    def _settle(self, examined: Examined) -> None:
        """Ack what is kept or empty, reject what is broken as a whole."""
        self.messages += examined.messages
        entry = examined.entry
        for offset, words in examined.rejected.items():
            self._acker.add(receipts_of(entry.receipt, [offset]), words)
        if self._spool.durable and not examined.rejected:
            self._acker.add([entry.receipt])
            return
        later = set() if self._spool.durable else set(entry.origin.offsets)
        done = [o for o in examined.offsets if o not in examined.rejected and o not in later]
        self._acker.add(receipts_of(entry.receipt, done))
        if not later:
            self._leases.drop(entry.receipt)

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
