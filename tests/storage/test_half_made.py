"""A process that is killed while it makes its SQLite file."""

import asyncio
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from common.storage.sqlite.store import SqliteStore
from tests.storage.processes import start_maker
from tests.storage.samples import sample
from tests.support.needs import need_programs, need_root
from tests.support.waiting import until

MOST_CALLS = 200
STRACE = ("strace", "-qqq", "-f", "-o", "/dev/null")


async def killed(path: Path, call: str, number: int) -> bool:
    """Make a file in a process that is killed before its so-many-th call; False when it ended."""
    process = start_maker(path)
    assert process.pid is not None
    status = Path(f"/proc/{process.pid}/status")
    injection = ["-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}"]
    try:
        await until(lambda: "State:\tT" in status.read_text())
        tracer = await asyncio.create_subprocess_exec(
            *STRACE, f"--attach={process.pid}", *injection
        )
        await until(lambda: "TracerPid:\t0\n" not in status.read_text())
        os.kill(process.pid, signal.SIGCONT)
        await tracer.wait()
        process.join()
        return process.exitcode != 0
    finally:
        process.kill()  # one that stands still does not end with the tests


def names_in(directory: Path) -> list[str]:
    """What is there."""
    return [each.name for each in directory.iterdir()]


@pytest.mark.parametrize(
    "call", ["pwrite64", "fdatasync", "fsync", "unlink", "ftruncate", "linkat"]
)
async def test_the_next_start_makes_or_opens_it(tmp_path: Path, call: str) -> None:
    need_root()
    need_programs("strace")
    path = tmp_path / "store.db"
    for number in range(1, MOST_CALLS):
        path.unlink(missing_ok=True)
        if not await killed(path, call, number):
            break
        store = SqliteStore(path)
        assert store.write([sample("a", 0, m=1)]).points == 1
        store.close()
        assert names_in(tmp_path) == [path.name]
    else:
        raise AssertionError(f"{call} is called more than {MOST_CALLS} times")
    assert number > 1 or call in ("fsync", "ftruncate", "linkat")


def test_a_file_without_a_byte_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "store.db").touch()
    store = SqliteStore(tmp_path / "store.db")
    assert store.write([sample("a", 0, m=1)]).points == 1
    store.close()


def test_writers_that_come_at_once_make_one_file_and_all_write_to_it(tmp_path: Path) -> None:
    writers = 4
    for turn in range(25):
        path = tmp_path / f"{turn}.db"

        def write(number: int, path: Path = path) -> int:
            store = SqliteStore(path)
            try:
                return store.write([sample(f"gpu-{number}", 0, m=1)]).points
            finally:
                store.close()

        with ThreadPoolExecutor(writers) as pool:
            assert list(pool.map(write, range(writers))) == [1] * writers
        store = SqliteStore(path, writable=False)
        assert store.gpu_ids() == [f"GPU-gpu-{number}" for number in range(writers)]
        store.close()
