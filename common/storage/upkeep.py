"""What whoever writes a store does to it between writes, a bounded step at a time."""

from typing import NamedTuple

from common.storage.base import Store

SETTLED_SECONDS = 600.0
"""How long after its end an hour is rolled up: what comes later has it rolled up once more."""


class Done(NamedTuple):
    """What a step did: hours of a GPU that were rolled up, points or rollups that were deleted."""

    rolled_up: int
    deleted: int


class Upkeep:
    """Rolls up what is complete, then deletes what is older than the retentions; 0 is for ever."""

    def __init__(self, retention_seconds: float, rollup_retention_seconds: float) -> None:
        self._retention_seconds = retention_seconds
        self._rollup_retention_seconds = rollup_retention_seconds

    def step(self, store: Store, now: float) -> Done:
        """Do a part of what there is to do at wall time ``now``; nothing done is nothing left.

        Raises StoreUnavailable; may be called again at any time.
        """
        rolled_up = store.roll_up(_ms(now - SETTLED_SECONDS))
        if rolled_up or not (self._retention_seconds or self._rollup_retention_seconds):
            return Done(rolled_up, 0)
        points_before = _before(now, self._retention_seconds)
        return Done(0, store.expire(points_before, _before(now, self._rollup_retention_seconds)))


def _before(now: float, retention_seconds: float) -> int:
    return _ms(now - retention_seconds) if retention_seconds else 0


def _ms(seconds: float) -> int:
    return max(0, int(seconds * 1000))
