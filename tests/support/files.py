"""A file system in memory that forgets what was not synced, and fails when told to."""

import errno
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from common.journal.files import AppendFile


@dataclass
class Content:
    """One file: what readers see, and what a power cut leaves of it."""

    seen: bytearray = field(default_factory=bytearray)
    synced: bytes = b""


@dataclass
class Fault:
    """From the ``at``-th call of ``operation`` on, ``times`` calls fail with ``code``.

    A failing write first writes ``short`` bytes.
    """

    operation: str
    code: int
    at: int = 1
    times: int = 1
    short: int = 0


class MemoryFiles:
    """A ``common.journal.files.Files``. Operations for faults are named like its methods."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.calls: dict[str, int] = {}
        self.free_bytes = 1 << 40
        self.bytes_read = 0
        self._renamed: list[tuple[Path, Path]] = []
        self._now: dict[Path, Content] = {}
        self._synced: dict[Path, Content] = {}

    def fail(
        self, operation: str, code: int = errno.EIO, at: int = 1, times: int = 1, short: int = 0
    ) -> None:
        """Plan a fault; ``at`` counts from the next call on."""
        at += self.calls.get(operation, 0)
        self.faults.append(Fault(operation, code, at, times, short))

    def crash(self, chance: random.Random | None = None) -> None:
        """Cut the power: what was not synced is gone, or with ``chance`` a part of it is."""
        kept = dict(self._synced)
        self._renamed.clear()
        if chance:
            kept |= {path: file for path, file in self._now.items() if chance.random() < 0.5}
        self._now = {path: _after_power_cut(file, chance) for path, file in kept.items()}
        self._synced = dict(self._now)
        self.faults.clear()

    def names(self, directory: Path) -> list[str]:
        """See ``Files``."""
        self.note("names")
        below = (path.relative_to(directory) for path in self._now if directory in path.parents)
        return sorted({path.parts[0] for path in below})

    def append_to(self, path: Path) -> AppendFile:
        """See ``Files``."""
        self.note("append_to")
        return MemoryAppendFile(self, self._now.setdefault(path, Content()))

    def size(self, path: Path) -> int:
        """See ``Files``."""
        return len(self._find(path).seen)

    def read(self, path: Path, position: int, length: int) -> bytes:
        """See ``Files``."""
        self.note("read")
        found = bytes(self._find(path).seen[position : position + length])
        self.bytes_read += len(found)
        return found

    def replace(self, source: Path, target: Path) -> None:
        """See ``Files``."""
        self.note("replace")
        if source in self._now:
            self._now[target] = self._now.pop(source)
            return
        for path in [path for path in self._now if source in path.parents]:
            self._now[target / path.relative_to(source)] = self._now.pop(path)
        self._renamed.append((source, target))

    def remove(self, path: Path) -> None:
        """See ``Files``."""
        self.note("remove")
        self._find(path)
        del self._now[path]

    def remove_tree(self, directory: Path) -> None:
        """See ``Files``."""
        self.note("remove_tree")
        self._now = {p: file for p, file in self._now.items() if directory not in p.parents}
        self._synced = {p: f for p, f in self._synced.items() if directory not in p.parents}

    def free(self, directory: Path) -> int:
        """See ``Files``."""
        return self.free_bytes

    def sync_directory(self, directory: Path) -> None:
        """See ``Files``."""
        self.note("sync_directory")
        for source, target in self._renamed:
            for path in [p for p in self._synced if source in p.parents]:
                self._synced[target / path.relative_to(source)] = self._synced.pop(path)
        self._renamed.clear()
        self._synced = {p: f for p, f in self._synced.items() if p.parent != directory}
        self._synced |= {p: f for p, f in self._now.items() if p.parent == directory}

    def change(self, path: Path, content: bytes) -> None:
        """Put other bytes into a file behind everyone's back."""
        self._now[path] = Content(bytearray(content), content)
        self._synced[path] = self._now[path]

    def content(self, path: Path) -> bytes:
        """Every byte of a file."""
        return bytes(self._find(path).seen)

    def snapshot(self) -> dict[Path, bytes]:
        """Every file with its bytes."""
        return {path: bytes(file.seen) for path, file in self._now.items()}

    def note(self, operation: str) -> Fault | None:
        """Count a call and raise what is planned for it; a short write is the caller's."""
        count = self.calls[operation] = self.calls.get(operation, 0) + 1
        for fault in self.faults:
            if fault.operation == operation and fault.at <= count < fault.at + fault.times:
                if fault.short:
                    return fault
                raise OSError(fault.code, os.strerror(fault.code))
        return None

    def _find(self, path: Path) -> Content:
        if path not in self._now:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return self._now[path]


class MemoryAppendFile:
    """An ``AppendFile`` of ``MemoryFiles``."""

    def __init__(self, files: MemoryFiles, content: Content) -> None:
        self._files = files
        self._content = content

    def write(self, buffers: Sequence[bytes]) -> None:
        """See ``AppendFile``."""
        data = b"".join(buffers)
        fault = self._files.note("write")
        self._content.seen += data[: fault.short] if fault else data
        if fault:
            raise OSError(fault.code, os.strerror(fault.code))

    def sync(self) -> None:
        """See ``AppendFile``."""
        self._files.note("sync")
        self._content.synced = bytes(self._content.seen)

    def truncate(self, size: int) -> None:
        """See ``AppendFile``."""
        self._files.note("truncate")
        del self._content.seen[size:]

    def close(self) -> None:
        """See ``AppendFile``."""


def _after_power_cut(file: Content, chance: random.Random | None) -> Content:
    left = file.synced
    if chance and bytes(file.seen).startswith(file.synced):
        left = bytes(file.seen[: chance.randint(len(file.synced), len(file.seen))])
    return Content(bytearray(left), left)
