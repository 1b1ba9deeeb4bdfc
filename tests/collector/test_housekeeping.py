"""Old points leave the store, however much there is, and never by a clock that jumps."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from collector.housekeeping import EVERY_SECONDS, Housekeeping
from collector.storing import Storing
from common.errors import StoreUnavailable
from common.models import Gpu, Sample
from common.storage.cardinality import Caps, CardinalityGuard
from common.storage.sqlite.store import SqliteStore
from common.storage.upkeep import Upkeep
from tests.support.clock import EPOCH, ManualClock
from tests.support.waiting import until

HOUR = 3600
KEPT_SECONDS = 10 * HOUR


def at_hour(hour: float) -> Sample:
    """A sample so many hours after the clock's beginning."""
    return Sample(Gpu(uuid="GPU-a"), int((EPOCH + hour * HOUR) * 1000), {"power": 1.0})


@asynccontextmanager
async def expiring(store: SqliteStore, clock: ManualClock) -> AsyncIterator[Callable[[], int]]:
    """Run the retention; yields how many points there are."""
    with ThreadPoolExecutor(1) as thread:
        guard = CardinalityGuard(Caps(gpus=10, metrics=10, labels=10, label_values=10))
        storing = Storing(lambda: store, guard, thread, clock)
        await storing.open()
        upkeep = Upkeep(KEPT_SECONDS, 0)
        running = asyncio.create_task(Housekeeping(storing, upkeep, clock).run())
        try:
            yield lambda: store.stats().points
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            storing.close()


async def until_left(points: Callable[[], int], count: int, clock: ManualClock) -> None:
    def left() -> bool:
        clock.advance(1)
        return points() == count

    await until(left)


async def test_what_is_older_goes_and_the_rest_stays(tmp_path: Path) -> None:
    store, clock = SqliteStore(tmp_path / "points.sqlite"), ManualClock()
    store.write([at_hour(-20 + n / 100) for n in range(200)])
    store.write([at_hour(-5 + n / 100) for n in range(100)])
    async with expiring(store, clock) as points:
        await until_left(points, 100, clock)
        clock.advance(20 * HOUR)
        await until_left(points, 0, clock)


async def test_a_wall_clock_that_is_set_ahead_makes_nothing_old(tmp_path: Path) -> None:
    store, clock = SqliteStore(tmp_path / "points.sqlite"), ManualClock()
    store.write([at_hour(-20), at_hour(-8)])
    async with expiring(store, clock) as points:
        clock.jump_wall(365 * 24 * HOUR)
        await until_left(points, 1, clock)
        for _ in range(20):
            clock.advance(EVERY_SECONDS)
            await asyncio.sleep(0.002)
        assert points() == 1


async def test_a_store_that_is_away_or_broken_is_asked_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, clock = SqliteStore(tmp_path / "points.sqlite"), ManualClock()
    store.write([at_hour(-20), at_hour(-1)])
    expire, asked = store.expire, 0

    def away_twice(before_ms: int, rollups_before_ms: int = 0) -> int:
        nonlocal asked
        asked += 1
        if asked <= 2:
            raise StoreUnavailable("away") if asked == 1 else ZeroDivisionError("a bug")
        return expire(before_ms, rollups_before_ms)

    monkeypatch.setattr(store, "expire", away_twice)
    async with expiring(store, clock) as points:
        await until_left(points, 1, clock)
