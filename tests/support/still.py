"""Processes that are made to stand still."""

import contextlib
import os
import signal
import time
from pathlib import Path

LONGEST_SECONDS = 20.0
POLL_SECONDS = 0.001


def stop(pid: int) -> None:
    """SIGSTOP, and return when every thread stands, those in the middle of an fsync too.

    The signal alone only asks: until one thread was given a processor to see it, all of them go on.
    """
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + LONGEST_SECONDS
    while not _stands(pid):
        assert time.monotonic() < deadline, f"{pid} does not stop"
        time.sleep(POLL_SECONDS)


def _stands(pid: int) -> bool:
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # a thread that has ended
            if (task / "stat").read_text().rpartition(")")[2].split()[0] != "T":
                return False
    return True
