"""File systems of a test's own: small, easily filled, cut off from power by copying them."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.support.needs import need, need_programs, need_root

MIB = 1 << 20
LATE_COMMIT = "loop,commit=60"  # nothing reaches the image by itself while a test runs


def run(*command: str) -> None:
    """Run a program that must succeed; what it said is in the error."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")


@contextlib.contextmanager
def mounted(source: str, at: Path, *arguments: str) -> Iterator[Path]:
    """Mount ``source`` at a directory, which is made; leaving unmounts it, whatever is open."""
    need_root()
    need_programs("mount", "umount")
    at.mkdir(parents=True)
    try:
        run("mount", *arguments, source, str(at))
    except RuntimeError as error:
        need(f"mount {' '.join(arguments)} ({error})", there=False)
    try:
        yield at
    finally:
        run("umount", "--lazy", str(at))


@contextlib.contextmanager
def tmpfs(at: Path, *options: str) -> Iterator[Path]:
    """A file system in memory with bounds such as ``size=1m`` or ``nr_inodes=20``."""
    with mounted("tmpfs", at, "-t", "tmpfs", "-o", ",".join(options)):
        yield at


@contextlib.contextmanager
def ext4(image: Path, at: Path, megabytes: int = 16) -> Iterator[Path]:
    """A new ext4 in a file. ``image`` holds what a power cut would leave, at any moment."""
    need_programs("mkfs.ext4")
    with image.open("wb") as file:
        file.truncate(megabytes * MIB)
    run("mkfs.ext4", "-q", "-F", str(image))
    with mounted(str(image), at, "-o", LATE_COMMIT):
        yield at


@contextlib.contextmanager
def after_power_cut(image: Path, at: Path) -> Iterator[Path]:
    """What is left of an ext4 image now: a copy of it, its journal replayed as after a crash."""
    copy = image.with_name(f"{at.name}.after")
    run("cp", "--sparse=always", str(image), str(copy))
    with mounted(str(copy), at, "-o", "loop"):
        yield at
