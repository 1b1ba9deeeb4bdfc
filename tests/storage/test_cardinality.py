"""How many different things pass, and what becomes of the others."""

import pytest

from common.models import Gpu, Sample
from common.storage.base import Store
from common.storage.cardinality import (
    OVERFLOW,
    PERIOD_SECONDS,
    TOO_MANY_GPUS,
    TOO_MANY_METRICS,
    Caps,
    CardinalityGuard,
    LabelUse,
)
from tests.storage.samples import T0, sample

NOW = 1_000.0
CAPS = Caps(gpus=3, metrics=3, labels=2, label_values=2)


@pytest.fixture
def guard() -> CardinalityGuard:
    return CardinalityGuard(CAPS)


def of_pod(name: str, pod: str, at: int = 0) -> Sample:
    return Sample(Gpu(uuid=f"GPU-{name}", hostname="h", pod=pod), T0 + at, {"util": 1})


def pod_after(guard: CardinalityGuard, name: str, pod: str, now: float = NOW) -> str:
    [passed], _, refused = guard.admit([of_pod(name, pod)], now)
    assert refused == []
    return passed.gpu.pod


class TestLabels:
    def test_below_the_cap_nothing_changes(self, guard: CardinalityGuard) -> None:
        given = [of_pod("a", "p"), of_pod("b", "q"), of_pod("a", "p", 1)]
        as_it_was = [each.gpu for each in given]
        passed, _, refused = guard.admit(given, NOW)
        assert [each.gpu for each in passed] == as_it_was
        assert refused == []
        assert guard.report().values_overflowed == 0

    def test_one_value_too_many_becomes_the_overflow(self, guard: CardinalityGuard) -> None:
        assert pod_after(guard, "a", "p") == "p"
        assert pod_after(guard, "b", "q") == "q"
        assert pod_after(guard, "c", "r") == OVERFLOW
        assert pod_after(guard, "c", "p") == "p"
        assert pod_after(guard, "c", "") == ""

    def test_the_points_stay_their_gpus(self, guard: CardinalityGuard) -> None:
        for name, pod in zip("abc", "pqr", strict=True):
            pod_after(guard, name, pod)
        [passed], _, _ = guard.admit([of_pod("c", "s", 7)], NOW)
        assert (passed.gpu.uuid, passed.timestamp, passed.metrics) == ("GPU-c", T0 + 7, {"util": 1})
        assert passed.gpu.hostname == "h"

    def test_extra_labels_have_caps_of_their_own(self, guard: CardinalityGuard) -> None:
        given = Gpu(uuid="GPU-a", labels={"rack": "1", "row": "2", "request": "x"})
        [passed], _, _ = guard.admit([Sample(given, T0, {"util": 1})], NOW)
        assert passed.gpu.labels == {"rack": "1", "row": "2"}
        for rack in "23":
            again = Gpu(uuid="GPU-a", labels={"rack": rack, "request": "y"})
            [passed], _, _ = guard.admit([Sample(again, T0, {"util": 1})], NOW)
        assert passed.gpu.labels == {"rack": OVERFLOW}
        assert guard.report().labels_dropped == 3

    def test_an_id_is_never_changed(self, guard: CardinalityGuard) -> None:
        for name in "xyz":
            [passed], _, _ = guard.admit(
                [Sample(Gpu(hostname=f"host-{name}", gpu_id="0"), T0, {"util": 1})], NOW
            )
            assert passed.gpu.id == f"host-{name}-0"

    def test_values_that_are_no_longer_seen_make_room(self, guard: CardinalityGuard) -> None:
        pod_after(guard, "a", "p")
        pod_after(guard, "b", "q")
        later = NOW + PERIOD_SECONDS
        assert pod_after(guard, "a", "p", later) == "p"
        assert pod_after(guard, "c", "r", later) == OVERFLOW
        latest = later + PERIOD_SECONDS
        assert pod_after(guard, "a", "p", latest) == "p"
        assert pod_after(guard, "c", "r", latest) == "r"

    def test_what_passed_may_come_by_again(self, guard: CardinalityGuard) -> None:
        given = [of_pod(name, pod) for name, pod in zip("abc", "pqr", strict=True)]
        passed, _, _ = guard.admit(given, NOW)
        again, _, _ = guard.admit(passed, NOW)
        assert [each.gpu.pod for each in again] == ["p", "q", OVERFLOW]
        assert guard.report().values_overflowed == 1


class TestIdentities:
    def test_a_gpu_too_many_is_refused_and_the_known_go_on(self, guard: CardinalityGuard) -> None:
        passed, places, refused = guard.admit([sample(name, 0, util=1) for name in "abcdab"], NOW)
        assert places == [0, 1, 2, 4, 5]
        assert [each.gpu.uuid[-1] for each in passed] == list("abcab")
        assert [(each.reason, each.at, each.sample.gpu.uuid) for each in refused] == [
            (TOO_MANY_GPUS, 3, "GPU-d")
        ]

    def test_what_is_stored_already_passes(self, guard: CardinalityGuard) -> None:
        guard.know([f"GPU-{name}" for name in "abcde"], ["m1", "m2", "m3", "m4"])
        passed, _, refused = guard.admit([sample("e", 0, m4=1), sample("f", 0, m1=1)], NOW)
        assert [each.gpu.uuid for each in passed] == ["GPU-e"]
        assert [each.sample.gpu.uuid for each in refused] == ["GPU-f"]

    def test_what_a_store_holds_passes(self, guard: CardinalityGuard, store: Store) -> None:
        store.write([sample(name, 0, **{f"m{name}": 1}) for name in "abcde"])
        guard.know_all_of(store)
        assert (guard.report().gpus, guard.report().metrics) == (5, 5)
        passed, _, refused = guard.admit([sample("e", 1, ma=1), sample("f", 1, ma=1)], NOW)
        assert [each.gpu.uuid for each in passed] == ["GPU-e"]
        assert [each.reason for each in refused] == [TOO_MANY_GPUS]

    def test_metrics_over_the_cap_are_refused_and_the_rest_of_the_sample_passes(
        self, guard: CardinalityGuard
    ) -> None:
        guard.know([], ["m1", "m2"])
        given = [sample("a", 0, m1=1, m3=3), sample("a", 1, m1=1, m4=4), sample("a", 2, m5=5)]
        passed, _, refused = guard.admit(given, NOW)
        assert [each.metrics for each in passed] == [{"m1": 1, "m3": 3}, {"m1": 1}]
        assert [(each.reason, each.sample.metrics) for each in refused] == [
            (TOO_MANY_METRICS, {"m4": 4}),
            (TOO_MANY_METRICS, {"m5": 5}),
        ]

    def test_a_refused_gpu_takes_no_metric_name(self, guard: CardinalityGuard) -> None:
        guard.know([f"GPU-{name}" for name in "abc"], [])
        guard.admit([sample("d", 0, theirs=1)], NOW)
        assert guard.report().metrics == 0


def test_the_report_names_the_worst_first(guard: CardinalityGuard) -> None:
    for at in range(30):
        guard.admit([Sample(Gpu(uuid="GPU-a", pod=f"p{at}", model="m"), T0 + at, {"util": 1})], NOW)
    guard.admit([sample(name, 0, util=1, a=1, b=1, c=1) for name in "bcd"], NOW)
    report = guard.report()
    assert report.worst[0] == LabelUse("pod", 2, 28)
    assert report.values_overflowed == 28
    assert (report.gpus, report.gpus_refused) == (3, 1)
    assert (report.metrics, report.metrics_refused) == (3, 2)
