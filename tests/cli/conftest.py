"""Files that the command is tried on."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from streamer.sources.generator import write_csv

START = datetime(2025, 7, 18, 20, 42, 34, tzinfo=UTC)


def make_fleet(path: Path, gpus: int, seconds: int) -> Path:
    with path.open("wb") as file:
        write_csv(file, gpus, seconds, START, seed=7)
    return path


@pytest.fixture(scope="session")
def small_fleet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 GPUs on 3 hosts, 5 seconds: 1,200 points."""
    return make_fleet(tmp_path_factory.mktemp("fleet") / "small.csv", 24, 5)


@pytest.fixture(scope="session")
def large_fleet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """400 GPUs, 100 seconds: 400,000 points, long enough to be interrupted."""
    return make_fleet(tmp_path_factory.mktemp("fleet") / "large.csv", 400, 100)
