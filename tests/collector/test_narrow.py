"""Writing in parts: exactly what the store refuses is left, at a price that is bounded."""

import asyncio
import math
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.narrow import COARSE_SAMPLES, MOST_WRITES, Narrowing
from common.models import Gpu, Sample

Point = tuple[str, int, str]
Refuses = Callable[[Point], bool]

NAMES = [f"metric_{n}" for n in range(10)]


def points_of(samples: Sequence[Sample]) -> set[Point]:
    return {(each.gpu.uuid, each.timestamp, name) for each in samples for name in each.metrics}


class Picky:
    """Takes a write only as a whole, and only if it likes each point."""

    def __init__(self, refuses: Refuses) -> None:
        self.refuses = refuses
        self.stored: set[Point] = set()
        self.asked = 0

    async def write(self, samples: Sequence[Sample]) -> str | None:
        self.asked += 1
        given = points_of(samples)
        if any(map(self.refuses, given)):
            return "no"
        self.stored |= given
        return None

    def narrow(self, samples: Sequence[Sample]) -> set[Point]:
        """What is refused of a write that was."""
        found = asyncio.run(Narrowing(self.write).run(samples, "no"))
        return points_of([piece.sample for part in found for piece in part.pieces])


def fleet(gpus: int, moments: int, names: Sequence[str] = NAMES) -> list[Sample]:
    return [
        Sample(Gpu(uuid=f"gpu-{gpu}"), at, dict.fromkeys(names, 1.0))
        for at in range(moments)
        for gpu in range(gpus)
    ]


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 5), st.integers(1, 4), st.data())
def test_exactly_what_is_refused_is_left(gpus: int, moments: int, data: st.DataObject) -> None:
    samples = fleet(gpus, moments, NAMES[:3])
    every = sorted(points_of(samples))
    bad = data.draw(st.sets(st.sampled_from(every), min_size=1))
    store = Picky(lambda point: point in bad)
    assert store.narrow(samples) == bad
    assert store.stored == set(every) - bad


@pytest.mark.parametrize("place", [0, 1, 249, 250, 333, 498, 499])
@pytest.mark.parametrize("name", NAMES[::3])
def test_one_bad_of_five_thousand_is_alone_after_its_logarithm(place: int, name: str) -> None:
    samples = fleet(50, 10)
    bad = (samples[place].gpu.uuid, samples[place].timestamp, name)
    store = Picky(lambda point: point == bad)
    assert store.narrow(samples) == {bad}
    assert len(store.stored) == 4999
    assert store.asked <= math.ceil(math.log2(500)) + math.ceil(math.log2(10)) + 3


def test_a_metric_that_is_always_refused_does_not_keep_the_others() -> None:
    samples = fleet(50, 10)
    store = Picky(lambda point: point[2] == "metric_4")
    assert store.narrow(samples) == {each for each in points_of(samples) if each[2] == "metric_4"}
    assert len(store.stored) == 4500
    assert store.asked < MOST_WRITES + 500 / COARSE_SAMPLES + 20


def test_a_gpu_that_is_always_refused_does_not_keep_the_others() -> None:
    samples = fleet(50, 10)
    store = Picky(lambda point: point[0] == "gpu-7")
    assert store.narrow(samples) == {each for each in points_of(samples) if each[0] == "gpu-7"}
    assert len(store.stored) == 4900


def test_a_store_that_refuses_everything_costs_a_bounded_number_of_writes() -> None:
    samples = fleet(100, 50)
    store = Picky(lambda point: True)
    assert store.narrow(samples) == points_of(samples)
    assert store.asked < MOST_WRITES + 2 * len(samples) / COARSE_SAMPLES + 20


def test_a_store_that_thinks_better_of_it_is_believed() -> None:
    samples = fleet(4, 1)
    first = iter([True])
    store = Picky(lambda point: next(first, False))
    assert store.narrow(samples) == set()
    assert store.stored == points_of(samples)
