"""Kill -9 in the middle of writing, rolling up and expiring."""

import multiprocessing
import os
import random
import signal
from multiprocessing.connection import Connection
from pathlib import Path

import apsw
import pytest

from common.models import LATEST_MS, Sample
from common.storage.base import Aggregate, WindowQuery
from common.storage.sqlite.store import SqliteStore
from common.storage.upkeep import Upkeep
from tests.storage.samples import T0, gpu, points, windows
from tests.storage.test_windows import HOUR, MINUTE

SPAWN = multiprocessing.get_context("spawn")
BASE = T0 - T0 % HOUR
KEPT_HOURS = 5
MINUTES_A_CALL = 90


def write_and_keep_up(path: Path, told: Connection) -> None:
    """Write minute after minute, and keep the store up to them, for ever."""
    store, upkeep = SqliteStore(path), Upkeep(KEPT_HOURS * 3600, 0)
    for call in range(100_000):
        minutes = range(call * MINUTES_A_CALL, (call + 1) * MINUTES_A_CALL)
        store.write(
            [Sample(gpu(name), BASE + m * MINUTE, {"m": m}) for name in "ab" for m in minutes]
        )
        told.send(call)
        while any(upkeep.step(store, BASE / 1000 + minutes[-1] * 60)):
            pass


@pytest.mark.parametrize("seed", range(4))
def test_what_is_rolled_up_or_expired_is_so_as_a_whole(tmp_path: Path, seed: int) -> None:
    path, chance = tmp_path / "store.db", random.Random(seed)
    heard, told = SPAWN.Pipe(duplex=False)
    writer = SPAWN.Process(target=write_and_keep_up, args=(path, told), daemon=True)
    writer.start()
    told.close()
    for _ in range(chance.randint(5, 40)):
        last = heard.recv()
    assert writer.pid is not None
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    heard.close()

    store = SqliteStore(path)
    hours = (last + 1) * MINUTES_A_CALL // 60
    bounds: tuple[tuple[Aggregate, int], ...] = (("min", 0), ("max", 59))
    stored = 0
    for name in ("GPU-a", "GPU-b"):
        for aggregate, minute in bounds:
            query = WindowQuery(name, HOUR, aggregate, 100_000, end_ms=BASE + hours * HOUR - 1)
            assert [p.value for p in windows(store, query)] == [
                60 * hour + minute for hour in range(hours)
            ]
        record = store.gpu(name)
        assert record is not None
        assert record.points == len(points(store, name)) == store.count_points(name, 0, LATEST_MS)
        stored += record.points
    assert store.stats().points == store.stats().samples == stored
    store.close()
    db = apsw.Connection(str(path))
    assert db.pragma("integrity_check") == "ok"
    db.close()
