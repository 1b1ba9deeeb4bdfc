"""Deliveries that stay the queue's until they are stored: their leases must not run out."""

from common import logs
from common.clock import Clock
from common.errors import TelemetryError
from common.queue.base import Consumer

log = logs.get("collector.leases")

EVERY_SECONDS = 10.0
LEASE_SECONDS = 60.0


class Leases:
    """Extends what is in hand while ``run`` runs; without it, nothing is kept track of.

    A lease that ran out even so, while this process was stopped for one, is another collector's;
    storing the same points again changes nothing.
    """

    def __init__(self, consumer: Consumer, clock: Clock, wanted: bool) -> None:
        self._consumer = consumer
        self._clock = clock
        self._wanted = wanted
        self._held: dict[str, None] = {}

    def take(self, receipt: str) -> None:
        """A delivery has come."""
        if self._wanted:
            self._held[receipt] = None

    def drop(self, receipt: str) -> None:
        """A delivery is settled."""
        self._held.pop(receipt, None)

    async def run(self) -> None:
        """Extend for ever."""
        while True:
            await self._clock.sleep(EVERY_SECONDS)
            if not self._held:
                continue
            try:
                await self._consumer.extend(list(self._held), LEASE_SECONDS)
            except TelemetryError as error:
                log.warning("leases not extended", code=error.code, reason=error.message)
