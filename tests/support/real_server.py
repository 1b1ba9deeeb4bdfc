"""A server of somebody else's as a process: started, paused, killed as an operator would."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from tests.support import still

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "telemetry-servers"
"""Where ``make servers`` leaves what it gets."""
POLL_SECONDS = 0.02
FRUGAL = {"GOMAXPROCS": "1", "GOGC": "400"}
"""For programs in Go: many share two cores, where a thread that spins takes them from others and
memory that is collected seldom costs less than the collecting.
"""


class RealServer:
    """A process on ports and in a directory that it keeps over its restarts."""

    name = ""
    start_seconds = 60.0

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """What starts it."""
        raise NotImplementedError

    def is_ready(self) -> bool:
        """Whether it answers."""
        raise NotImplementedError

    def start(self) -> None:
        """Start it and return when it answers."""
        with self._directory.with_name(f"{self._directory.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command(), stdout=log, stderr=log, env=os.environ | FRUGAL
            )
        deadline = time.monotonic() + self.start_seconds
        while not self.is_ready():
            assert self._process.poll() is None, f"{self.name} ended at its start"
            assert time.monotonic() < deadline, f"{self.name} is not ready"
            time.sleep(POLL_SECONDS)

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        """SIGSTOP: it accepts and says nothing."""
        if self._runs():
            still.stop(self.pid)

    def go_on(self) -> None:
        """SIGCONT."""
        if self._runs():
            os.kill(self.pid, signal.SIGCONT)

    @property
    def pid(self) -> int:
        """The process of the last start."""
        assert self._process is not None
        return self._process.pid

    def _runs(self) -> bool:
        return self._process is not None and self._process.poll() is None


Server = TypeVar("Server", bound=RealServer)


@contextlib.contextmanager
def running(server: Server) -> Iterator[Server]:
    """A server of one's own; it is killed at the end."""
    try:
        server.start()
        yield server
    finally:
        server.kill()


def program_of(name: str) -> str | None:
    """The program that ``make servers`` made, or one that is installed."""
    built = CACHE / name / name
    return str(built) if os.access(built, os.X_OK) else shutil.which(name)


def listens(address: str) -> bool:
    """Whether ``host:port`` takes connections."""
    host, _, port = address.partition(":")
    with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 1):
        return True
    return False
