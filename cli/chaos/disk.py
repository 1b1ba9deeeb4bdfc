"""A disk that can lose what was not synced, be slow, or fail, without root.

A service's log files are written as ever; beside them a ledger tells how much of each was synced.
After a kill -9 the kernel still has the rest. ``cut_power`` takes it away, as a power cut would:
each file ends anywhere between its synced end and its end. Renames and removals are taken as kept.
"""

import errno
import os
import random
import time
from collections.abc import Sequence
from pathlib import Path

from common.journal.files import AppendFile, DiskFiles

LEDGER_FILE = "synced"
MOOD_FILE = "mood"
SLOW, FAILING = "slow", "failing"
ZEROS_SHARE = 0.25  # what a power cut leaves behind a file's synced end may be zeros


class WitnessedFiles(DiskFiles):
    """``Files`` of a child of chaos: what is synced is noted in ``directory``."""

    def __init__(self, directory: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._ledger = os.open(directory / LEDGER_FILE, flags, 0o600)
        self._mood = directory / MOOD_FILE

    def append_to(self, path: Path) -> AppendFile:
        """See ``Files``."""
        return WitnessedFile(super().append_to(path), path, self)

    def suffer(self) -> None:
        """Be as slow, or fail, as the mood says just now."""
        try:
            mood, _, seconds = self._mood.read_text().partition(" ")
        except FileNotFoundError:
            return
        if mood == SLOW:
            time.sleep(float(seconds))
        elif mood == FAILING:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def note(self, inode: int, what: str, size: int) -> None:
        """Write down that a file was synced, or cut, to a size; one line, whole even in a kill."""
        os.write(self._ledger, f"{inode} {what} {size}\n".encode())


class WitnessedFile:
    """An ``AppendFile`` of ``WitnessedFiles``."""

    def __init__(self, file: AppendFile, path: Path, files: WitnessedFiles) -> None:
        self._file = file
        self._path = path
        self._files = files
        self.close = file.close

    def write(self, buffers: Sequence[bytes]) -> None:
        """See ``AppendFile``."""
        self._file.write(buffers)

    def sync(self) -> None:
        """See ``AppendFile``; what is written while it syncs is not counted."""
        status = self._path.stat()
        self._files.suffer()
        self._file.sync()
        self._files.note(status.st_ino, "synced", status.st_size)

    def truncate(self, size: int) -> None:
        """See ``AppendFile``."""
        self._file.truncate(size)
        self._files.note(self._path.stat().st_ino, "cut", size)


class Disk:
    """The disk of one child, seen by who torments it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def set_mood(self, mood: str, seconds: float = 0.0) -> None:
        """Let every sync take longer, or fail, from now on."""
        scratch = self.directory / f"{MOOD_FILE}.new"
        scratch.write_text(f"{mood} {seconds}")
        scratch.replace(self.directory / MOOD_FILE)

    def calm(self) -> None:
        """Let syncs be as they are."""
        (self.directory / MOOD_FILE).unlink(missing_ok=True)

    def cut_power(self, data_dir: Path, rng: random.Random) -> int:
        """Take away what was not synced, or a part of it; return how many bytes.

        Nobody may have the files open.
        """
        synced = self._synced()
        lost = 0
        kept: dict[int, int] = {}
        for path in sorted(data_dir.rglob("*")):
            if not path.is_file():
                continue
            status = path.stat()
            safe = min(synced.get(status.st_ino, 0), status.st_size)
            end = rng.choice((safe, rng.randint(safe, status.st_size)))
            lost += status.st_size - end
            if end < status.st_size:
                os.truncate(path, end)
                if rng.random() < ZEROS_SHARE:
                    os.truncate(path, status.st_size)
            kept[status.st_ino] = path.stat().st_size
        lines = [f"{inode} synced {size}\n" for inode, size in kept.items()]
        (self.directory / LEDGER_FILE).write_text("".join(lines))
        return lost

    def _synced(self) -> dict[int, int]:
        sizes: dict[int, int] = {}
        try:
            text = (self.directory / LEDGER_FILE).read_text()
        except FileNotFoundError:
            return sizes
        for line in text.splitlines():
            inode, what, size = line.split(" ")
            number, end = int(inode), int(size)
            sizes[number] = end if what == "synced" else min(end, sizes.get(number, 0))
        return sizes
