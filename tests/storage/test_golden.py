"""A file of format 1, kept as it was written: it must open, be brought to the format of today, and
hold what it held.

``make`` wrote it: ``python -m tests.storage.test_golden FILE`` makes one of today's format, for
when that changes and the old one must go on opening.
"""

import shutil
import sys
from pathlib import Path

import apsw
import pytest

from common.errors import StoreUnavailable
from common.models import Gpu, Sample
from common.storage.base import GpuFilter, WindowQuery
from common.storage.sqlite import schema
from common.storage.sqlite.schema import VERSION
from common.storage.sqlite.store import SqliteStore
from tests.storage.samples import points, windows, windows_by_hand

GOLDEN = Path(__file__).with_name("golden") / "format-1.db"
BASE = 1_752_868_800_000
MINUTE, HOUR = 60_000, 3_600_000


def contents() -> list[Sample]:
    """Two GPUs over three hours with a gap, metrics that come and go, and one without a uuid."""
    first = Gpu(uuid="GPU-1", hostname="h", gpu_id="0", model="H100", labels={"rack": "é"})
    second = Gpu(hostname="h", gpu_id="1", pod="p")
    return [
        Sample(gpu, BASE + minute * MINUTE, metrics)
        for gpu in (first, second)
        for minute in (*range(0, 50, 5), *range(130, 150))
        for metrics in [{"temp": 40 + minute / 8, "util": 7.0}, {"util": minute / 3}][minute % 2 :]
    ]


def make(path: Path) -> None:
    store = SqliteStore(path)
    store.write(contents())
    store.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return Path(shutil.copy(GOLDEN, tmp_path / "store.db"))


class TestFormat1:
    def test_it_opens_with_all_that_it_held(self, path: Path) -> None:
        store = SqliteStore(path)
        assert [(r.id, r.gpu.labels, r.points) for r in store.gpus(GpuFilter(), 10)] == [
            ("GPU-1", {"rack": "é"}, 45),
            ("h-1", {}, 45),
        ]
        expected = {
            (sample.timestamp, name): value
            for sample in contents()
            if sample.gpu.uuid
            for name, value in sample.metrics.items()
        }
        assert {(p.timestamp, p.metric): p.value for p in points(store, "GPU-1")} == expected
        store.close()
        db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        assert db.pragma("user_version") == VERSION
        assert db.pragma("integrity_check") == "ok"
        db.close()

    def test_its_hours_are_rolled_up_and_expire(self, path: Path) -> None:
        store = SqliteStore(path)
        whole = points(store, "h-1")
        query = WindowQuery("h-1", HOUR, "p95", 3)
        assert sum(iter(lambda: store.roll_up(BASE + 24 * HOUR), 0)) == 2 * 2
        assert windows(store, query) == windows_by_hand(whole, query)
        assert sum(iter(lambda: store.expire(BASE + HOUR), 0)) == 2 * 15
        assert windows(store, query) == windows_by_hand(whole, query)

    def test_until_a_writer_has_come_a_reader_says_why_it_waits(self, path: Path) -> None:
        before = path.read_bytes()
        reader = SqliteStore(path, writable=False)
        with pytest.raises(StoreUnavailable, match="has format 1; the next start of a collector"):
            reader.stats()
        assert path.read_bytes() == before
        SqliteStore(path).close()
        assert reader.stats().gpus == 2

    def test_a_migration_that_breaks_off_leaves_it_as_it_was(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        steps = (*schema.STEPS[:1], schema.STEPS[1] + "SELECT no_such_function();")
        with monkeypatch.context() as broken:
            broken.setattr(schema, "STEPS", steps)
            with pytest.raises(StoreUnavailable, match="no_such_function"):
                SqliteStore(path)
        db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        assert db.pragma("user_version") == 1
        db.close()
        assert SqliteStore(path).stats().gpus == 2


if __name__ == "__main__":
    make(Path(sys.argv[1]))
