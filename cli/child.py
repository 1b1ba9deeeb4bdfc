"""A service under a supervisor: it does not outlive who started it.

``python -m cli.child SERVICE`` is ``python -m SERVICE`` with that difference, and
``python -m cli.child -- PROGRAM ARGUMENTS`` is that program with it.
"""

import ctypes
import os
import runpy
import signal
import sys

_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


def follow_parent(number: int = signal.SIGTERM) -> None:
    """Be asked to stop when the parent dies, however it dies; or be killed, a paused one too."""
    ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, int(number))
    if os.getppid() == 1:
        raise SystemExit(1)


if __name__ == "__main__":
    follow_parent()
    if sys.argv[1] == "--":
        os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606  it becomes the program, with no shell
    runpy.run_module(sys.argv[1], run_name="__main__")
