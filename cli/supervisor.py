"""Processes of a local stack: started, watched, restarted, stopped in order."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from cli.ports import is_free

FIRST_RESTART_SECONDS = 0.2
LAST_RESTART_SECONDS = 5.0
STEADY_SECONDS = 10.0
READY_SECONDS = 30.0
READY_POLL_SECONDS = 0.1
STOP_SECONDS = 10.0
DONE, BAD_OPTIONS, PORT_TAKEN = 0, 2, 3


class StackError(Exception):
    """The stack cannot start or go on; the text says why."""


@dataclass(frozen=True)
class ProcessPlan:
    """One process: its name, the service it runs, its options by environment, its port.

    With a ``command`` it is a program of others: that is run, and its environment is all it gets.
    """

    name: str
    service: str
    environment: Mapping[str, str]
    port: int
    scheme: str = "http"
    command: tuple[str, ...] = ()
    ready_path: str = "/ready"

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{self.scheme}://127.0.0.1:{self.port}"


class Child:
    """One supervised process over all its lives."""

    def __init__(self, plan: ProcessPlan, log_path: Path, base_environment: Mapping[str, str]):
        self.plan = plan
        self.log_path = log_path
        self.restarts = 0
        self.finished = asyncio.Event()
        self.exit_code: int | None = None
        self._was_ready = False
        own = {**base_environment, **plan.environment, "PORT": str(plan.port)}
        self._environment = dict(plan.environment) if plan.command else own
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()
        self._watcher: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process id of its present life."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start it, and keep starting it; raises StackError when somebody else has its port."""
        if not is_free(self.plan.port):
            raise StackError(
                f"{self.plan.name} cannot have port {self.plan.port}: address already in use"
            )
        await self._spawn()
        self._watcher = asyncio.create_task(self._watch(), name=f"watch {self.plan.name}")

    async def stop(self) -> None:
        """Ask it to stop; insist when it does not."""
        self._stopping.set()
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
        if self._watcher is not None:
            await self._watcher

    async def wait_ready(self, session: aiohttp.ClientSession) -> None:
        """Return when it says that it is ready; raise StackError when it does not in time."""
        try:
            async with asyncio.timeout(READY_SECONDS):
                while not await is_ready(session, self.plan.url + self.plan.ready_path):
                    if self.finished.is_set():
                        raise StackError(self._explain("ended"))
                    await asyncio.sleep(READY_POLL_SECONDS)
                self._was_ready = True
        except TimeoutError:
            raise StackError(self._explain("is not ready")) from None

    async def _spawn(self) -> None:
        log = self.log_path.open("ab")
        with log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "cli.child",
                *(("--", *self.plan.command) if self.plan.command else (self.plan.service,)),
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    async def _watch(self) -> None:
        wait = FIRST_RESTART_SECONDS
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            self.exit_code = await self._process.wait() if self._process else None
            if self._is_final(self.exit_code):
                break
            wait = FIRST_RESTART_SECONDS if loop.time() - began > STEADY_SECONDS else wait
            if await self._stopped_within(wait):
                break
            wait = min(2 * wait, LAST_RESTART_SECONDS)
            self.restarts += 1
            await self._spawn()
        self.finished.set()

    def _is_final(self, exit_code: int | None) -> bool:
        """Whether starting again would change nothing; a port may be taken for a moment only."""
        return exit_code in (DONE, BAD_OPTIONS) or (exit_code == PORT_TAKEN and not self._was_ready)

    async def _stopped_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return False
        return True

    def _explain(self, what: str) -> str:
        lines = self.log_path.read_text(encoding="utf-8", errors="replace").splitlines()[-5:]
        return "\n".join([f"{self.plan.name} {what}; the end of {self.log_path}:", *lines])


class Supervisor:
    """Owns the children; starts them in the order given, stops them in the reverse."""

    def __init__(
        self,
        plans: Sequence[ProcessPlan],
        log_directory: Path,
        environment: Mapping[str, str],
    ) -> None:
        log_directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.children = {
            plan.name: Child(plan, log_directory / f"{plan.name}.log", environment)
            for plan in plans
        }

    async def start(self, session: aiohttp.ClientSession, names: Sequence[str]) -> None:
        """Start some children together and wait until all are ready."""
        children = [self.children[name] for name in names]
        for child in children:
            await child.start()
        await asyncio.gather(*(child.wait_ready(session) for child in children))

    async def stop(self) -> None:
        """Stop every child, the last one first: who writes before who is written to."""
        for child in reversed(self.children.values()):
            await child.stop()

    def restarts(self) -> dict[str, int]:
        """How often each child had to be started again."""
        return {name: child.restarts for name, child in self.children.items() if child.restarts}


async def is_ready(session: aiohttp.ClientSession, url: str) -> bool:
    """Whether a service says that it is ready."""
    try:
        async with session.get(url) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError, ConnectionError):
        return False
