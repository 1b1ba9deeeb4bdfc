"""A broker on a fresh directory."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.broker import RunningBroker, running_broker
from tests.support.client import BrokerClient

IN_MEMORY = Path("/dev/shm")


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A directory in memory where there is one: these tests ask when fsync is called, not it."""
    where = IN_MEMORY if IN_MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(dir=where) as path:
        yield Path(path)


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[RunningBroker]:
    """A broker of the defaults, in this event loop."""
    async with running_broker(tmp_path / "data") as found:
        yield found


@pytest.fixture
def client(running: RunningBroker) -> BrokerClient:
    """A client of ``running`` that shows the token."""
    return running.client
