"""Each misfortune: what is done to a process or a link, for how long, and how it is undone."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from cli.chaos.disk import FAILING, SLOW
from cli.chaos.fleet import Fleet
from cli.chaos.process import ServiceProcess
from cli.supervisor import StackError

KINDS = ("broker", "proxy", "collector", "streamer")
ON_PROCESSES = ("kill", "pause", "restart")
WITH_DISKS = ("broker", "collector")
ON_DISKS = ("cut-power", "fill-disk", "slow-disk", "break-disk")
ON_LINKS = ("reset", "cut", "silence")
NAMES = (
    *(f"{verb}-{kind}" for verb in ON_PROCESSES for kind in KINDS),
    *(f"{verb}-{kind}" for verb in ON_DISKS for kind in WITH_DISKS),
    *(f"{verb}-link" for verb in ON_LINKS),
    "add-broker",
    "remove-broker",
)

FEWEST_BROKERS, MOST_BROKERS = 3, 5
DRAIN_SECONDS = 120.0
DOWN_SECONDS = (0.0, 4.0)
HINDERED_SECONDS = (0.5, 4.0)
SHORTEST_PAUSE_SECONDS = 0.5
SYNC_SECONDS = (0.05, 1.0)
FILE_BYTES = (0, 4096, 100_000)
RESETS = 5


class Strikes:
    """All that may befall a fleet; nothing befalls who is not over with the last thing.

    ``forgot`` is told the name of a broker whose power was cut.
    """

    def __init__(
        self,
        fleet: Fleet,
        rng: random.Random,
        longest_pause_seconds: float,
        forgot: Callable[[str], None],
    ) -> None:
        self.history: list[str] = []
        self._fleet = fleet
        self._rng = rng
        self._longest_pause_seconds = longest_pause_seconds
        self._forgot = forgot
        self._began = time.monotonic()
        self._busy: set[str] = set()
        self._verbs: dict[str, Callable[[ServiceProcess], Awaitable[None]]] = {
            "kill": self._kill,
            "cut-power": self._cut_power,
            "pause": self._pause,
            "restart": self._restart,
            "fill-disk": self._fill_disk,
            "slow-disk": self._slow_disk,
            "break-disk": self._break_disk,
            "reset": self._reset_link,
            "cut": self._cut_link,
            "silence": self._silence_link,
            "remove": self._remove_broker,
        }

    async def strike(self, name: str) -> None:
        """Do one of ``NAMES`` to somebody, and undo it."""
        verb, _, kind = name.rpartition("-")
        if verb == "add" or (verb == "remove" and len(self._fleet.brokers) <= FEWEST_BROKERS):
            await self._add_broker()
        if verb == "add":
            return
        with self._somebody(kind) as process:
            if process is not None:
                self._note(f"{verb} {process.name}")
                await self._verbs[verb](process)

    @contextmanager
    def _somebody(self, kind: str) -> Iterator[ServiceProcess | None]:
        """One that nothing else befalls meanwhile; None when all are busy."""
        fleet = self._fleet
        of_kind = {
            "broker": fleet.listed,
            "link": fleet.listed,
            "proxy": fleet.proxies,
            "collector": fleet.collectors,
            "streamer": {fleet.streamer.name: fleet.streamer},
        }[kind]
        free = sorted(of_kind.keys() - self._busy)
        if not free:
            yield None
            return
        name = self._rng.choice(free)
        self._busy.add(name)
        try:
            yield of_kind[name]
        finally:
            self._busy.discard(name)

    async def _kill(self, process: ServiceProcess) -> None:
        """kill -9, and a start after a while."""
        await process.kill()
        await self._wait(DOWN_SECONDS)
        await process.start()

    async def _cut_power(self, process: ServiceProcess) -> None:
        """kill -9, and what its log had not synced is gone."""
        await process.kill()
        lost = process.disk.cut_power(process.data_dir, self._rng)
        self._note(f"  {process.name} had not synced {lost} bytes")
        await self._wait(DOWN_SECONDS)
        self._forgot(process.name)  # not before what was on its way has come
        await process.start()

    async def _pause(self, process: ServiceProcess) -> None:
        """SIGSTOP: connections are accepted and nothing is answered."""
        process.pause()
        await self._wait((SHORTEST_PAUSE_SECONDS, self._longest_pause_seconds))
        process.go_on()

    async def _restart(self, process: ServiceProcess) -> None:
        """SIGTERM, and a start at once."""
        await process.terminate()
        await process.start()

    async def _fill_disk(self, process: ServiceProcess) -> None:
        """No file grows any more."""
        process.allow_file_bytes(self._rng.choice(FILE_BYTES))
        await self._wait(HINDERED_SECONDS)
        process.allow_file_bytes(-1)

    async def _slow_disk(self, process: ServiceProcess) -> None:
        """Every fsync takes its time."""
        process.disk.set_mood(SLOW, self._rng.uniform(*SYNC_SECONDS))
        await self._wait(HINDERED_SECONDS)
        process.disk.calm()

    async def _break_disk(self, process: ServiceProcess) -> None:
        """Every fsync fails, until the process is killed and its disk replaced.

        It may end by itself, to look at its log anew.
        """
        process.down = True
        process.disk.set_mood(FAILING)
        await self._wait(HINDERED_SECONDS)
        await process.kill()
        process.disk.calm()
        await process.start()

    async def _reset_link(self, process: ServiceProcess) -> None:
        """Every connection between proxies and one broker is reset, a few times."""
        for _ in range(RESETS):
            await self._fleet.links[process.name].reset()
            await self._wait((0.0, 0.3))

    async def _cut_link(self, process: ServiceProcess) -> None:
        """Nobody reaches a broker for a while, which is well."""
        await self._fleet.links[process.name].shut()
        await self._wait(HINDERED_SECONDS)
        await self._fleet.links[process.name].open()

    async def _silence_link(self, process: ServiceProcess) -> None:
        """Connections stay and nothing comes through, as with a pulled cable."""
        self._fleet.links[process.name].hold()
        await self._wait(HINDERED_SECONDS)
        self._fleet.links[process.name].let_flow()

    async def _add_broker(self) -> None:
        """One more, unless there are many."""
        if len(self._fleet.brokers) < MOST_BROKERS:
            self._note(f"add {await self._fleet.add_broker()}")

    async def _remove_broker(self, process: ServiceProcess) -> None:
        """Drain one and take it away."""
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                await self._fleet.remove_broker(process.name)
        except TimeoutError:
            raise StackError(f"{process.name} was not empty {DRAIN_SECONDS:.0f} s later") from None

    async def _wait(self, bounds: tuple[float, float]) -> None:
        await asyncio.sleep(self._rng.uniform(*bounds))

    def _note(self, what: str) -> None:
        self.history.append(f"{time.monotonic() - self._began:6.1f} s  {what}")
