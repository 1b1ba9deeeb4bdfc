"""One run: load under misfortune, then a healed stack that must come to rest, then the verdict."""

import asyncio
import contextlib
import random
import time
from pathlib import Path

from cli.chaos.books import left, scrape
from cli.chaos.fleet import Fleet
from cli.chaos.load import Load
from cli.chaos.nemesis import Nemesis
from cli.chaos.outcome import Outcome
from cli.chaos.plan import (
    LATE_GROUP,
    ORDERED_GROUP,
    RAW_GROUP,
    RAW_TOPIC,
    ChaosPlan,
    settings_of,
)
from cli.chaos.points import Exporter, compare, stored_points
from cli.chaos.strikes import Strikes
from cli.stack import GROUP, TOPIC
from cli.supervisor import StackError
from common.errors import TelemetryError

RAW_GROUPS = (RAW_GROUP, ORDERED_GROUP, LATE_GROUP)
GROUPS = (*((RAW_TOPIC, group) for group in RAW_GROUPS), (TOPIC, GROUP))
LOOK_SECONDS = 0.25


async def run_chaos(plan: ChaosPlan, directory: Path) -> Outcome:
    """Run in an empty directory for about ``plan.seconds``, then heal and wait for rest."""
    outcome = Outcome(plan, settings_of(plan))
    run = Run(outcome, directory)
    try:
        for phase in (run.suffer, run.rest):  # what breaks the first is no reason not to heal
            try:
                await phase()
            except (StackError, TelemetryError, TimeoutError) as error:
                outcome.defects.append(f"{type(error).__name__}: {error}")
    finally:
        await run.end()
    outcome.complaints = [each for process in run.fleet.all() for each in process.complaints]
    return outcome


class Run:
    """Everything that is going on in a run."""

    def __init__(self, outcome: Outcome, directory: Path) -> None:
        plan = outcome.plan
        self.fleet = Fleet(plan, outcome.settings, directory)
        self._outcome = outcome
        self._rng = random.Random(plan.seed)  # noqa: S311  no secret
        self._exporter = Exporter(self.fleet.csv, plan.seed, plan.seconds)
        self._load = Load(
            self.fleet.proxy_urls,
            self.fleet.token,
            outcome.settings.partitions,
            outcome.oracle,
            plan.seed,
            self.fleet.is_listed,
        )
        outcome.order = self._load.order
        self._looking: asyncio.Task[None] | None = None

    async def suffer(self) -> None:
        """The time of misfortunes."""
        outcome, plan = self._outcome, self._outcome.plan
        self._exporter.start()
        await self.fleet.start()
        self._load.start()
        self._looking = asyncio.create_task(outcome.audit.run(self.fleet))

        def forgot(name: str) -> None:
            outcome.order.forget(name, outcome.oracle.stored)

        strikes = Strikes(self.fleet, self._rng, plan.longest_pause_seconds, forgot)
        outcome.history = strikes.history
        await Nemesis(strikes, plan, self._rng).run()

    async def rest(self) -> None:
        """The time of healing: all that is under way must arrive."""
        outcome = self._outcome
        await self.fleet.heal()
        healed = time.monotonic()
        end = healed + outcome.plan.rest_seconds
        await self._exporter.stop()
        outcome.produced_points = self._exporter.points
        self._load.hurry()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(end - time.monotonic()):
                await self._load.stop_sending()
        while outcome.drain_seconds is None and time.monotonic() < end:
            unfinished = await self._unfinished()
            outcome.unfinished = unfinished or outcome.unfinished
            if not unfinished:
                outcome.drain_seconds = round(time.monotonic() - healed, 1)
            else:
                await asyncio.sleep(LOOK_SECONDS)
        await outcome.audit.look(self.fleet)
        self._load.check()
        path = self.fleet.store_path
        outcome.compared = await asyncio.to_thread(compare, self._exporter, path)

    async def end(self) -> None:
        """Leave no task and no process behind."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        await self._exporter.stop()
        await self._load.close()
        await self.fleet.end()

    async def _unfinished(self) -> str:
        """What has not come to rest yet; empty when all has."""
        missing = self._exporter.points - await asyncio.to_thread(
            stored_points, self.fleet.store_path
        )
        if missing > 0:
            return f"{missing} points not stored"
        for broker in self.fleet.brokers.values():
            text = await scrape(broker.url)
            if text is None:
                return f"{broker.name} does not answer"
            for topic, group in GROUPS:
                waiting = left(text, topic, group)
                if waiting:
                    return f"{waiting} messages of {topic} not settled by {group}"
        for collector in self.fleet.collectors.values():
            stats = await self.fleet.ask(f"{collector.url}/stats")
            if stats is None or stats["spool_messages"]:
                return f"{collector.name} has not stored its spool"
        return ""
