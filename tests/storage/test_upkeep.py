"""What is done to a store between writes."""

from pathlib import Path

import apsw
import pytest

from common.models import LATEST_MS, Sample
from common.storage.base import Store, WindowQuery
from common.storage.sqlite.store import SqliteStore
from common.storage.upkeep import SETTLED_SECONDS, Done, Upkeep
from tests.storage.samples import T0, gpu, points, windows
from tests.storage.test_windows import HOUR, MINUTE
from tests.support.stores import OpenStore

BASE = T0 - T0 % HOUR
HOUR_SECONDS = 3600.0


@pytest.fixture
def sqlite(tmp_path: Path) -> SqliteStore:
    store = SqliteStore(tmp_path / "store.db")
    fill(store)
    return store


def fill(store: Store) -> None:
    """A point a minute for ten hours."""
    store.write([Sample(gpu(), BASE + i * MINUTE, {"m": i}) for i in range(600)])


def hours_after(hours: float) -> float:
    return BASE / 1000 + hours * HOUR_SECONDS


def do_all(upkeep: Upkeep, store: Store, now: float) -> Done:
    """Step until nothing is left; return what was done in all."""
    rolled_up = deleted = 0
    while any(done := upkeep.step(store, now)):
        rolled_up += done.rolled_up
        deleted += done.deleted
    return Done(rolled_up, deleted)


class TestSqlite:
    def test_without_retention_hours_are_rolled_up_and_all_is_kept(
        self, sqlite: SqliteStore
    ) -> None:
        assert do_all(Upkeep(0, 0), sqlite, hours_after(1000)) == Done(10, 0)
        assert sqlite.stats().points == 600

    def test_an_hour_settles_before_it_is_rolled_up(self, sqlite: SqliteStore) -> None:
        settled = hours_after(3) + SETTLED_SECONDS
        assert do_all(Upkeep(0, 0), sqlite, settled - 1) == Done(2, 0)
        assert do_all(Upkeep(0, 0), sqlite, settled) == Done(1, 0)

    def test_points_go_after_one_time_and_rollups_after_another(self, sqlite: SqliteStore) -> None:
        upkeep = Upkeep(4 * HOUR_SECONDS, 8 * HOUR_SECONDS)
        assert do_all(upkeep, sqlite, hours_after(10)) == Done(9, 6 * 60 + 2)
        assert points(sqlite, "GPU-a")[0].timestamp == BASE + 6 * HOUR
        hourly = windows(sqlite, WindowQuery("GPU-a", HOUR, "last", 100))
        assert [p.value for p in hourly] == [60 * hour + 59 for hour in range(2, 10)]

    def test_rollups_alone_may_have_a_retention(self, sqlite: SqliteStore) -> None:
        assert do_all(Upkeep(0, HOUR_SECONDS), sqlite, hours_after(20)).deleted == 10
        assert sqlite.stats().points == 600

    def test_a_clock_that_was_never_set_deletes_nothing(self, sqlite: SqliteStore) -> None:
        assert do_all(Upkeep(HOUR_SECONDS, HOUR_SECONDS), sqlite, 60.0) == Done(0, 0)


def test_every_store_of_ours_is_kept_to_its_retention(open_embedded: OpenStore) -> None:
    store = open_embedded()
    fill(store)
    do_all(Upkeep(4 * HOUR_SECONDS, 0), store, hours_after(10))
    assert store.stats().points == store.count_points("GPU-a", 0, LATEST_MS) == 240


def test_days_go_by_and_the_file_does_not_grow(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store, upkeep = SqliteStore(path), Upkeep(6 * HOUR_SECONDS, 12 * HOUR_SECONDS)
    metrics = {f"m{i}": i / 3 for i in range(10)}
    sizes = []
    for hour in range(72):
        moments = range(BASE + hour * HOUR, BASE + (hour + 1) * HOUR, MINUTE)
        store.write([Sample(gpu(str(n)), at, metrics) for at in moments for n in range(12)])
        do_all(upkeep, store, hours_after(hour + 1) + SETTLED_SECONDS)
        sizes.append(pages_of(path))
    assert max(sizes[36:]) <= 1.05 * max(sizes[:36])
    assert store.stats().points == 12 * 60 * 10 * 6
    hourly = windows(store, WindowQuery("GPU-3", HOUR, "mean", 100, metrics=("m3",)))
    assert [p.value for p in hourly] == [1.0] * 12


def pages_of(path: Path) -> int:
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    pages: int = db.pragma("page_count")
    db.close()
    return pages
