"""What every store must do, whatever it keeps its points in."""

import itertools
import random
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.errors import StoreUnavailable
from common.models import Gpu, Sample
from common.storage.base import GpuFilter, Point, Store, TelemetryQuery, Written
from tests.storage.samples import T0, Model, gpu, pages, points, sample
from tests.support.stores import OpenStore

ANY = GpuFilter()
METRICS = ("DCGM_FI_DEV_GPU_UTIL", "power", "temp", "clock", "имя", "a\0b", "'; DROP TABLE x--")

names = itertools.count()

some_sample = st.builds(
    sample,
    st.sampled_from("abc"),
    st.integers(0, 5),
).flatmap(
    lambda s: st.dictionaries(
        st.sampled_from(METRICS), st.floats(allow_nan=False, allow_infinity=False), min_size=1
    ).map(lambda metrics: Sample(s.gpu, s.timestamp, metrics))
)
some_writes = st.lists(st.lists(some_sample, max_size=8), max_size=8)


def told(written: Written, points: int, new_points: int) -> None:
    """What a store says of a write; whether it was new is not for every store to know."""
    assert written.points == points
    assert written.new_points in (new_points, None)


class TestWriting:
    def test_what_is_written_is_read(self, store: Store) -> None:
        told(store.write([sample("a", 0, util=1, temp=2.5)]), 2, 2)
        assert points(store, "GPU-a") == [Point(T0, "temp", 2.5), Point(T0, "util", 1.0)]

    def test_nothing_written_changes_nothing(self, store: Store) -> None:
        told(store.write([]), 0, 0)
        assert store.stats().points == 0

    def test_the_same_again_is_not_new(self, store: Store) -> None:
        store.write([sample("a", 0, util=1, temp=2)])
        told(store.write([sample("a", 0, temp=3, util=4)]), 2, 0)
        assert points(store, "GPU-a") == [Point(T0, "temp", 3), Point(T0, "util", 4)]
        assert store.stats().points == 2

    def test_an_embedded_store_tells_what_is_new(self, open_embedded: OpenStore) -> None:
        store = open_embedded()
        assert store.write([sample("a", 0, util=1, temp=2)]) == Written(2, 2)
        assert store.write([sample("a", 0, util=1, power=2)]) == Written(2, 1)

    def test_other_metrics_of_a_moment_are_added(self, store: Store) -> None:
        store.write([sample("a", 0, util=1, temp=2)])
        told(store.write([sample("a", 0, temp=3, power=4)]), 2, 1)
        assert {p.metric: p.value for p in points(store, "GPU-a")} == {
            "util": 1,
            "temp": 3,
            "power": 4,
        }
        assert store.stats().samples == 1

    def test_a_moment_twice_in_one_call(self, store: Store) -> None:
        twice = [sample("a", 0, util=1, temp=2), sample("a", 0, util=5), sample("a", 0, power=6)]
        told(store.write(twice), 4, 3)
        assert {p.metric: p.value for p in points(store, "GPU-a")} == {
            "util": 5,
            "temp": 2,
            "power": 6,
        }

    def test_a_bad_sample_stores_none_of_its_call(self, store: Store) -> None:
        store.write([sample("a", 0, util=1)])
        with pytest.raises(ValueError, match="out of bounds"):
            store.write([sample("b", 0, other=1), Sample(gpu("c"), -1, {"util": 1})])
        assert store.stats().points == 1
        assert store.gpu("GPU-b") is None
        told(store.write([sample("b", 0, other=1)]), 1, 1)
        assert points(store, "GPU-b") == [Point(T0, "other", 1)]

    def test_values_keep_every_digit(self, store: Store) -> None:
        values = {"a": 0.1 + 0.2, "b": 5e-324, "c": 1.7976931348623157e308, "d": -0.0}
        store.write([sample("a", 0, **values)])
        assert [p.value.hex() for p in points(store, "GPU-a")] == [v.hex() for v in values.values()]

    def test_more_rows_than_one_statement_takes(self, store: Store) -> None:
        many = [sample("a", at, util=at) for at in range(2_345)]
        random.Random(1).shuffle(many)
        told(store.write(many), 2_345, 2_345)
        told(store.write(many), 2_345, 0)
        assert [p.value for p in points(store, "GPU-a")] == list(range(2_345))

    @settings(max_examples=20, deadline=None, suppress_health_check=[*HealthCheck])
    @given(writes=some_writes)
    def test_any_writes_equal_the_model(
        self, open_kind: OpenStore, writes: list[list[Sample]]
    ) -> None:
        store, model = open_kind(str(next(names))), Model()
        for write in writes:
            given = sum(len(each.metrics) for each in write)
            told(store.write(write), given, model.write(write))
        moments = {key[:2] for key in model.points}
        stats = store.stats()
        assert (stats.points, stats.samples) == (len(model.points), len(moments))
        for gpu_id in {g for g, _ in moments}:
            expected = model.of(gpu_id)
            times = [point.timestamp for point in expected]
            assert points(store, gpu_id) == expected
            record = store.gpu(gpu_id)
            assert record is not None
            assert record.points == len(expected) == store.count_points(gpu_id, 0, T0 * 2)
            assert (record.first_seen, record.last_seen) == (min(times), max(times))
            assert store.gpu_metrics(gpu_id) == sorted({p.metric for p in expected})
        store.close()


class TestIdentity:
    def test_a_gpu_without_uuid_is_named_by_host_and_index(self, store: Store) -> None:
        store.write([Sample(Gpu(hostname="h", gpu_id="3"), T0, {"util": 1})])
        record = store.gpu("h-3")
        assert record is not None
        assert record.gpu.hostname == "h"

    def test_the_latest_by_sample_time_stands(self, store: Store) -> None:
        for at, pod in ((10, "new"), (0, "old"), (5, "middle")):
            store.write([Sample(gpu("a", pod=pod), T0 + at, {"util": 1})])
        assert self.pod(store) == "new"

    def test_empty_never_overwrites_known(self, store: Store) -> None:
        store.write([Sample(gpu("a", pod="p"), T0, {"util": 1})])
        store.write([Sample(gpu("a"), T0 + 10, {"util": 1})])
        assert self.pod(store) == "p"

    def test_each_field_has_a_time_of_its_own(self, store: Store) -> None:
        store.write([Sample(gpu("a", pod="first"), T0, {"util": 1})])
        store.write([Sample(gpu("a", model="m"), T0 + 20, {"util": 1})])
        store.write([Sample(gpu("a", pod="second"), T0 + 10, {"util": 1})])
        store.write([Sample(gpu("a", pod="late"), T0 + 5, {"util": 1})])
        assert self.pod(store) == "second"

    def test_labels_come_back(self, store: Store) -> None:
        store.write([Sample(Gpu(uuid="GPU-a", labels={"rack": "7", "é": "ü"}), T0, {"util": 1})])
        record = store.gpu("GPU-a")
        assert record is not None
        assert record.gpu.labels == {"rack": "7", "é": "ü"}

    @settings(max_examples=20, deadline=None, suppress_health_check=[*HealthCheck])
    @given(
        seen=st.lists(
            st.tuples(st.sampled_from(["", "p", "q"]), st.sampled_from(["", "m", "n"])),
            min_size=1,
            max_size=6,
        ),
        order=st.randoms(use_true_random=False),
        together=st.booleans(),
    )
    def test_the_order_of_arrival_does_not_matter(
        self,
        open_kind: OpenStore,
        seen: list[tuple[str, str]],
        order: random.Random,
        together: bool,
    ) -> None:
        store, name = open_kind(str(next(names))), "GPU-a"
        samples = [
            Sample(Gpu(uuid=name, pod=pod, model=model), T0 + at, {"util": 1})
            for at, (pod, model) in enumerate(seen)
        ]
        order.shuffle(samples)
        for part in [samples] if together else [[each] for each in samples]:
            store.write(part)
        record = store.gpu(name)
        assert record is not None
        assert record.gpu.pod == next((pod for pod, _ in reversed(seen) if pod), "")
        assert record.gpu.model == next((model for _, model in reversed(seen) if model), "")
        store.close()

    def pod(self, store: Store) -> str:
        record = store.gpu("GPU-a")
        assert record is not None
        return record.gpu.pod


class TestTelemetry:
    def test_an_unknown_gpu_is_none(self, store: Store) -> None:
        assert store.telemetry(TelemetryQuery("nobody", 10)) is None
        assert store.gpu("nobody") is None
        assert store.gpu_metrics("nobody") is None
        assert store.count_points("nobody", 0, T0) == 0

    def test_a_range_includes_both_ends(self, store: Store) -> None:
        store.write([sample("a", at, util=at) for at in range(10)])
        found = points(store, "GPU-a", start_ms=T0 + 2000, end_ms=T0 + 4000)
        assert [p.value for p in found] == [2, 3, 4]
        assert store.count_points("GPU-a", T0 + 2000, T0 + 4000) == 3
        assert points(store, "GPU-a", start_ms=T0 + 1, end_ms=T0 + 999) == []

    def test_newest_first(self, store: Store) -> None:
        store.write([sample("a", at, util=at, temp=0) for at in range(200)])
        page = store.telemetry(TelemetryQuery("GPU-a", 3, descending=True))
        assert page is not None
        assert [(p.timestamp, p.metric) for p in page.points] == [
            (T0 + 199_000, "temp"),
            (T0 + 199_000, "util"),
            (T0 + 198_000, "temp"),
        ]

    def test_only_some_metrics(self, store: Store) -> None:
        store.write([sample("a", at, util=at, temp=1, power=2) for at in range(0, 50, 2)])
        store.write([sample("a", at, clock=at) for at in range(1, 50, 2)])
        assert {p.metric for p in points(store, "GPU-a", metrics=("util", "clock"))} == {
            "util",
            "clock",
        }
        assert points(store, "GPU-a", metrics=("nothing",)) == []
        assert len(pages(store, "GPU-a", 7, metrics=("clock",))) == 25

    @pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
    @pytest.mark.parametrize("descending", [False, True])
    @pytest.mark.parametrize("metrics", [(), ("util",), ("wide3", "temp")])
    def test_pages_have_no_gap_and_no_double(
        self, store: Store, limit: int, descending: bool, metrics: tuple[str, ...]
    ) -> None:
        wide = {f"wide{i}": float(i) for i in range(10)}
        store.write([sample("a", 0, **wide), *(sample("a", at, util=at) for at in range(1, 15))])
        store.write([sample("a", 15, temp=1, util=2), sample("b", 3, util=9)])
        whole = points(store, "GPU-a", metrics=metrics)
        whole.sort(key=lambda p: (-p.timestamp if descending else p.timestamp, p.metric))
        assert pages(store, "GPU-a", limit, metrics=metrics, descending=descending) == whole


class TestLists:
    @pytest.fixture
    def fleet(self, store: Store) -> Store:
        for i in range(10):
            about = Gpu(
                uuid=f"GPU-{i}",
                hostname=f"host-{i // 4}",
                model="H100" if i % 2 else "A100",
                namespace="train" if i < 3 else "",
            )
            store.write([Sample(about, T0 + i, {"util": 1, f"m{i}": 2})])
        return store

    def test_gpus_by_id_in_pages(self, fleet: Store) -> None:
        ids = [record.id for record in fleet.gpus(ANY, 100)]
        assert ids == [f"GPU-{i}" for i in range(10)]
        assert [r.id for r in fleet.gpus(ANY, 3, after="GPU-2")] == ["GPU-3", "GPU-4", "GPU-5"]
        assert [r.id for r in fleet.gpus(ANY, 2, offset=8)] == ["GPU-8", "GPU-9"]
        assert fleet.gpus(ANY, 2, after="GPU-9") == []
        assert fleet.gpu_ids() == ids

    def test_filters_hold_together(self, fleet: Store) -> None:
        assert [r.id for r in fleet.gpus(GpuFilter(host="host-1"), 100)] == [
            "GPU-4",
            "GPU-5",
            "GPU-6",
            "GPU-7",
        ]
        some = fleet.gpus(GpuFilter(model="H100", namespace="train"), 100)
        assert [r.id for r in some] == ["GPU-1"]
        assert fleet.gpus(GpuFilter(host="host-9' OR 1=1 --"), 100) == []

    def test_hosts_and_namespaces(self, fleet: Store) -> None:
        hosts = [(h.host, h.gpus, h.last_seen - T0) for h in fleet.hosts(100)]
        assert hosts == [("host-0", 4, 3), ("host-1", 4, 7), ("host-2", 2, 9)]
        assert [h.host for h in fleet.hosts(1, after="host-0")] == ["host-1"]
        assert [(n.namespace, n.gpus) for n in fleet.namespaces(100)] == [("train", 3)]

    def test_metrics(self, fleet: Store) -> None:
        assert fleet.metrics() == sorted(["util", *(f"m{i}" for i in range(10))])
        assert fleet.gpu_metrics("GPU-3") == ["m3", "util"]

    def test_statistics(self, fleet: Store) -> None:
        stats = fleet.stats()
        assert (stats.gpus, stats.hosts, stats.metrics) == (10, 3, 11)
        assert (stats.points, stats.samples) == (20, 10)
        assert (stats.oldest_ms, stats.newest_ms) == (T0, T0 + 9)

    def test_an_empty_store_answers(self, store: Store) -> None:
        assert store.gpus(ANY, 10) == []
        assert store.gpu_ids() == []
        assert store.hosts(10) == []
        assert store.namespaces(10) == []
        assert store.metrics() == []
        stats = store.stats()
        assert (stats.gpus, stats.points, stats.oldest_ms, stats.newest_ms) == (0, 0, None, None)


class TestLife:
    def test_everything_is_there_after_reopening(self, open_lasting: OpenStore) -> None:
        first = open_lasting()
        first.write([sample("a", 0, util=1, temp=2), sample("b", 1, power=3)])
        first.close()
        again = open_lasting()
        assert points(again, "GPU-a") == [Point(T0, "temp", 2), Point(T0, "util", 1)]
        told(again.write([sample("b", 1, power=3, new=4)]), 2, 1)
        assert again.stats().points == 4

    def test_a_reader_beside_a_writer_sees_whole_calls(self, open_whole: OpenStore) -> None:
        writer, reader = open_whole(), open_whole(writable=False)
        writer.write([sample("a", 0, util=0)])
        seen: list[int] = []

        def watch() -> None:
            while not seen or seen[-1] < 1 + 30 * 50:
                seen.append(reader.stats().points)

        watcher = threading.Thread(target=watch)
        watcher.start()
        for call in range(30):
            writer.write([sample("a", 1 + call * 50 + i, util=i) for i in range(50)])
        watcher.join()
        assert seen == sorted(seen)
        assert all((count - 1) % 50 == 0 for count in seen)

    def test_a_reader_does_not_write(self, open_lasting: OpenStore) -> None:
        open_lasting().write([sample("a", 0, util=0)])
        with pytest.raises(StoreUnavailable):
            open_lasting(writable=False).write([sample("a", 1, util=0)])

    def test_two_writers_count_right(self, open_kind: OpenStore) -> None:
        one, two = open_kind(), open_kind()
        for at in range(5):
            one.write([sample("a", at, util=1), sample("b", at, **{f"one{at}": 1})])
            two.write([sample("a", at, temp=1), sample("c", at, **{f"two{at}": 1})])
        assert one.stats().points == two.stats().points == 20
        assert len(points(one, "GPU-a")) == 10
        assert points(one, "GPU-c") == [Point(T0 + at * 1000, f"two{at}", 1) for at in range(5)]

    def test_many_threads_ask_at_once(self, store: Store) -> None:
        store.write([sample("a", at, util=at) for at in range(100)])
        answers: list[int] = []
        threads = [
            threading.Thread(target=lambda: answers.append(len(points(store, "GPU-a"))))
            for _ in range(16)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [100] * 16
