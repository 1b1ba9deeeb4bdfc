"""Services as processes that have nothing to import: forks of one that imported everything.

Each is a process like any other, with memory, descriptors and a death of its own. What it skips is
what Python does before the first line of ``python -m SERVICE``: nearly all the CPU time of a start,
and tests start services by the hundred.
"""

import asyncio
import multiprocessing
import multiprocessing.connection
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

_SERVICES = ("broker", "proxy", "streamer", "collector", "api")
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    [
        __name__,
        "cli.main",
        "common.http.server",
        *(f"{service}.app" for service in _SERVICES),
        "tests.support.settled",
    ]
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

    def __init__(
        self,
        module: Sequence[str],
        environment: Mapping[str, str],
        output: Path,
        errors: Path | None = None,
    ) -> None:
        given = list(module), dict(environment), output, errors or output
        self._process = FORKS.Process(target=_become, args=given, daemon=True)
        self._process.start()

    @property
    def pid(self) -> int:
        """See ``Process``."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def sentinel(self) -> int:
        """A descriptor that can be read once it has ended."""
        return self._process.sentinel

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
        loop.add_reader(self.sentinel, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(self.sentinel)
        code = self.returncode
        assert code is not None
        return code


def run_module(
    module: Sequence[str], environment: Mapping[str, str], seconds: float
) -> subprocess.CompletedProcess[str]:
    """``python -m`` to its end; raises TimeoutError when it takes longer than that."""
    with tempfile.TemporaryDirectory() as directory:
        output, errors = (Path(directory, name) for name in ("output", "errors"))
        fork = Fork(module, environment, output, errors)
        if not multiprocessing.connection.wait([fork.sentinel], seconds):
            fork.kill()
            raise TimeoutError(f"{module} takes too long: {output.read_text()}")
        code = fork.returncode
        assert code is not None
        return subprocess.CompletedProcess(module, code, output.read_text(), errors.read_text())


def _become(module: list[str], environment: dict[str, str], output: Path, errors: Path) -> None:
    """The body of a fork: be the module."""
    os.environ.clear()
    os.environ.update(environment)
    for number, path in ((1, output), (2, errors)):
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        os.dup2(file, number)
        os.close(file)
    sys.argv = module
    runpy.run_module(module[0], run_name="__main__", alter_sys=True)
