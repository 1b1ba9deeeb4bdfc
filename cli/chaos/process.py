"""A service as a process that is killed, paused, starved and started again."""

import asyncio
import os
import resource
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import aiohttp

from cli.chaos.disk import Disk
from cli.supervisor import StackError

LIVE_SECONDS = 60.0
ANSWER_SECONDS = 2.0
LOOK_SECONDS = 0.05
STOP_SECONDS = 45.0  # twice the longest grace, and some for a busy machine
CLEAN = (0, -signal.SIGTERM, 128 + signal.SIGTERM)
REPAIRS = ("torn tail cut", "damaged frame skipped", "segment quarantined", "position file damaged")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class ServiceProcess:
    """One service over all its lives; ``child`` is the module that runs it.

    ``down`` is true while it is meant not to run, ``complaints`` has what was wrong with its stops
    and starts.
    """

    def __init__(
        self,
        name: str,
        service: str,
        directory: Path,
        port: int,
        environment: Mapping[str, str],
        child: Sequence[str],
    ) -> None:
        self.name = name
        self.service = service
        self.port = port
        self.data_dir = directory / name
        self.disk = Disk(directory / f"{name}.disk")
        self.log_path = directory / "logs" / f"{name}.log"
        self.down = True
        self.lives = 0
        self.complaints: list[str] = []
        self._command = [sys.executable, "-m", *child, str(self.disk.directory), service]
        own = {"PORT": str(port), "DATA_DIR": str(self.data_dir)}
        self._environment = {**environment, **own}
        self._process: asyncio.subprocess.Process | None = None
        self._stopped_cleanly = False
        self._log_read = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def alive(self) -> bool:
        """Whether it runs, or is paused."""
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int | None:
        """Its process id while it is alive."""
        return self._process.pid if self._process is not None and self.alive else None

    async def start(self) -> None:
        """Start it and return when it answers."""
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self._log_read = log.tell()
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.lives += 1
        self.down = False
        await self._until("/health", LIVE_SECONDS)
        self._look_for_repairs()

    async def until_ready(self, seconds: float = LIVE_SECONDS) -> None:
        """Return when it says that it is ready; raises StackError when it does not in time."""
        await self._until("/ready", seconds)

    async def kill(self) -> None:
        """kill -9."""
        self.down = True
        self._stopped_cleanly = False
        if self._process is not None and self.alive:
            self._process.kill()
            await self._process.wait()

    async def terminate(self) -> None:
        """SIGTERM, and what is to be said of how it ended."""
        self.down = True
        if self._process is None or not self.alive:
            return
        began = time.monotonic()
        self._process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                code = await self._process.wait()
        except TimeoutError:
            self.complaints.append(f"{self.name} did not stop within {STOP_SECONDS:.0f} s")
            await self.kill()
            return
        self._stopped_cleanly = code in CLEAN
        if not self._stopped_cleanly:
            took = time.monotonic() - began
            self.complaints.append(f"{self.name} ended with {code}, {took:.1f} s after SIGTERM")

    def pause(self) -> None:
        """SIGSTOP."""
        self._send(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        self._send(signal.SIGCONT)

    def allow_file_bytes(self, size: int) -> None:
        """Let no file of it grow beyond ``size``, as a full disk would; -1 lifts that."""
        if self.pid is not None:
            _, hard = resource.prlimit(self.pid, resource.RLIMIT_FSIZE)
            soft = hard if size < 0 else size
            resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (soft, hard))

    def usage(self) -> tuple[int, int] | None:
        """Resident bytes and open descriptors, None while it is not there."""
        if self.pid is None:
            return None
        try:
            pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
            return pages * _PAGE_BYTES, len(os.listdir(f"/proc/{self.pid}/fd"))  # noqa: PTH208
        except (OSError, IndexError):
            return None

    def died(self) -> int | None:
        """The exit code of one that ended although nobody ended it."""
        if self.down or self._process is None or self._process.returncode is None:
            return None
        self.down = True
        return self._process.returncode

    def last_words(self, lines: int = 5) -> str:
        """The end of its log."""
        text = self.log_path.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None and self.alive:
            self._process.send_signal(number)

    def _look_for_repairs(self) -> None:
        """After a clean stop nothing may have to be repaired."""
        if self._stopped_cleanly:
            with self.log_path.open("rb") as log:
                log.seek(self._log_read)
                said = log.read().decode("utf-8", "replace")
            found = [repair for repair in REPAIRS if repair in said]
            self.complaints += [f"{self.name} stopped cleanly, then: {repair}" for repair in found]
        self._stopped_cleanly = False

    async def _until(self, path: str, seconds: float) -> None:
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        try:
            async with asyncio.timeout(seconds), aiohttp.ClientSession(timeout=timeout) as session:
                while not await answers(session, self.url + path):
                    if not self.alive:
                        raise StackError(f"{self.name} ended at its start:\n{self.last_words()}")
                    await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError:
            raise StackError(
                f"{self.name} does not say {path} within {seconds:.0f} s:\n{self.last_words()}"
            ) from None


async def answers(session: aiohttp.ClientSession, url: str) -> bool:
    """Whether a GET is answered 200."""
    try:
        async with session.get(url) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError, ConnectionError):
        return False
