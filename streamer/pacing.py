"""Holding a rate of samples a second."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

from common.clock import Clock

STEP_SECONDS = 0.05  # what is let through at once, as time
CATCH_UP_SECONDS = 1.0  # how much of a delay is made up for

Item = TypeVar("Item")


class Pacer:
    """Lets ``rate`` items a second through; 0 lets all through."""

    def __init__(self, rate: float, clock: Clock) -> None:
        self._rate = rate
        self._clock = clock
        self._due = clock.monotonic()

    def slices(self, items: Sequence[Item]) -> Iterator[Sequence[Item]]:
        """Cut ``items`` into what is let through at once."""
        size = max(1, int(self._rate * STEP_SECONDS)) if self._rate else max(1, len(items))
        return (items[at : at + size] for at in range(0, len(items), size))

    async def pass_through(self, count: int) -> None:
        """Return when ``count`` more items may go."""
        if not self._rate:
            return
        now = self._clock.monotonic()
        self._due = max(self._due, now - CATCH_UP_SECONDS)
        if self._due > now:
            await self._clock.sleep(self._due - now)
        self._due += count / self._rate
