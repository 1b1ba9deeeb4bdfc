"""The command `telemetry` as its user runs it: a process, its output, its children."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from tests.support.warm import run_module

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "cli"]
LIMIT_SECONDS = 120.0
LOOK_SECONDS = 0.02


def environment(given: Mapping[str, str] = MappingProxyType({})) -> dict[str, str]:
    """An environment without anything the machine has set for our services, and what is given."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return kept | {"PYTHONPATH": str(ROOT)} | dict(given)


def telemetry(*arguments: str, **given: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return run_module(["cli", *arguments], environment(given), LIMIT_SECONDS)


class Started:
    """The command under way."""

    def __init__(self, process: subprocess.Popen[str], output: Path) -> None:
        self.process = process
        self._output = output

    def output(self) -> str:
        """What it printed so far."""
        return self._output.read_text(encoding="utf-8")

    def until(self, condition: Callable[[], bool]) -> None:
        """Look until something is so; fail when the command ends before."""
        deadline = time.monotonic() + LIMIT_SECONDS
        while not condition():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"it did not come to that; output:\n{self.output()}")
            time.sleep(LOOK_SECONDS)

    def kill(self, name: str) -> None:
        """kill -9 of the child that writes to ``<name>.log``."""
        for pid in children_of(self.process.pid):
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/fd/2").readlink().name == f"{name}.log":
                    os.kill(pid, signal.SIGKILL)
                    return
        raise AssertionError(f"{name} does not run any more; output:\n{self.output()}")

    def end(self) -> int:
        """Ask it to stop and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """Return its exit code once it ends by itself."""
        return self.process.wait(LIMIT_SECONDS)


@contextlib.contextmanager
def started(directory: Path, *arguments: str, **given: str) -> Iterator[Started]:
    """Start the command; leave no process of it behind."""
    output = directory / "output"
    with output.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            [*COMMAND, *arguments], env=environment(given), stdout=file, stderr=file, text=True
        )
    try:
        yield Started(process, output)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(LIMIT_SECONDS)


def children_of(pid: int) -> list[int]:
    """The process ids of a process's children."""
    tasks = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in tasks.read_text().split()] if tasks.exists() else []


def size_of(path: Path) -> int:
    """Bytes in a file that may not be there yet."""
    return path.stat().st_size if path.exists() else 0
