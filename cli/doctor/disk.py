"""The disk under a directory: there, durable, fast enough, and with room."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from cli.doctor.finding import Ward

MOUNTS = Path("/proc/self/mounts")
IN_MEMORY = frozenset({"tmpfs", "ramfs"})
OVER_NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "fuse.s3fs", "ceph"})
LAYERED = frozenset({"overlay", "aufs"})
PROBE = ".doctor"
PROBES = 5
SLOW_SECONDS = 0.05


def nearest(path: Path) -> Path:
    """The directory itself, or the first above it that is there."""
    path = path.absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def file_system(path: Path, mounts: str | None = None) -> str:
    """The type of the file system under a path, as the kernel names it; empty when unknown."""
    if mounts is None:
        mounts = MOUNTS.read_text(encoding="utf-8") if MOUNTS.exists() else ""
    found, longest = "", -1
    real = str(nearest(path).resolve())
    for line in mounts.splitlines():
        _, point, kind, *_ = line.split(" ")
        point = point.replace("\\040", " ")
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= longest:
            found, longest = kind, len(point)
    return found


def check_directory(ward: Ward, option: str, path: Path) -> bool:
    """Whether it can be written to; a directory that is not there is made by the service."""
    there = nearest(path)
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK) and not _read_only(there):
        ward.ok("directory", f"{option}: {path} can be written to")
        return True
    ward.fail(
        "directory",
        f"{option}: {there} cannot be written to by user {os.getuid()}",
        f"chown {os.getuid()} {there}, mount it read-write, or name another directory",
    )
    return False


def check_durable(ward: Ward, option: str, path: Path, kind: str | None = None) -> None:
    """What is synced must be there after a restart."""
    kind = file_system(path) if kind is None else kind
    if kind in IN_MEMORY:
        ward.fail(
            "durability",
            f"{option}: {path} is on {kind}: all is gone with the machine or pod",
            "put it on a disk: a volume, or a persistent volume claim",
        )
    elif kind in LAYERED:
        ward.fail(
            "durability",
            f"{option}: {path} is in a container's own layer ({kind}), gone with the container",
            "mount a volume there",
        )
    elif kind in OVER_NETWORK:
        ward.warn(
            "durability",
            f"{option}: {path} is on {kind}: locks and fsync are as good as the server's",
            "prefer a local or block device",
        )


def check_sync_time(
    ward: Ward, option: str, path: Path, clock: Callable[[], float] = time.perf_counter
) -> None:
    """Each group commit waits for one fsync."""
    probe = nearest(path) / f"{PROBE}-{os.getpid()}"
    try:
        seconds = median(_sync_times(probe, clock))
    except OSError as error:
        ward.fail(
            "fsync", f"{option}: a file cannot be synced: {error.strerror}", "see the kernel log"
        )
        return
    finally:
        probe.unlink(missing_ok=True)
    text = f"{option}: an fsync takes {1000 * seconds:.1f} ms"
    if seconds > SLOW_SECONDS:
        ward.warn("fsync", text, "use a disk with a write cache that survives power loss (SSD)")
    else:
        ward.ok("fsync", text)


def check_room(ward: Ward, option: str, path: Path, wanted: int, why: str) -> None:
    """Whether so many bytes are free, of which ``why`` says what they are for."""
    free = shutil.disk_usage(nearest(path)).free
    if free < wanted:
        ward.fail(
            "disk space",
            f"{option}: {size(free)} are free under {path}, {size(wanted)} are needed: {why}",
            "free some, grow the volume, or lower the option",
        )
    else:
        ward.ok("disk space", f"{option}: {size(free)} are free under {path}")


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def _read_only(path: Path) -> bool:
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def _sync_times(probe: Path, clock: Callable[[], float]) -> list[float]:
    times = []
    with probe.open("wb", buffering=0) as file:
        for _ in range(PROBES):
            file.write(bytes(4096))
            began = clock()
            os.fsync(file.fileno())
            times.append(clock() - began)
    return times
