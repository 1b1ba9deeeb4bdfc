"""A store that is away, closed to us or broken: tried for ever, gently, and nothing is lost."""

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from collector.storing import HOPELESS_SECONDS, PROBE_SAMPLES, Storing
from common.errors import StoreUnavailable
from common.models import Sample
from common.storage.base import StoreRefused, WriteRefused, Written
from common.storage.cardinality import Caps, CardinalityGuard
from tests.collector.fakes import FakeStore, HastyClock, sample

CAPS = Caps(gpus=10, metrics=10, labels=10, label_values=10)
AWAY = StoreUnavailable("away", retry_after_seconds=2.5)


class Failing(FakeStore):
    """Raises what it is given, one after the other, before it stores."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__()
        self.errors = list(errors)
        self.sizes: list[int] = []

    def write(self, samples: Sequence[Sample]) -> Written:
        self.sizes.append(len(samples))
        if self.errors:
            raise self.errors.pop(0)
        return super().write(samples)


@pytest.fixture
def clock() -> HastyClock:
    return HastyClock()


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as thread:
        yield thread


def storing_of(store: Any, thread: ThreadPoolExecutor, clock: HastyClock) -> Storing:
    """Only the writing side of a store is asked."""
    return Storing(lambda: store, CardinalityGuard(CAPS), thread, clock)


async def write(
    store: Any, thread: ThreadPoolExecutor, clock: HastyClock, count: int = 300
) -> tuple[Storing, str | None]:
    storing = storing_of(store, thread, clock)
    await storing.until_open()
    words = await storing.write([sample(at, a=1.0, b=2.0) for at in range(count)])
    return storing, words


async def test_a_store_that_stays_away_is_asked_less_and_with_less(
    thread: ThreadPoolExecutor, clock: HastyClock
) -> None:
    store = Failing(*[AWAY] * 6)
    storing, words = await write(store, thread, clock)
    assert (words, storing.problem, storing.failures) == (None, "", 6)
    assert store.sizes == [300, 300, 300, *[PROBE_SAMPLES] * 4, 300]
    assert (storing.points, storing.new_points) == (600, 600)
    assert [seconds for seconds in clock.slept if seconds >= 2.5]


async def test_a_store_that_refuses_us_is_an_alarm_and_asked_seldom(
    thread: ThreadPoolExecutor, clock: HastyClock
) -> None:
    store = Failing(StoreRefused("wrong token"), StoreRefused("wrong token"))
    storing = storing_of(store, thread, clock)
    await storing.until_open()
    writing = asyncio.create_task(storing.write([sample(1)]))
    while not storing.alarm:  # noqa: ASYNC110  it tells nobody
        await asyncio.sleep(0)
    assert storing.problem == "wrong token"
    assert await writing is None
    assert (storing.alarm, storing.problem) == (False, "")
    assert clock.slept.count(HOPELESS_SECONDS) == 2


async def test_a_defect_of_the_store_ends_nothing(
    thread: ThreadPoolExecutor, clock: HastyClock
) -> None:
    storing, words = await write(Failing(ZeroDivisionError("a bug")), thread, clock)
    assert (words, storing.points, storing.failures) == (None, 600, 1)


async def test_a_store_that_cannot_be_opened_is_opened_later(
    thread: ThreadPoolExecutor, clock: HastyClock
) -> None:
    store = FakeStore()
    answers: list[Any] = [StoreRefused("a foreign file"), AWAY, store]

    def open_store() -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    storing = Storing(open_store, CardinalityGuard(CAPS), thread, clock)
    assert not await storing.open()
    assert storing.alarm
    await storing.until_open()
    assert await storing.write([sample(1)]) is None
    assert (list(store.stored), storing.alarm) == ([1], False)


async def test_a_refusal_ends_with_the_stores_words_and_is_no_failure(
    thread: ThreadPoolExecutor, clock: HastyClock
) -> None:
    storing, words = await write(Failing(AWAY, WriteRefused("type conflict")), thread, clock)
    assert (words, storing.problem, storing.failures) == ("type conflict", "", 1)


async def test_gpus_are_counted_once(thread: ThreadPoolExecutor, clock: HastyClock) -> None:
    storing, _ = await write(FakeStore(), thread, clock)
    assert storing.gpus == {"GPU-a"}
