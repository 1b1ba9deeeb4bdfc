"""Waits between tries: they grow to a limit, with jitter, and begin small again."""

import random

import pytest

from common.retry import FIRST_SECONDS, LAST_SECONDS, Backoff


class Recorder:
    """A clock that notes what is waited for."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def wall(self) -> float:
        return 0.0

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


class Highest(random.Random):
    """Draws the most that may be drawn."""

    def uniform(self, a: float, b: float) -> float:
        return b


async def waits(times: int, rng: random.Random | None = None) -> list[float]:
    clock = Recorder()
    backoff = Backoff(clock, rng=rng)
    for _ in range(times):
        await backoff.wait()
    return clock.slept


async def test_the_limit_doubles_up_to_the_last() -> None:
    assert await waits(8, Highest()) == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0])


async def test_every_wait_is_drawn_from_zero_to_the_limit() -> None:
    for drawn, limit in zip(await waits(20), await waits(20, Highest()), strict=True):
        assert 0 <= drawn <= limit <= LAST_SECONDS


async def test_two_series_do_not_wait_alike() -> None:
    assert await waits(5) != await waits(5)


async def test_a_longer_wait_that_was_asked_for_is_kept() -> None:
    clock = Recorder()
    await Backoff(clock).wait(least_seconds=30)
    assert clock.slept == [30]


async def test_it_begins_small_again() -> None:
    clock = Recorder()
    backoff = Backoff(clock, rng=Highest())
    for _ in range(5):
        await backoff.wait()
    backoff.reset()
    await backoff.wait()
    assert clock.slept[-1] == FIRST_SECONDS
