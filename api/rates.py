"""How often a key may ask."""

from common.clock import Clock
from common.errors import RateLimited

MOST_KEYS = 10_000


class Rates:
    """Lets each key make ``burst`` requests at once, and ``per_second`` over time (GCRA).

    A key costs one number: the moment from which it would have used up nothing. It goes by the
    monotonic clock, so that a wall clock set back locks nobody out.
    """

    def __init__(self, per_second: int, burst: int, clock: Clock) -> None:
        self._interval = 1.0 / per_second if per_second else 0.0
        self._ahead = self._interval * (burst - 0.5)  # half a request: sums of floats stray
        self._clock = clock
        self._free_at: dict[str, float] = {}

    def spend(self, key_id: str) -> None:
        """Count a request; raises RateLimited, counting nothing, when there are too many."""
        if not self._interval:
            return
        now = self._clock.monotonic()
        free_at = max(now, self._free_at.get(key_id, now))
        if free_at - now > self._ahead:
            wait_seconds = free_at - now - self._ahead
            raise RateLimited("the key asks too often", retry_after_seconds=wait_seconds)
        self._free_at[key_id] = free_at + self._interval
        if len(self._free_at) > MOST_KEYS:
            self._free_at = {name: at for name, at in self._free_at.items() if at > now}
