"""A container without an engine: its files, its network and its user around one process.

The process sees a root of its own, put together of read-only pieces of this machine, with the pod's
volumes at their places; it runs as the pod's user, without a capability, in the pod's network.
"""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PIECES = ("/usr", "/bin", "/lib", "/lib64", "/sbin")
GIVEN_BY_THE_IMAGE = {
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
    "LANG": "C.UTF-8",
}


class Mount(NamedTuple):
    """A directory of this machine at a place in the container."""

    source: Path
    place: str
    read_only: bool


def container_command(
    network: str,
    user: int,
    mounts: Sequence[Mount],
    etc: Path,
    environment: Mapping[str, str],
    command: Sequence[str],
) -> list[str]:
    """The command that becomes the container's process."""
    binaries = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    given = {**GIVEN_BY_THE_IMAGE, "PATH": binaries, **environment}
    script = ["set -e", "mount --make-rprivate /", "mount -t tmpfs -o mode=755 tmpfs /mnt"]
    for piece in map(Path, PIECES):
        if piece.is_symlink():
            script.append(f"ln -s {piece.readlink()} /mnt{piece}")
        elif piece.is_dir():
            script += bind(piece, str(piece), read_only=True)
    script += bind(etc, "/etc", read_only=True)
    script += ["mkdir /mnt/proc /mnt/dev", "mount -t proc proc /mnt/proc"]
    script += ["mount --rbind /dev /mnt/dev"]
    for mount in mounts:
        script += bind(*mount)
    for own in own_pieces():  # now, since a volume may lie over them: a pod has its own /tmp
        script += bind(Path(own), own, read_only=True)
    script += ["mount -o remount,ro /mnt"]
    settings = " ".join(f"{name}='{escaped(value)}'" for name, value in given.items())
    words = " ".join(f"'{escaped(word)}'" for word in command)
    script.append(
        f"exec chroot /mnt setpriv --reuid {user} --regid {user} --clear-groups --no-new-privs"
        f" --bounding-set=-all env -i {settings} {words}"
    )
    inside = ["unshare", "--mount", "sh", "-c", "\n".join(script)]
    return ["ip", "netns", "exec", network, *inside]


def run_beside(pid: int, user: int, command: Sequence[str], seconds: float) -> None:
    """Run a command in a container that runs, for so long at most."""
    inside = ["nsenter", f"--target={pid}", "--mount", "--net", "--root", "--wd=/"]
    as_user = ["setpriv", "--reuid", str(user), "--regid", str(user), "--clear-groups"]
    try:
        subprocess.run([*inside, *as_user, *command], check=False, timeout=seconds)
    except subprocess.TimeoutExpired:
        return


def own_pieces() -> list[str]:
    """Where this software and its interpreter are, when that is not in the system's places."""
    found = {str(ROOT), sys.base_prefix, sys.prefix}
    outside = [path for path in sorted(found) if not path.startswith("/usr")]
    return [path for path in outside if not any(path.startswith(f"{it}/") for it in outside)]


def bind(source: Path, place: str, read_only: bool) -> list[str]:
    """Show a directory at a place."""
    lines = [f"mkdir -p /mnt{place}", f"mount --bind {source} /mnt{place}"]
    return [*lines, f"mount -o remount,ro,bind /mnt{place}"] if read_only else lines


def escaped(text: str) -> str:
    """For between single quotes of a shell."""
    return text.replace("'", "'\\''")
