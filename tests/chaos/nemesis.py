"""What goes wrong, in an order that a seed decides."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from tests.chaos.fleet import Fleet
from tests.support.process import ServiceProcess

LONGEST_PAUSE_SECONDS = 40.0
MOST_BROKERS = 5
FEWEST_BROKERS = 3
DRAIN_SECONDS = 120.0
DOUBLE_CHANCE = 0.3


Strike = Callable[[], Awaitable[None]]


class Nemesis:
    """One misfortune after the other, each kind once before any comes again."""

    def __init__(self, fleet: Fleet, seed: int, seconds: float) -> None:
        self.history: list[str] = []
        self._fleet = fleet
        self._rng = random.Random(seed)
        self._seconds = seconds
        self._pause_seconds = min(LONGEST_PAUSE_SECONDS, seconds / 12)
        self._busy: set[str] = set()
        self._kinds: list[Strike] = [
            self.kill_broker,
            self.kill_proxy,
            self.pause_broker,
            self.pause_proxy,
            self.reset_links,
            self.cut_link,
            self.add_broker,
            self.remove_broker,
        ]

    async def run(self) -> None:
        """Strike until the time is over and everything has struck once."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._seconds
        for number, strike in enumerate(self._order()):
            if loop.time() > end and number >= len(self._kinds):
                return
            await self._strike(strike)
            await asyncio.sleep(self._rng.uniform(0.2, 2.0))

    async def _strike(self, strike: Strike) -> None:
        """One misfortune, and sometimes another in the middle of it."""
        both = [strike]
        if self._rng.random() < DOUBLE_CHANCE:
            both.append(self._rng.choice(self._kinds))
        await asyncio.gather(*(it() for it in both))

    async def kill_broker(self) -> None:
        """kill -9, and a start after a while."""
        with self._some_broker() as name:
            await self._kill(name, self._fleet.brokers[name])

    async def kill_proxy(self) -> None:
        """kill -9, and a start after a while."""
        with self._some_proxy() as name:
            await self._kill(name, self._fleet.proxies[name])

    async def pause_broker(self) -> None:
        """SIGSTOP: it accepts connections and answers nothing."""
        with self._some_broker() as name:
            await self._pause(name, self._fleet.brokers[name])

    async def pause_proxy(self) -> None:
        """SIGSTOP."""
        with self._some_proxy() as name:
            await self._pause(name, self._fleet.proxies[name])

    async def reset_links(self) -> None:
        """Every connection between proxies and one broker is reset, a few times."""
        with self._some_broker() as name:
            self._note(f"reset {name}")
            for _ in range(5):
                await self._fleet.links[name].cut()
                await asyncio.sleep(self._rng.uniform(0.0, 0.3))

    async def cut_link(self) -> None:
        """Nobody reaches a broker for a while, which is well."""
        with self._some_broker() as name:
            self._note(f"cut off {name}")
            await self._fleet.links[name].shut()
            await asyncio.sleep(self._rng.uniform(0.5, 4.0))
            await self._fleet.links[name].open()

    async def add_broker(self) -> None:
        """One more, unless there are many."""
        if len(self._fleet.brokers) < MOST_BROKERS:
            self._note(f"added {await self._fleet.add_broker()}")

    async def remove_broker(self) -> None:
        """Drain one and take it away, unless there are few."""
        if len(self._fleet.brokers) <= FEWEST_BROKERS:
            await self.add_broker()
        with self._some_broker() as name:
            self._note(f"remove {name}")
            async with asyncio.timeout(DRAIN_SECONDS):
                await self._fleet.remove_broker(name)

    def _order(self) -> Iterator[Strike]:
        while True:
            yield from self._rng.sample(self._kinds, len(self._kinds))

    def _some_broker(self) -> AbstractContextManager[str]:
        return self._pick(sorted(self._fleet.brokers))

    def _some_proxy(self) -> AbstractContextManager[str]:
        return self._pick(sorted(self._fleet.proxies))

    @contextmanager
    def _pick(self, names: list[str]) -> Iterator[str]:
        """One that nothing else befalls meanwhile."""
        name = self._rng.choice([name for name in names if name not in self._busy])
        self._busy.add(name)
        try:
            yield name
        finally:
            self._busy.discard(name)

    async def _kill(self, name: str, process: ServiceProcess) -> None:
        self._note(f"kill {name}")
        await process.kill()
        await asyncio.sleep(self._rng.uniform(0.0, 4.0))
        await process.start()

    async def _pause(self, name: str, process: ServiceProcess) -> None:
        self._note(f"pause {name}")
        process.pause()
        await asyncio.sleep(self._pause_seconds)
        process.go_on()

    def _note(self, what: str) -> None:
        self.history.append(what)
