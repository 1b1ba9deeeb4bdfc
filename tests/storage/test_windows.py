"""Windows and retention, on every store."""

import itertools
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.models import LATEST_MS, Gpu, Sample
from common.storage.base import Aggregate, GpuFilter, Point, Store, WindowQuery
from tests.storage.samples import T0, gpu, points, sample, windows, windows_by_hand
from tests.support.stores import OpenStore

AGGREGATES: tuple[Aggregate, ...] = ("mean", "min", "max", "last", "p95")
MINUTE, HOUR = 60_000, 3_600_000

names = itertools.count()


def fill(store: Store, seconds: int = 600, seed: int = 1) -> None:
    """Points of two GPUs at uneven moments, not all metrics at each, in no order."""
    chance = random.Random(seed)
    moments = sorted(chance.sample(range(seconds), seconds // 3))
    some = [
        sample(name, at, **{m: chance.uniform(-50, 500) for m in metrics})
        for name in "ab"
        for at in moments
        for metrics in [chance.choice([("power", "temp", "util"), ("util",), ("clock", "util")])]
    ]
    chance.shuffle(some)
    for at in range(0, len(some), 50):
        store.write(some[at : at + 50])


class TestWindows:
    def test_each_aggregate_by_its_definition(self, store: Store) -> None:
        base = T0 - T0 % MINUTE
        values = [0.1, 0.2, 0.3, 1e16, -1e16, 7.0]
        store.write([Sample(gpu(), base + i * 1_000, {"m": v}) for i, v in enumerate(values)])
        found = {
            each: windows(store, WindowQuery("GPU-a", MINUTE, each, 10)) for each in AGGREGATES
        }
        in_order = (0.1 + 0.2 + 0.3 + 1e16 - 1e16 + 7.0) / 6
        assert found == {
            "mean": [Point(base, "m", in_order)],
            "min": [Point(base, "m", -1e16)],
            "max": [Point(base, "m", 1e16)],
            "last": [Point(base, "m", 7.0)],
            "p95": [Point(base, "m", 1e16)],
        }

    @pytest.mark.parametrize("count", [1, 19, 20, 21, 100, 101])
    def test_p95_is_a_value_that_95_percent_do_not_exceed(self, store: Store, count: int) -> None:
        values = list(range(count))
        random.Random(2).shuffle(values)
        store.write([sample("a", at, m=value) for at, value in enumerate(values)])
        [found] = windows(store, WindowQuery("GPU-a", 24 * HOUR, "p95", 10))
        assert found.value == next(v for v in range(count) if (v + 1) * 100 >= 95 * count)

    @pytest.mark.parametrize("aggregate", AGGREGATES)
    @pytest.mark.parametrize("descending", [False, True])
    @pytest.mark.parametrize("width", [1_000, 7_777, MINUTE, HOUR])
    def test_any_width_and_order_is_what_the_points_say(
        self, store: Store, aggregate: Aggregate, descending: bool, width: int
    ) -> None:
        fill(store)
        query = WindowQuery("GPU-a", width, aggregate, 10_000, descending=descending)
        assert windows(store, query) == windows_by_hand(points(store, "GPU-a"), query)

    @pytest.mark.parametrize("limit", [1, 2, 3, 7])
    @pytest.mark.parametrize("descending", [False, True])
    @pytest.mark.parametrize("metrics", [(), ("util",), ("power", "clock"), ("nothing",)])
    def test_pages_have_no_gap_and_no_double(
        self, store: Store, limit: int, descending: bool, metrics: tuple[str, ...]
    ) -> None:
        fill(store, 150)
        whole = points(store, "GPU-a")
        query = WindowQuery(
            "GPU-a", 10_000, "mean", limit, T0 + 4_321, T0 + 124_321, metrics, None, descending
        )
        assert windows(store, query) == windows_by_hand(whole, query)

    def test_the_range_cuts_the_first_and_the_last_window(self, store: Store) -> None:
        base = T0 - T0 % MINUTE
        store.write([Sample(gpu(), base + i * 1_000, {"m": i}) for i in range(180)])
        query = WindowQuery("GPU-a", MINUTE, "min", 10, base + 30_000, base + 125_000)
        assert [p.value for p in windows(store, query)] == [30, 60, 120]
        last = WindowQuery("GPU-a", MINUTE, "last", 10, base + 30_000, base + 125_000)
        assert [p.value for p in windows(store, last)] == [59, 119, 125]

    def test_a_window_without_points_is_left_out(self, store: Store) -> None:
        store.write([sample("a", 0, m=1), sample("a", 7_200, m=2)])
        found = windows(store, WindowQuery("GPU-a", MINUTE, "mean", 10))
        assert [p.timestamp for p in found] == [T0 - T0 % MINUTE, T0 + 7_200_000 - T0 % MINUTE]

    def test_an_unknown_gpu_is_none(self, store: Store) -> None:
        assert store.windows(WindowQuery("nobody", MINUTE, "mean", 10)) is None

    def test_a_range_without_points_is_empty(self, store: Store) -> None:
        store.write([sample("a", 0, m=1)])
        query = WindowQuery("GPU-a", MINUTE, "mean", 10, T0 + 1, LATEST_MS)
        assert windows(store, query) == []

    @settings(max_examples=16, deadline=None, suppress_health_check=[*HealthCheck])
    @given(
        moments=st.lists(
            st.tuples(
                st.integers(0, 400),
                st.dictionaries(
                    st.sampled_from(["a", "b", "c"]),
                    st.floats(-1e6, 1e6, allow_subnormal=False),
                    min_size=1,
                ),
            ),
            max_size=60,
        ),
        width=st.sampled_from([1_000, 9_000, MINUTE, HOUR]),
        aggregate=st.sampled_from(AGGREGATES),
        limit=st.integers(1, 20),
        descending=st.booleans(),
        start=st.integers(0, 200),
        seconds=st.integers(0, 400),
    )
    def test_any_points_and_question(
        self,
        open_kind: OpenStore,
        moments: list[tuple[int, dict[str, float]]],
        width: int,
        aggregate: Aggregate,
        limit: int,
        descending: bool,
        start: int,
        seconds: int,
    ) -> None:
        store = open_kind(f"windows{next(names)}")
        store.write([sample("a", 0, a=1)])
        store.write([sample("a", at, **metrics) for at, metrics in moments])
        start_ms, end_ms = T0 + start * 1_000, T0 + (start + seconds) * 1_000
        query = WindowQuery(
            "GPU-a", width, aggregate, limit, start_ms, end_ms, (), None, descending
        )
        assert windows(store, query) == windows_by_hand(points(store, "GPU-a"), query)
        store.close()


class TestRetention:
    """Of the stores that are told to; a server keeps its retention by itself."""

    @pytest.fixture
    def store(self, open_embedded: OpenStore) -> Store:
        return open_embedded()

    def test_what_is_older_goes_and_the_rest_stays(self, store: Store) -> None:
        base = T0 - T0 % HOUR
        hours = range(10)
        store.write(
            [
                Sample(gpu(name), base + hour * HOUR + i * MINUTE, {"m": hour, "n": i})
                for name in "ab"
                for hour in hours
                for i in range(60)
            ]
        )
        before = store.stats()
        gone = expire(store, base + 4 * HOUR)
        after = store.stats()
        assert gone == 2 * 4 * 60 * 2
        assert (before.points, after.points) == (2 * 600 * 2, 2 * 360 * 2)
        assert (after.samples, after.gpus) == (2 * 360, 2)
        assert (after.oldest_ms, after.newest_ms) == (base + 4 * HOUR, before.newest_ms)
        for name in ("GPU-a", "GPU-b"):
            kept = points(store, name)
            assert {p.timestamp for p in kept} == {
                base + hour * HOUR + i * MINUTE for hour in hours if hour >= 4 for i in range(60)
            }
            record = store.gpu(name)
            assert record is not None
            assert record.points == len(kept) == store.count_points(name, 0, LATEST_MS)

    def test_when_it_was_first_seen_stays_true(self, store: Store) -> None:
        store.write([sample("a", at * 3600, m=1) for at in range(5)])
        expire(store, T0 + 3 * HOUR)
        record = store.gpu("GPU-a")
        assert record is not None
        assert (record.first_seen, record.last_seen) == (T0, T0 + 4 * HOUR)

    def test_what_expired_samples_said_of_the_gpu_stays(self, store: Store) -> None:
        store.write(
            [
                Sample(Gpu(uuid="GPU-a", pod="p"), T0 + 1_000, {"m": 1}),
                Sample(Gpu(uuid="GPU-a", model="H100"), T0, {"n": 1}),
                Sample(Gpu(uuid="GPU-a"), T0 + 4 * HOUR, {"m": 1}),
            ]
        )
        expire(store, T0 + 3 * HOUR)
        record = store.gpu("GPU-a")
        assert record is not None
        assert (record.gpu.pod, record.gpu.model, record.first_seen) == ("p", "H100", T0)
        assert store.gpu_metrics("GPU-a") == ["m", "n"]

    def test_a_gpu_without_points_stays_in_the_inventory(self, store: Store) -> None:
        store.write([sample("a", 0, m=1), sample("b", 7_200, m=1)])
        expire(store, T0 + 2 * HOUR)
        assert [(r.id, r.points) for r in store.gpus(GpuFilter(), 10)] == [
            ("GPU-a", 0),
            ("GPU-b", 1),
        ]
        assert points(store, "GPU-a") == []

    def test_nothing_old_is_nothing_to_do(self, store: Store) -> None:
        assert store.expire(LATEST_MS) == 0
        store.write([sample("a", 0, m=1)])
        assert store.expire(T0 - HOUR) == 0
        assert store.stats().points == 1

    def test_everything_may_go_and_come_again(self, store: Store) -> None:
        store.write([sample("a", at, m=at) for at in range(10)])
        expire(store, LATEST_MS)
        stats = store.stats()
        assert (stats.points, stats.samples, stats.oldest_ms, stats.newest_ms) == (0, 0, None, None)
        assert store.write([sample("a", 3, m=3)]).new_points == 1
        assert points(store, "GPU-a") == [Point(T0 + 3_000, "m", 3)]
        assert store.stats().oldest_ms == T0 + 3_000

    def test_written_again_while_it_expires(self, store: Store) -> None:
        store.write([sample("a", at * 60, m=at) for at in range(5_000)])
        store.expire(T0 + 1_000 * MINUTE)
        again = [sample("a", at * 60, m=at) for at in range(5_000)]
        store.write(again)
        assert store.stats().points == len(points(store, "GPU-a")) == 5_000


def expire(store: Store, before_ms: int) -> int:
    """Delete until none is left; return how many points went."""
    return sum(iter(lambda: store.expire(before_ms), 0))
