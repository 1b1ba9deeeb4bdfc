"""The folders of an export: ``day=YYYY-MM-DD/host=NAME/part-0.parquet``.

A file is the whole day of a host. It is written under a hidden name, synced, and renamed: so it is
complete or not there, and a run over the same days replaces what a run before has made.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from urllib.parse import quote

import xxhash

PART = "part-0.parquet"
HIDDEN = ".part-0.parquet.new"
LOCK = ".export.lock"
NO_HOST = "__HIVE_DEFAULT_PARTITION__"
MAX_NAME = 200
"""Bytes of a folder's name; file systems take 255."""


class FolderBusy(Exception):
    """Another export works in the folder."""


class Folders:
    """The folders below one."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Make the root, for one export at a time, and remove what broken ones left."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / LOCK).open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise FolderBusy(f"another export writes to {self.root}") from error
            for left in self.root.glob(f"day=*/host=*/{HIDDEN}"):
                left.unlink()
            yield

    def of(self, day: date, host: str) -> Path:
        """The folder of a host's day."""
        return self.root / f"day={day.isoformat()}" / f"host={folder_name(host)}"

    def files(self, day: date) -> list[Path]:
        """The files of a day that are there."""
        return sorted(self.root.glob(f"day={day.isoformat()}/host=*/{PART}"))

    @contextlib.contextmanager
    def new_file(self, folder: Path) -> Iterator[Path]:
        """A path to write a file of a folder to; it takes its place at the end, or is gone."""
        for each in (folder.parent, folder):
            if not each.is_dir():
                each.mkdir(exist_ok=True)
                sync(each.parent)
        hidden = folder / HIDDEN
        try:
            yield hidden
            if hidden.exists():
                sync(hidden)
                hidden.replace(folder / PART)
                sync(folder)
        finally:
            hidden.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # one that holds something stays
                folder.rmdir()
                folder.parent.rmdir()


def folder_name(host: str) -> str:
    """A host's name as Hive writes it into a path: what is special is percent and two digits.

    One that is too long for a path is cut, and has its hash behind it.
    """
    if not host:
        return NO_HOST
    name = quote(host, safe="")
    if name == NO_HOST:
        name = f"%5F{name[1:]}"
    if len(name) > MAX_NAME:
        name = f"{name[: MAX_NAME - 17].rpartition('%')[0] or name[: MAX_NAME - 17]}~{hashed(host)}"
    return name


def hashed(text: str) -> str:
    """Sixteen digits that tell a text from others."""
    return xxhash.xxh3_64_hexdigest(text.encode())


def sync(path: Path) -> None:
    """Return when a file, or the names in a folder, would survive a power cut."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
