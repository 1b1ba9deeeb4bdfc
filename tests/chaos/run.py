"""One run: load under misfortune, then a healed cluster that must come to rest."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.books import imbalances, left, scrape
from tests.chaos.fleet import Fleet
from tests.chaos.load import GROUP, Load
from tests.chaos.nemesis import Nemesis
from tests.chaos.oracle import Oracle

BROKERS = 3
REST_SECONDS = 60.0
SCRAPE_SECONDS = 1.0
WRONG = ("WRONG_BROKER",)


@dataclass
class Outcome:
    """What a run showed."""

    oracle: Oracle
    seed: int
    history: list[str] = field(default_factory=list)
    scrapes: int = 0
    imbalances: list[str] = field(default_factory=list)
    rest_seconds: float | None = None

    def faults(self) -> list[str]:
        """Every promise that was broken; none at all is what is wanted."""
        oracle = self.oracle
        found = [
            f"{len(oracle.lost())} lost, {sorted(oracle.lost())[:10]}" if oracle.lost() else "",
            f"invented: {sorted(oracle.invented())[:10]}" if oracle.invented() else "",
            f"mangled: {oracle.mangled[:3]}" if oracle.mangled else "",
            f"books: {self.imbalances[:3]}" if self.imbalances else "",
            "" if self.rest_seconds is not None else f"not at rest after {REST_SECONDS} s",
            *(f"{count} acks {why}" for why, count in oracle.refused.items() if why in WRONG),
        ]
        return [fault for fault in found if fault]

    def report(self) -> dict[str, Any]:
        """The figures of the run."""
        return {
            "seed": self.seed,
            **self.oracle.summary(),
            "refused": dict(self.oracle.refused),
            "scrapes": self.scrapes,
            "imbalances": len(self.imbalances),
            "rest_seconds": self.rest_seconds,
            "strikes": self.history,
        }


async def run_chaos(directory: Path, seed: int, seconds: float) -> Outcome:
    """Run for about ``seconds``, then heal and wait for rest."""
    oracle = Oracle()
    outcome = Outcome(oracle, seed)
    fleet = Fleet(directory, BROKERS)
    nemesis = Nemesis(fleet, seed, seconds)
    outcome.history = nemesis.history
    load: Load | None = None
    auditor: asyncio.Task[None] | None = None
    try:
        await fleet.start()
        load = Load(fleet.proxy_urls, oracle, seed)
        load.start()
        auditor = asyncio.create_task(audit(fleet, outcome))
        await nemesis.run()
        await fleet.heal()
        healed = asyncio.get_running_loop().time()
        async with asyncio.timeout_at(healed + REST_SECONDS):
            await load.stop_sending()
        outcome.rest_seconds = await rest(fleet, oracle, healed)
        load.check()
    finally:
        if auditor is not None:
            auditor.cancel()
        if load is not None:
            await load.close()
        await fleet.end()
    return outcome


async def audit(fleet: Fleet, outcome: Outcome) -> None:
    """Look at every broker's books, for ever."""
    while True:
        for text in [await scrape(broker) for broker in list(fleet.brokers.values())]:
            if text is not None:
                outcome.scrapes += 1
                outcome.imbalances += imbalances(text)
        await asyncio.sleep(SCRAPE_SECONDS)


async def rest(fleet: Fleet, oracle: Oracle, began: float) -> float | None:
    """Seconds until everything stored was delivered and settled; None when that takes too long."""
    loop = asyncio.get_running_loop()
    while loop.time() < began + REST_SECONDS:
        texts = [await scrape(broker) for broker in fleet.brokers.values()]
        settled = all(text is not None and left(text, GROUP) == 0 for text in texts)
        if settled and not oracle.lost():
            return round(loop.time() - began, 1)
        await asyncio.sleep(0.2)
    return None
