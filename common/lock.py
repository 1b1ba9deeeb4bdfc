"""One process a directory."""

import fcntl
import os
from pathlib import Path

LOCK_FILE = "lock"


class DirectoryTakenError(Exception):
    """Another process has the directory."""


def lock_directory(directory: Path) -> int:
    """Take a directory, made if it is not there, for this process; returns what ``unlock`` needs.

    The lock goes with the process, however it ends. Raises DirectoryTakenError.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = os.open(directory / LOCK_FILE, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise DirectoryTakenError(str(directory)) from None
    return lock


def unlock(lock: int) -> None:
    """Let the directory go."""
    os.close(lock)
