"""A process that is killed while it makes its SQLite file."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from common.storage.sqlite.store import SqliteStore
from tests.storage.samples import sample
from tests.support.needs import need_programs, need_root

MAKE = (
    "import sys, pathlib; from common.storage.sqlite.store import SqliteStore; "
    "SqliteStore(pathlib.Path(sys.argv[1])).close()"
)
MOST_CALLS = 200


def killed(path: Path, call: str, number: int) -> bool:
    """Make a file in a process that is killed before its so-many-th call; False when it ended."""
    command = ["strace", "-qqq", "-f", "-o", "/dev/null", "-e", f"trace={call}"]
    command += ["-e", f"inject={call}:signal=KILL:when={number}"]
    done = subprocess.run([*command, sys.executable, "-c", MAKE, str(path)], check=False)
    return done.returncode != 0


@pytest.mark.parametrize(
    "call", ["pwrite64", "fdatasync", "fsync", "unlink", "ftruncate", "linkat"]
)
def test_the_next_start_makes_or_opens_it(tmp_path: Path, call: str) -> None:
    need_root()
    need_programs("strace")
    path = tmp_path / "store.db"
    for number in range(1, MOST_CALLS):
        path.unlink(missing_ok=True)
        if not killed(path, call, number):
            break
        store = SqliteStore(path)
        assert store.write([sample("a", 0, m=1)]).points == 1
        store.close()
        assert [each.name for each in tmp_path.iterdir()] == [path.name]
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
