"""Looking on: the books at every scrape, memory and descriptors, deaths that nobody ordered."""

import asyncio
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

from cli.chaos.books import given_up, imbalances, scrape
from cli.chaos.fleet import Fleet

SCRAPE_SECONDS = 1.0
WARM_SECONDS = 60.0
LONG_LIFE_SECONDS = 120.0
MIB = 1 << 20
MOST_GROWTH_MIB = 48.0
MOST_GROWTH_DESCRIPTORS = 40.0


class Used(NamedTuple):
    """What a process held at a moment, in seconds."""

    at: float
    mib: float
    descriptors: int


class Growth(NamedTuple):
    """How much more a life held in its last third than in its first, once it was warm.

    Of memory the medians are compared, of descriptors the fewest: the connections of a burst go
    within half a minute, those of a leak do not.
    """

    mib: float
    descriptors: float


@dataclass
class Audit:
    """What was seen of a fleet while it suffered."""

    scrapes: int = 0
    imbalances: list[str] = field(default_factory=list)
    given_up: dict[str, int] = field(default_factory=dict)
    deaths: list[str] = field(default_factory=list)
    most_mib: float = 0.0
    most_descriptors: int = 0
    _lives: defaultdict[tuple[str, int], list[Used]] = field(
        default_factory=lambda: defaultdict(list)
    )

    async def run(self, fleet: Fleet) -> None:
        """Look for ever."""
        while True:
            await self.look(fleet)
            await asyncio.sleep(SCRAPE_SECONDS)

    async def look(self, fleet: Fleet) -> None:
        """Look once at everything."""
        for process in fleet.all():
            code = process.died()
            if code is not None:
                self.deaths.append(f"{process.name} ended by itself with {code}")
            used = process.usage()
            if used is not None:
                self.note_at(time.monotonic(), (process.name, process.lives), *used)
        urls = [broker.url for broker in fleet.brokers.values()]
        for text in await asyncio.gather(*(scrape(url) for url in urls)):
            if text is not None:
                self.scrapes += 1
                self.imbalances += imbalances(text)
                self.given_up |= given_up(text)

    def growths(self) -> dict[str, Growth]:
        """By process, the most that its lives of some length grew, by either measure."""
        found: dict[str, Growth] = {}
        for (name, _), uses in self._lives.items():
            warm = [used for used in uses if used.at - uses[0].at >= WARM_SECONDS]
            if not warm or warm[-1].at - uses[0].at < LONG_LIFE_SECONDS:
                continue
            first, last = _thirds(warm)
            growth = Growth(last.mib - first.mib, last.descriptors - first.descriptors)
            found[name] = Growth(*map(max, growth, found.get(name, growth)))
        return found

    def leaks(self) -> list[str]:
        """Processes that grew as nothing flat does."""
        return [
            f"{name} grew by {growth.mib:.0f} MiB and {growth.descriptors:.0f} descriptors"
            for name, growth in self.growths().items()
            if growth.mib > MOST_GROWTH_MIB or growth.descriptors > MOST_GROWTH_DESCRIPTORS
        ]

    def note_at(self, at: float, life: tuple[str, int], size: int, descriptors: int) -> None:
        """A life held so many bytes and descriptors."""
        mib = size / MIB
        self._lives[life].append(Used(at, mib, descriptors))
        self.most_mib = max(self.most_mib, mib)
        self.most_descriptors = max(self.most_descriptors, descriptors)


def _thirds(uses: list[Used]) -> tuple[Used, Used]:
    """What stands for the first third of a life, and for its last."""
    third = max(1, len(uses) // 3)

    def typical(part: list[Used]) -> Used:
        middle = len(part) // 2
        return Used(
            part[middle].at,
            sorted(used.mib for used in part)[middle],
            min(used.descriptors for used in part),
        )

    return typical(uses[:third]), typical(uses[-third:])
