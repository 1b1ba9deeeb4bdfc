"""Time that only moves when a test says so."""

import asyncio
import heapq
import itertools

EPOCH = 1_750_000_000.0


class ManualClock:
    """A ``common.clock.Clock`` that stands still until ``advance``."""

    def __init__(self, wall: float = EPOCH) -> None:
        self._wall = wall
        self._monotonic = 1000.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._turns = itertools.count()

    def wall(self) -> float:
        """See ``Clock``."""
        return self._wall

    def monotonic(self) -> float:
        """See ``Clock``."""
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        """See ``Clock``; ends by ``advance`` alone."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        due = self._monotonic + seconds
        heapq.heappush(self._sleepers, (due, next(self._turns), done))
        await done

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass on both clocks and wake every sleeper whose time has come."""
        self._monotonic += seconds
        self._wall += seconds
        while self._sleepers and self._sleepers[0][0] <= self._monotonic:
            _, _, done = heapq.heappop(self._sleepers)
            if not done.done():
                done.set_result(None)

    def jump_wall(self, seconds: float) -> None:
        """Set the wall clock, as an operator or NTP would; deadlines must not notice."""
        self._wall += seconds
