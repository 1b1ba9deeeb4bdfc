"""The few file operations a journal needs, behind a seam that tests own."""

import errno
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

_MAX_BUFFERS = 1024  # IOV_MAX on Linux


class AppendFile(Protocol):
    """One file open for appending."""

    def write(self, buffers: Sequence[bytes]) -> None:
        """Append every byte or raise OSError, in which case a prefix may have been written.

        A file that is not at its path any more is not written to.
        """

    def sync(self) -> None:
        """Return when every byte written so far would survive a power cut."""

    def truncate(self, size: int) -> None:
        """Cut the file to ``size`` bytes; the next write goes there."""

    def close(self) -> None:
        """Close without syncing."""


class Files(Protocol):
    """A file system, as far as a journal is concerned."""

    def names(self, directory: Path) -> list[str]:
        """The names in a directory, which is made when it is not there, but not what it is in."""

    def append_to(self, path: Path) -> AppendFile:
        """Open for appending at the end; the file is made when it is not there."""

    def size(self, path: Path) -> int:
        """Bytes in the file."""

    def read(self, path: Path, position: int, length: int) -> bytes:
        """Up to ``length`` bytes from ``position``; fewer only at the end of the file."""

    def replace(self, source: Path, target: Path) -> None:
        """Rename over whatever is there; a directory only where nothing is."""

    def remove(self, path: Path) -> None:
        """Unlink a file."""

    def remove_tree(self, directory: Path) -> None:
        """Unlink a directory with everything in it."""

    def free(self, directory: Path) -> int:
        """Bytes that the file system of a directory still takes from us."""

    def sync_directory(self, directory: Path) -> None:
        """Return when creations, renames and removals in it would survive a power cut."""


class DiskAppendFile:
    """A file of the operating system; loops over short writes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._inode = os.fstat(self._fd).st_ino

    def write(self, buffers: Sequence[bytes]) -> None:
        if os.stat(self._path).st_ino != self._inode:  # noqa: PTH116  Path.stat costs twice that
            raise FileNotFoundError(errno.ENOENT, "another file is in its place", str(self._path))
        for first in range(0, len(buffers), _MAX_BUFFERS):
            self._write_some(list(buffers[first : first + _MAX_BUFFERS]))

    def _write_some(self, buffers: list[bytes]) -> None:
        left = sum(map(len, buffers))
        while left:
            written = os.writev(self._fd, buffers)
            left -= written
            if left:
                buffers = drop(buffers, written)

    def sync(self) -> None:
        os.fdatasync(self._fd)

    def truncate(self, size: int) -> None:
        os.ftruncate(self._fd, size)

    def close(self) -> None:
        os.close(self._fd)


class DiskFiles:
    """The machine's own file system."""

    def names(self, directory: Path) -> list[str]:
        directory.mkdir(exist_ok=True, mode=0o700)
        return [entry.name for entry in directory.iterdir()]

    def append_to(self, path: Path) -> AppendFile:
        return DiskAppendFile(path)

    def size(self, path: Path) -> int:
        return path.stat().st_size

    def read(self, path: Path, position: int, length: int) -> bytes:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(fd, length, position)
        finally:
            os.close(fd)

    def replace(self, source: Path, target: Path) -> None:
        source.replace(target)

    def remove(self, path: Path) -> None:
        path.unlink()

    def remove_tree(self, directory: Path) -> None:
        shutil.rmtree(directory)

    def free(self, directory: Path) -> int:
        found = os.statvfs(directory)
        return found.f_bavail * found.f_frsize

    def sync_directory(self, directory: Path) -> None:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def drop(buffers: list[bytes], count: int) -> list[bytes]:
    """Return what is left of ``buffers`` after their first ``count`` bytes."""
    for index, buffer in enumerate(buffers):
        if count < len(buffer):
            return [buffer[count:], *buffers[index + 1 :]]
        count -= len(buffer)
    return []
