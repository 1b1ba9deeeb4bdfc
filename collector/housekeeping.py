"""What a store needs between writes: old points out, complete hours rolled up."""

from collector.storing import Storing
from common import logs
from common.clock import Clock
from common.storage.upkeep import Done, Upkeep

log = logs.get("collector.housekeeping")

EVERY_SECONDS = 60.0
PAUSE_SECONDS = 0.05
TRUSTED_JUMP_SECONDS = 3600.0


class Housekeeping:
    """Does a bounded step at a time, until nothing is left; looks again each minute.

    A wall clock that is set far ahead while this runs makes nothing old: it is believed as far as
    time has passed on the monotonic clock, and an hour more.
    """

    def __init__(self, storing: Storing, upkeep: Upkeep, clock: Clock) -> None:
        self._storing = storing
        self._upkeep = upkeep
        self._clock = clock
        self._began = clock.wall() - clock.monotonic()

    async def run(self) -> None:
        """Keep house for ever."""
        while True:
            done = await self._do_all()
            if any(done):
                log.info("store kept", **done._asdict())
            await self._clock.sleep(EVERY_SECONDS)

    async def _do_all(self) -> Done:
        rolled_up = deleted = 0
        while any(done := await self._storing.tend(self._upkeep, self._now())):
            rolled_up += done.rolled_up
            deleted += done.deleted
            await self._clock.sleep(PAUSE_SECONDS)
        return Done(rolled_up, deleted)

    def _now(self) -> float:
        latest = self._began + self._clock.monotonic() + TRUSTED_JUMP_SECONDS
        return min(self._clock.wall(), latest)
