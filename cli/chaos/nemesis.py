"""One misfortune after the other, in an order that a seed decides."""

import asyncio
import random
from collections.abc import Iterator

from cli.chaos.plan import ChaosPlan
from cli.chaos.strikes import NAMES, Strikes

DOUBLE_CHANCE = 0.3
CALM_SECONDS = (0.2, 2.0)


class Nemesis:
    """Strikes until the time is over, each kind once before any comes again."""

    def __init__(self, strikes: Strikes, plan: ChaosPlan, rng: random.Random) -> None:
        self._strikes = strikes
        self._rng = rng
        self._seconds = plan.seconds
        self._names = plan.only or NAMES

    async def run(self) -> None:
        """Strike, and strike again."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._seconds
        for name in self._order():
            await asyncio.sleep(self._rng.uniform(*CALM_SECONDS))
            if loop.time() > end:
                return
            await self._strike(name)

    async def _strike(self, name: str) -> None:
        """One misfortune, and sometimes another in the middle of it."""
        both = [name]
        if self._rng.random() < DOUBLE_CHANCE:
            both.append(self._rng.choice(self._names))
        await asyncio.gather(*(self._strikes.strike(it) for it in both))

    def _order(self) -> Iterator[str]:
        while True:
            yield from self._rng.sample(self._names, len(self._names))
