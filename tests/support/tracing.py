"""System calls of a broker process that fail, hang or kill, through strace."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from tests.support.needs import need_programs, need_root
from tests.support.waiting import until

SYNCS = "fsync,fdatasync"


class Tracer:
    """strace attached to a running process; ``calls`` are those it saw, a line each."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def calls(self, name: str) -> list[str]:
        """The calls of a name seen so far."""
        return [line for line in self._log.read_text().splitlines() if f"{name}(" in line]


@contextlib.asynccontextmanager
async def attached(pid: int, calls: str, what: str, log: Path) -> AsyncIterator[Tracer]:
    """Have calls of a broker's disk threads suffer; leaving lets them go on unhindered.

    ``what`` is strace's, e.g. ``signal=KILL:when=3``. It counts by thread: a broker whose calls
    are to be counted has DISK_THREADS=1.
    """
    need_root()
    need_programs("strace")
    threads = _disk_threads(pid)
    command = ["strace", "-qqq", "-o", str(log), *(f"--attach={thread.name}" for thread in threads)]
    injection = ["-e", f"trace={calls}", "-e", f"inject={calls}:{what}"]
    tracer = await asyncio.create_subprocess_exec(*command, *injection)
    try:
        await until(lambda: all(map(_is_traced, threads)))
        yield Tracer(log)
    finally:
        with contextlib.suppress(ProcessLookupError):  # it ends with what it traces
            tracer.terminate()
        await tracer.wait()


def _disk_threads(pid: int) -> list[Path]:
    """Every thread but the event loop's: a broker's others do its file work."""
    return [task for task in Path(f"/proc/{pid}/task").iterdir() if task.name != str(pid)]


def _is_traced(task: Path) -> bool:
    return "TracerPid:\t0\n" not in (task / "status").read_text()
