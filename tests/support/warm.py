"""Services as processes that have nothing to import: forks of one that imported everything.

Each is a process like any other, with memory, descriptors and a death of its own. What it skips is
what Python does before the first line of ``python -m SERVICE``: two thirds of the CPU time of a
start, and tests start services by the hundred.
"""

import asyncio
import multiprocessing
import os
import runpy
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

_SERVICES = ("broker", "proxy", "streamer", "collector", "api")
_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(
    [__name__, "common.http.server", *(f"{service}.app" for service in _SERVICES)]
)


class Process(Protocol):
    """What tests ask of a process; ``returncode`` is None while it lives."""

    @property
    def pid(self) -> int:
        """Its id."""

    @property
    def returncode(self) -> int | None:
        """Its exit code, negative for the signal that ended it."""

    def send_signal(self, number: int) -> None:
        """Send a signal; nothing once it has ended."""

    def kill(self) -> None:
        """kill -9."""

    async def wait(self) -> int:
        """Return the exit code when it has ended."""


async def start_module(
    module: Sequence[str],
    environment: Mapping[str, str],
    output: Path,
    prefix: Sequence[str] = (),
) -> Process:
    """Run ``python -m`` with a module and its arguments; what it writes is added to a file.

    A ``prefix`` is a command that runs a command, which then starts as everything does.
    """
    if not prefix:
        return Fork(module, environment, output)
    command = [*prefix, sys.executable, "-m", *module]
    with output.open("ab") as file:
        return await asyncio.create_subprocess_exec(
            *command, env=environment, stdout=file, stderr=file
        )


class Fork:
    """``python -m`` without the imports."""

    def __init__(self, module: Sequence[str], environment: Mapping[str, str], output: Path) -> None:
        given = list(module), dict(environment), str(output)
        self._process = _forks.Process(target=_become, args=given, daemon=True)
        self._process.start()

    @property
    def pid(self) -> int:
        """See ``Process``."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """See ``Process``."""
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """See ``Process``."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """See ``Process``."""
        self.send_signal(signal.SIGKILL)

    async def wait(self) -> int:
        """See ``Process``."""
        ended, loop = asyncio.Event(), asyncio.get_running_loop()
        loop.add_reader(self._process.sentinel, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(self._process.sentinel)
        code = self.returncode
        assert code is not None
        return code


def _become(module: list[str], environment: dict[str, str], output: str) -> None:
    """The body of a fork: be the module."""
    os.environ.clear()
    os.environ.update(environment)
    file = os.open(output, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    for number in (1, 2):
        os.dup2(file, number)
    os.close(file)
    sys.argv = module
    runpy.run_module(module[0], run_name="__main__", alter_sys=True)
