"""The breaker's states, one transition at a time."""

import pytest

from common.breaker import FAILURES_TO_OPEN, Breaker
from tests.support.clock import ManualClock

COOL_DOWN = 5.0


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def breaker(clock: ManualClock) -> Breaker:
    return Breaker(clock, COOL_DOWN)


def half_open(breaker: Breaker, clock: ManualClock) -> None:
    breaker.failed(at_once=True)
    clock.advance(COOL_DOWN)


def test_it_starts_closed_and_lets_everything_through(breaker: Breaker) -> None:
    assert breaker.state == "closed"
    assert all(breaker.allows() for _ in range(100))


def test_slow_failures_open_it_when_they_come_in_a_row(breaker: Breaker) -> None:
    for _ in range(FAILURES_TO_OPEN - 1):
        breaker.failed(at_once=False)
    assert breaker.state == "closed"
    breaker.failed(at_once=False)
    assert breaker.state == "open"
    assert not breaker.allows()


def test_an_answer_between_failures_begins_the_row_anew(breaker: Breaker) -> None:
    for _ in range(FAILURES_TO_OPEN * 2):
        breaker.failed(at_once=False)
        breaker.succeeded()
    assert breaker.state == "closed"


def test_a_refusal_opens_it_at_once(breaker: Breaker) -> None:
    breaker.failed(at_once=True)
    assert breaker.state == "open"


def test_it_stays_open_until_the_cool_down_is_over(breaker: Breaker, clock: ManualClock) -> None:
    breaker.failed(at_once=True)
    clock.advance(COOL_DOWN - 0.001)
    assert not breaker.allows()
    clock.advance(0.001)
    assert breaker.state == "half-open"


def test_half_open_lets_one_through(breaker: Breaker, clock: ManualClock) -> None:
    half_open(breaker, clock)
    assert [breaker.allows() for _ in range(3)] == [True, False, False]


def test_success_closes_it(breaker: Breaker, clock: ManualClock) -> None:
    half_open(breaker, clock)
    assert breaker.allows()
    breaker.succeeded()
    assert breaker.state == "closed"
    assert breaker.allows()


@pytest.mark.parametrize("at_once", [True, False])
def test_a_failed_try_opens_it_again(breaker: Breaker, clock: ManualClock, at_once: bool) -> None:
    half_open(breaker, clock)
    assert breaker.allows()
    breaker.failed(at_once)
    assert breaker.state == "open"
    clock.advance(COOL_DOWN)
    assert breaker.allows()


def test_a_try_that_tells_nothing_lets_the_next_one_through(
    breaker: Breaker, clock: ManualClock
) -> None:
    half_open(breaker, clock)
    assert breaker.allows()
    breaker.gave_up()
    assert breaker.state == "half-open"
    assert breaker.allows()


def test_the_wall_clock_changes_nothing(breaker: Breaker, clock: ManualClock) -> None:
    breaker.failed(at_once=True)
    clock.jump_wall(3600)
    assert breaker.state == "open"
