"""A cluster for tests that need nothing special."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.proxy import Cluster, cluster


@pytest.fixture
async def trio(tmp_path: Path) -> AsyncIterator[Cluster]:
    """Three brokers, each behind a gate, and a proxy that knows the topic ``t``."""
    async with cluster(tmp_path) as running:
        yield running
