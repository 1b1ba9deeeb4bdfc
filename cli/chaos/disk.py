"""A disk that can lose what was not synced, be slow, or fail, without root.

A service's log files are written as ever; beside them a ledger tells how much of each was synced.
After a kill -9 the kernel still has the rest. ``cut_power`` takes it away, as a power cut would:
each file ends anywhere between its synced end and its end. Renames and removals are taken as kept.
"""

import errno
import mmap
import os
import random
import struct
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from common.journal.files import AppendFile, DiskFiles

LEDGER_FILE = "synced"
LEDGER_BYTES = 16 << 20  # sparse; a row for each file there ever was
MOOD_FILE = "mood"
SLOW, FAILING = "slow", "failing"
ZEROS_SHARE = 0.25  # what a power cut leaves behind a file's synced end may be zeros

_INODE = _SIZE = struct.Struct("<Q")
_ROW_BYTES = _INODE.size + _SIZE.size


class Ledger:
    """How much of each file was synced, by inode, in memory that outlives a kill -9.

    A table of (inode, size) in a file that never grows: a full disk does not touch it.
    """

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._table = mmap.mmap(file.fileno(), LEDGER_BYTES)
        self._slots = {inode: slot for slot, inode, _ in self._rows()}

    def size(self, inode: int) -> int:
        """Bytes that were synced; 0 for a file that never was."""
        slot = self._slots.get(inode)
        return 0 if slot is None else int(_SIZE.unpack_from(self._table, slot + _INODE.size)[0])

    def note(self, inode: int, size: int) -> None:
        """So much is synced now; the inode is written last, when its size is there."""
        slot = self._slots.get(inode)
        if slot is None:
            slot = len(self._slots) * _ROW_BYTES
            _SIZE.pack_into(self._table, slot + _INODE.size, size)
            _INODE.pack_into(self._table, slot, inode)
            self._slots[inode] = slot
        else:
            _SIZE.pack_into(self._table, slot + _INODE.size, size)

    def close(self) -> None:
        """Let go of the table."""
        self._table.close()

    def _rows(self) -> Iterator[tuple[int, int, int]]:
        for slot in range(0, LEDGER_BYTES, _ROW_BYTES):
            (inode,) = _INODE.unpack_from(self._table, slot)
            if not inode:
                return
            yield slot, inode, _SIZE.unpack_from(self._table, slot + _INODE.size)[0]


class WitnessedFiles(DiskFiles):
    """``Files`` of a child of chaos: what is synced is noted in ``directory``."""

    def __init__(self, directory: Path) -> None:
        self._ledger = Ledger(directory / LEDGER_FILE)
        self._mood = directory / MOOD_FILE
        self._noting = threading.Lock()

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

    def synced(self, inode: int, size: int) -> None:
        """Write down that so much of a file is safe."""
        with self._noting:
            self._ledger.note(inode, size)

    def cut(self, inode: int, size: int) -> None:
        """Write down that no more of a file is safe: it was cut there."""
        with self._noting:
            self._ledger.note(inode, min(size, self._ledger.size(inode)))


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
        self._files.synced(status.st_ino, status.st_size)

    def truncate(self, size: int) -> None:
        """See ``AppendFile``."""
        self._file.truncate(size)
        self._files.cut(self._path.stat().st_ino, size)


class Disk:
    """The disk of one child, seen by who torments it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._write_ledger({})

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
        ledger = Ledger(self.directory / LEDGER_FILE)
        lost = 0
        kept: dict[int, int] = {}
        for path in sorted(data_dir.rglob("*")):
            if not path.is_file():
                continue
            status = path.stat()
            safe = min(ledger.size(status.st_ino), status.st_size)
            end = rng.choice((safe, rng.randint(safe, status.st_size)))
            lost += status.st_size - end
            if end < status.st_size:
                os.truncate(path, end)
                if rng.random() < ZEROS_SHARE:
                    os.truncate(path, status.st_size)
            kept[status.st_ino] = path.stat().st_size
        ledger.close()
        self._write_ledger(kept)
        return lost

    def _write_ledger(self, sizes: Mapping[int, int]) -> None:
        rows = b"".join(_INODE.pack(inode) + _SIZE.pack(size) for inode, size in sizes.items())
        path = self.directory / LEDGER_FILE
        path.write_bytes(rows)
        os.truncate(path, LEDGER_BYTES)
