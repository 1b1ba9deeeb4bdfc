"""Old points leave the store, a bounded part at a time between writes."""

from collector.storing import Storing
from common import logs
from common.clock import Clock

log = logs.get("collector.retention")

EVERY_SECONDS = 60.0
PAUSE_SECONDS = 0.05
TRUSTED_JUMP_SECONDS = 3600.0


class Retention:
    """Deletes what is older than ``seconds``.

    A wall clock that is set far ahead while this runs makes nothing old: it is believed as far as
    time has passed on the monotonic clock, and an hour more.
    """

    def __init__(self, storing: Storing, seconds: float, clock: Clock) -> None:
        self._storing = storing
        self._seconds = seconds
        self._clock = clock
        self._began = clock.wall() - clock.monotonic()

    async def run(self) -> None:
        """Delete for ever."""
        while True:
            if gone := await self._expire():
                log.info("old points deleted", points=gone)
            await self._clock.sleep(EVERY_SECONDS)

    async def _expire(self) -> int:
        before_ms = int((self._now() - self._seconds) * 1000)
        gone = 0
        while part := await self._storing.expire(before_ms):
            gone += part
            await self._clock.sleep(PAUSE_SECONDS)
        return gone

    def _now(self) -> float:
        latest = self._began + self._clock.monotonic() + TRUSTED_JUMP_SECONDS
        return min(self._clock.wall(), latest)
