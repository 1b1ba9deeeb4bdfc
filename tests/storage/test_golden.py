"""A file of format 1, kept as it was written: it must open, be brought to the format of today, and
hold what it held.

``make`` wrote it: ``python -m tests.storage.test_golden FILE`` makes one of today's format, for
when that changes and the old one must go on opening.
"""

import shutil
from pathlib import Path

import pytest

from common.models import Gpu, Sample
from common.storage.sqlite import SqliteStore

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
