"""Stores on disks that fill, file systems that lose power, files that others hold."""

import itertools
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from common.errors import StoreUnavailable
from common.models import LATEST_MS
from common.storage.sqlite import schema
from common.storage.sqlite.store import SqliteStore
from tests.storage.conftest import WHOLE, opening
from tests.storage.samples import T0, points, sample
from tests.support.mounts import after_power_cut, ext4, run, tmpfs

HOUR = 3_600_000


@pytest.mark.parametrize("kind", WHOLE)
def test_what_was_written_survives_a_power_cut(kind: str, tmp_path: Path) -> None:
    image, cuts = tmp_path / "image", itertools.count()
    with ext4(image, tmp_path / "disk") as disk:
        opened = opening(kind, disk / "data")
        store = next(opened)()
        for call in range(4):
            store.write(
                [sample(name, at, util=call) for name in "ab" for at in range(call * 9, 40)]
            )
            with after_power_cut(image, tmp_path / f"cut{next(cuts)}") as left:
                reopened = opening(kind, left / "data")
                again = next(reopened)()
                for name in ("GPU-a", "GPU-b"):
                    assert points(again, name) == points(store, name)
                next(reopened, None)
        next(opened, None)


@pytest.mark.parametrize("kind", WHOLE)
def test_a_full_disk_takes_nothing_says_so_and_takes_again(kind: str, tmp_path: Path) -> None:
    with tmpfs(tmp_path / "disk", "size=2m") as disk:
        opened = opening(kind, disk / "data")
        open_store = next(opened)
        store, calls = open_store(), 0
        batch = [[sample("a", call * 500 + at, util=at) for at in range(500)] for call in range(99)]
        with pytest.raises(StoreUnavailable, match=r"full|No space"):
            for calls in range(99):
                store.write(batch[calls])
        stored = store.stats().points
        assert calls * 500 <= stored < (calls + 1) * 500
        assert len(points(store, "GPU-a")) == stored
        with pytest.raises(StoreUnavailable, match=r"full|No space"):
            store.write(batch[calls])
        run("mount", "-o", "remount,size=32m", str(disk))
        store.write(batch[calls])
        assert [p.value for p in points(store, "GPU-a")] == [*range(500)] * (calls + 1)
        assert open_store(writable=False).stats().points == (calls + 1) * 500
        next(opened, None)


def test_a_sqlite_file_that_another_locks_is_away_and_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "BUSY_TIMEOUT_MS", 50)
    path = tmp_path / "store.db"
    store = SqliteStore(path)
    store.write([sample("a", 0, util=1)])
    changes: list[Callable[[], object]] = [
        lambda: store.write([sample("a", 1, util=1)]),
        lambda: store.roll_up(LATEST_MS),
        lambda: store.expire(T0 + 2 * HOUR),
    ]
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")
    for change in changes:
        with pytest.raises(StoreUnavailable, match="locked"):
            change()
    assert store.stats().points == 1
    other.execute("ROLLBACK")
    other.close()
    for change in changes:
        change()
    assert store.stats().points == 0
