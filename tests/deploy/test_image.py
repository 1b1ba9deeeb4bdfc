"""The Dockerfile's steps without an engine: the wheel, a clean environment, a read-only tree."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.observed.stack import until
from tests.support.needs import need, need_programs, need_root

ROOT = Path(__file__).parents[2]
USER = "10001"
STOPPED = -signal.SIGTERM
TOKEN = "a-token-of-the-image-tests"
PYTHON_HOME = Path(sys.base_prefix)
PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--python")


def run(*command: str | Path) -> str:
    """Run a step of the build; its output."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
    )
    need("an index of packages", "ConnectionError" not in done.stderr)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of what git has, built by the locked tool."""
    directory = tmp_path_factory.mktemp("wheel")
    source = directory / "src"
    dockerfile = (ROOT / "Dockerfile").read_text()
    for what, where in re.findall(r"^COPY ([a-z]+) ([a-z]+)$", dockerfile, re.M):
        shutil.copytree(ROOT / what, source / where)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source / name)
    tool = directory / "build"
    run(sys.executable, "-m", "venv", "--without-pip", tool)
    (directory / "build.lock").write_text(
        run("sed", "-n", r"/^setuptools==/,/[^\\]$/p", ROOT / "requirements.lock")
    )
    pip = [*PIP, str(tool / "bin/python")]
    run(*pip, "install", "--require-hashes", "-r", directory / "build.lock")
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", directory, source)
    (found,) = directory.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A clean virtual environment with what the image has in it."""
    place = tmp_path_factory.mktemp("image") / "telemetry"
    run(sys.executable, "-m", "venv", "--without-pip", place)
    # compiling is the slowest step, and nothing here hangs on it
    pip = [*PIP, str(place / "bin/python"), "install", "--no-compile"]
    run(*pip, "--require-hashes", "-r", "requirements.image.lock")
    run(*pip, "--no-deps", wheel)
    yield place
    shutil.rmtree(place)


def pinned(name: str) -> dict[str, str]:
    """Package to version of a lock file."""
    text = (ROOT / name).read_text()
    return dict(re.findall(r"^([A-Za-z0-9_.-]+)(?:\[[^]]*\])?==([^ ;]+)", text, re.M))


def test_the_image_has_the_versions_that_are_tested_and_no_tools_of_development() -> None:
    image, tested = pinned("requirements.image.lock"), pinned("requirements.lock")
    only_here = {"nvidia-ml-py"}  # the extra `nvml`
    assert {name: image[name] for name in image.keys() - only_here}.items() <= tested.items()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {re.split(r"[<>=\[]", row)[0].lower() for row in project["dependencies"]}
    assert wanted <= image.keys()
    assert not image.keys() & {"pytest", "mypy", "ruff"}


def test_the_wheel_has_every_file_of_every_package(wheel: Path) -> None:
    packages = [path.parent.name for path in ROOT.glob("*/__init__.py") if path.parent != ROOT]
    ours = [name for name in packages if name not in ("tests", "benchmarks")]
    listed = subprocess.run(
        ["git", "ls-files", *ours], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    with zipfile.ZipFile(wheel) as archive:
        missing = set(listed) - set(archive.namelist())
    assert not {name for name in missing if (ROOT / name).exists()}


def test_the_build_sends_what_it_copies() -> None:
    sent = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[0] == "!"
    }
    for copied in re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.M):
        assert set(copied.split()) <= sent


def confined(environment: Path, data: Path, *command: str) -> list[str]:
    """A command as the container's user on a tree that it can only read, but for /data and /tmp.

    Where the interpreter lies in a home that is its owner's alone, it is shown at its own path.
    """
    show = ""
    if not PYTHON_HOME.is_relative_to("/usr"):
        top = Path("/", PYTHON_HOME.parts[1])
        show = (
            f"mkdir /tmp/python && mount --bind {PYTHON_HOME} /tmp/python"
            f" && mount -t tmpfs -o mode=755 tmpfs {top} && mkdir -p {PYTHON_HOME}"
            f" && mount --move /tmp/python {PYTHON_HOME} && rmdir /tmp/python &&"
        )
    script = f"""set -e
mount --make-rprivate /
mkdir -p /tmp
mount -t tmpfs tmpfs /mnt
mkdir /mnt/telemetry /mnt/data
mount --bind {environment} /mnt/telemetry
mount --bind {data} /mnt/data
mount -t tmpfs -o mode=1777 tmpfs /tmp
{show} mount --bind / /
mount -o remount,ro,bind /
mount -o remount,ro,bind /mnt/telemetry
mount -o remount,ro /mnt
exec setpriv --reuid {USER} --regid {USER} --clear-groups --no-new-privs --bounding-set=-all \
  {" ".join(command)}
"""
    return ["unshare", "--mount", "sh", "-c", script]


def test_it_runs_as_nobody_in_particular_on_a_tree_it_cannot_write(
    environment: Path, tmp_path: Path
) -> None:
    """The broker starts and stops; its data directory is the one place it writes to."""
    need_root()
    need_programs("unshare", "setpriv")
    data, log = tmp_path / "data", tmp_path / "log"
    data.mkdir()
    os.chown(data, int(USER), int(USER))
    for place in ("/x", "/mnt/telemetry/x", "/mnt/x"):
        tried = subprocess.run(
            confined(environment, data, "touch", place), capture_output=True, check=False
        )
        assert b"Read-only file system" in tried.stderr or b"denied" in tried.stderr, place
    arguments = "-P -m cli broker --data-dir /mnt/data --port 0"
    command = confined(environment, data, "/mnt/telemetry/bin/python", arguments)
    with log.open("w") as file:
        given = {"SERVICE_TOKEN": TOKEN, "PATH": os.environ["PATH"]}
        process = subprocess.Popen(command, env=given, stderr=file, stdout=file)
    try:
        until(lambda: process.poll() is not None or "broker ready" in log.read_text())
        assert process.poll() is None, log.read_text()
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert f"Uid:\t{USER}\t{USER}\t{USER}\t{USER}" in status
        assert re.search(r"CapEff:\t0+$", status, re.M)
        process.terminate()
        assert process.wait(30) == STOPPED
        assert (data / "broker").exists()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
