"""Waiting between tries that have no end: exponential, with full jitter."""

import random

from common.clock import Clock

FIRST_SECONDS = 0.1
LAST_SECONDS = 5.0


class Backoff:
    """One series of tries; each wait is drawn from zero to a limit that doubles."""

    def __init__(
        self, clock: Clock, last_seconds: float = LAST_SECONDS, rng: random.Random | None = None
    ) -> None:
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311  jitter, no secret
        self._limit = FIRST_SECONDS
        self._last_seconds = last_seconds

    async def wait(self, least_seconds: float = 0.0) -> None:
        """Wait before the next try, ``least_seconds`` or more when the other side asked so."""
        drawn = self._rng.uniform(0, self._limit)
        self._limit = min(2 * self._limit, self._last_seconds)
        await self._clock.sleep(max(drawn, least_seconds))

    def reset(self) -> None:
        """It worked: the next series begins small again."""
        self._limit = FIRST_SECONDS
