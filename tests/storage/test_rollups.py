"""Rollups of SQLite: they change no answer, and outlive the points they are made of."""

import itertools
import math
import random
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.errors import InvalidParameter
from common.models import EARLIEST_MS, LATEST_MS, Sample
from common.storage.base import Aggregate, Point, Store, WindowQuery
from common.storage.sqlite import rollup
from common.storage.sqlite.store import SqliteStore
from tests.storage.samples import T0, gpu, points, windows, windows_by_hand
from tests.storage.test_windows import AGGREGATES, HOUR, MINUTE, expire

BASE = T0 - T0 % (24 * HOUR)
WIDTHS = (7_000, MINUTE, 5 * MINUTE, HOUR, 90 * MINUTE, 6 * HOUR)
EXACT = [(width, each) for width in (MINUTE, HOUR) for each in AGGREGATES]

paths = itertools.count()
OpenSqlite = Callable[[], SqliteStore]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def store(path: Path) -> SqliteStore:
    return SqliteStore(path)


def a_day(seed: int = 1) -> list[Sample]:
    """Points at uneven moments of a day, with gaps of hours, and metrics that come and go."""
    chance = random.Random(seed)
    moments = sorted(chance.sample(range(24 * 3600), 1_500))
    return [
        Sample(gpu(), BASE + at * 1_000 + chance.randrange(1_000), {m: chance.uniform(-9, 700)})
        for at in moments
        if at // 3600 not in (3, 4, 11)
        for m in chance.sample(["power", "temp", "util"], 2)
    ]


def roll_up(store: Store, before_ms: int = LATEST_MS) -> int:
    """Roll up until nothing is due; return how many hours were."""
    return sum(iter(lambda: store.roll_up(before_ms), 0))


def delete_points(path: Path) -> None:
    """Take the points away under a store, so that only rollups can answer."""
    db = apsw.Connection(str(path))
    db.execute("DELETE FROM sample")
    db.close()


class TestAnswers:
    @pytest.mark.parametrize("descending", [False, True])
    @pytest.mark.parametrize("width", WIDTHS)
    @pytest.mark.parametrize("aggregate", AGGREGATES)
    def test_rolling_up_changes_no_answer(
        self, store: SqliteStore, aggregate: Aggregate, width: int, descending: bool
    ) -> None:
        store.write(a_day())
        roll_up(store, BASE + 20 * HOUR)
        whole = points(store, "GPU-a")
        for start, end in ((EARLIEST_MS, LATEST_MS), (BASE + 2_222_222, BASE + 77_777_777)):
            for limit, metrics in ((10_000, ()), (37, ("temp",))):
                query = WindowQuery(
                    "GPU-a", width, aggregate, limit, start, end, metrics, None, descending
                )
                assert windows(store, query) == windows_by_hand(whole, query)

    @pytest.mark.parametrize(("width", "aggregate"), [*EXACT, (5 * MINUTE, "max")])
    def test_it_is_the_rollups_that_answer(
        self, store: SqliteStore, path: Path, width: int, aggregate: Aggregate
    ) -> None:
        store.write(a_day())
        query = WindowQuery("GPU-a", width, aggregate, 10_000)
        before = windows(store, query)
        roll_up(store)
        delete_points(path)
        assert windows(store, query) == before

    def test_points_that_come_late_count_at_once_and_after_the_next_time(
        self, store: SqliteStore
    ) -> None:
        store.write([Sample(gpu(), BASE + i * MINUTE, {"m": i}) for i in range(180)])
        assert roll_up(store) == 3
        store.write([Sample(gpu(), BASE + 70 * MINUTE + 1, {"m": 1000, "late": 1})])
        query = WindowQuery("GPU-a", HOUR, "max", 10)
        expected = [
            Point(BASE, "m", 59),
            Point(BASE + HOUR, "late", 1),
            Point(BASE + HOUR, "m", 1000),
            Point(BASE + 2 * HOUR, "m", 179),
        ]
        assert windows(store, query) == expected
        assert roll_up(store) == 1
        assert windows(store, query) == expected

    def test_an_hour_that_goes_on_is_left_alone(self, store: SqliteStore) -> None:
        store.write([Sample(gpu(), BASE + i * MINUTE, {"m": i}) for i in range(90)])
        assert roll_up(store, BASE + HOUR + 40 * MINUTE) == 1
        assert roll_up(store, BASE + 2 * HOUR - 1) == 0
        assert roll_up(store, BASE + 2 * HOUR) == 1

    def test_what_is_due_outlives_a_restart(self, store: SqliteStore, path: Path) -> None:
        store.write([Sample(gpu(), BASE + i * MINUTE, {"m": i}) for i in range(90)])
        store.close()
        again = SqliteStore(path)
        assert roll_up(again) == 2
        again.write([Sample(gpu(), BASE, {"m": 7})])
        again.close()
        assert roll_up(SqliteStore(path)) == 1

    def test_two_writers_see_what_the_other_rolled_up(self, store: SqliteStore, path: Path) -> None:
        other = SqliteStore(path)
        store.write([Sample(gpu(), BASE, {"m": 1})])
        assert roll_up(other) == 1
        store.write([Sample(gpu(), BASE + 1, {"m": 2})])
        assert roll_up(other) == 1

    def test_a_call_is_bounded(self, store: SqliteStore) -> None:
        store.write([Sample(gpu(), BASE + i * HOUR, {"m": i}) for i in range(1_000)])
        assert 0 < store.roll_up(LATEST_MS) <= rollup.HOURS_AT_ONCE
        assert roll_up(store) > 0

    @settings(max_examples=40, deadline=None, suppress_health_check=[*HealthCheck])
    @given(data=st.data())
    def test_any_order_of_writing_and_rolling_up(self, data: st.DataObject, tmp_path: Path) -> None:
        store = SqliteStore(tmp_path / f"{next(paths)}.db")
        store.write([Sample(gpu(), BASE, {"m": 0.1})])
        moments = st.integers(0, 5 * HOUR).map(lambda ms: ms - ms % data_step)
        data_step = data.draw(st.sampled_from([1, 20_000, MINUTE]))
        for _ in range(data.draw(st.integers(1, 5))):
            wrote = data.draw(st.lists(st.tuples(moments, st.floats(-1e5, 1e5)), max_size=20))
            store.write([Sample(gpu(), BASE + ms, {"m": value}) for ms, value in wrote])
            if data.draw(st.booleans()):
                store.roll_up(BASE + data.draw(st.integers(0, 6)) * HOUR)
        query = WindowQuery(
            "GPU-a",
            data.draw(st.sampled_from(WIDTHS)),
            data.draw(st.sampled_from(AGGREGATES)),
            data.draw(st.integers(1, 50)),
            BASE + data.draw(moments),
            BASE + data.draw(moments),
            descending=data.draw(st.booleans()),
        )
        assert windows(store, query) == windows_by_hand(points(store, "GPU-a"), query)
        store.close()


class TestExpired:
    CUT = BASE + 12 * HOUR

    @pytest.mark.parametrize("descending", [False, True])
    @pytest.mark.parametrize(("width", "aggregate"), EXACT)
    def test_minutes_and_hours_go_on_answering_to_the_digit(
        self, store: SqliteStore, width: int, aggregate: Aggregate, descending: bool
    ) -> None:
        store.write(a_day())
        query = WindowQuery("GPU-a", width, aggregate, 100, descending=descending)
        before = windows(store, query)
        assert expire(store, self.CUT) > 0
        assert points(store, "GPU-a", end_ms=self.CUT - 1) == []
        assert windows(store, query) == before

    @pytest.mark.parametrize("aggregate", ["mean", "min", "max", "last"])
    @pytest.mark.parametrize("width", [5 * MINUTE, 90 * MINUTE, 5 * HOUR])
    def test_wider_windows_are_put_together(
        self, store: SqliteStore, width: int, aggregate: Aggregate
    ) -> None:
        store.write(a_day())
        query = WindowQuery("GPU-a", width, aggregate, 100)
        before = windows(store, query)
        expire(store, self.CUT)
        after = windows(store, query)
        assert [p[:2] for p in map(astuple, after)] == [p[:2] for p in map(astuple, before)]
        for old, new in zip(before, after, strict=True):
            assert math.isclose(old.value, new.value, rel_tol=1e-12, abs_tol=1e-9)
            assert aggregate == "mean" or old.value == new.value

    @pytest.mark.parametrize("width", [5 * MINUTE, 6 * HOUR])
    def test_a_p95_that_cannot_be_known_is_refused(self, store: SqliteStore, width: int) -> None:
        store.write(a_day())
        expire(store, self.CUT)
        with pytest.raises(InvalidParameter, match="a minute or an hour only"):
            store.windows(WindowQuery("GPU-a", width, "p95", 10))
        still_there = WindowQuery("GPU-a", width, "p95", 1_000, self.CUT)
        assert windows(store, still_there) == windows_by_hand(points(store, "GPU-a"), still_there)

    def test_narrower_windows_have_what_is_left(self, store: SqliteStore) -> None:
        store.write(a_day())
        expire(store, self.CUT)
        query = WindowQuery("GPU-a", 10_000, "mean", 10_000)
        assert windows(store, query) == windows_by_hand(points(store, "GPU-a"), query)

    def test_a_window_that_the_range_cuts_is_answered_whole(self, store: SqliteStore) -> None:
        store.write([Sample(gpu(), BASE + i * 1_000, {"m": i}) for i in range(7_200)])
        expire(store, BASE + 2 * HOUR)
        start, end = BASE + 90_500, BASE + HOUR + 1
        minutes = windows(store, WindowQuery("GPU-a", MINUTE, "max", 100, start, end))
        assert [p.value for p in minutes] == [59 + 60 * i for i in range(1, 61)]
        hours = windows(store, WindowQuery("GPU-a", HOUR, "min", 100, start, end))
        assert [p.value for p in hours] == [0, 3_600]

    def test_what_comes_after_the_expiry_changes_no_rollup_and_goes(
        self, store: SqliteStore
    ) -> None:
        store.write([Sample(gpu(), BASE + i * MINUTE, {"m": i}) for i in range(120)])
        expire(store, BASE + HOUR)
        query = WindowQuery("GPU-a", HOUR, "max", 10)
        before = windows(store, query)
        store.write([Sample(gpu(), BASE + 5, {"m": 10_000})])
        assert windows(store, query) == before
        assert expire(store, BASE + HOUR) == 1
        assert windows(store, query) == before

    def test_an_hour_that_comes_whole_after_the_expiry_is_rolled_up(
        self, store: SqliteStore
    ) -> None:
        store.write([Sample(gpu(), BASE + HOUR + i * MINUTE, {"m": i}) for i in range(60)])
        expire(store, BASE + 2 * HOUR)
        store.write([Sample(gpu(), BASE + i * MINUTE, {"m": 100 + i}) for i in range(60)])
        expire(store, BASE + 2 * HOUR)
        query = WindowQuery("GPU-a", HOUR, "max", 10)
        assert [p.value for p in windows(store, query)] == [159, 59]
        assert store.stats().points == 0

    def test_rollups_have_a_retention_of_their_own(self, store: SqliteStore, path: Path) -> None:
        store.write(a_day())
        query = WindowQuery("GPU-a", HOUR, "mean", 1_000)
        before = windows(store, query)
        for cut in (BASE + 6 * HOUR, BASE + 24 * HOUR):
            while store.expire(BASE + 12 * HOUR, cut):
                pass
            kept = [p for p in before if p.timestamp >= min(cut, BASE + 24 * HOUR)]
            rest = points(store, "GPU-a", start_ms=BASE + 12 * HOUR)
            expected = {p.timestamp for p in kept} | {
                p.timestamp - p.timestamp % HOUR for p in rest
            }
            assert {p.timestamp for p in windows(store, query)} == expected
        db = apsw.Connection(str(path))
        for table in ("hour_rollup", "minute_rollup"):
            assert db.execute(f"SELECT count(*) FROM {table}").get == 0
        db.close()


def astuple(point: Point) -> tuple[int, str, float]:
    return point.timestamp, point.metric, point.value
