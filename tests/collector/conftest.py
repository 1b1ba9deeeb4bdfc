"""A whole collector between a queue and a store that the test leads."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from collector.options import CollectorOptions
from collector.pipeline import Pipeline
from common.lifecycle import Lifecycle
from common.storage.base import Store
from tests.collector.fakes import FakeQueue, HastyClock
from tests.support.client import TOKEN

Start = Callable[..., AbstractAsyncContextManager[Pipeline]]


def collector_options(directory: Path, **given: Any) -> CollectorOptions:
    """Options of a test collector, its directory made; ``given`` by field name."""
    (directory / "collector").mkdir(exist_ok=True)
    quick: dict[str, Any] = {
        "port": 0,
        "flush_seconds": 0.01,
        "sqlite_path": directory / "points.sqlite",
    }
    return CollectorOptions(
        data_dir=directory / "collector", service_token=SecretStr(TOKEN), **(quick | given)
    )


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Start a pipeline on the test's directory; leaving stops it cleanly."""

    @asynccontextmanager
    async def run(queue: FakeQueue, store: Store, **given: Any) -> AsyncIterator[Pipeline]:
        options, lifecycle = collector_options(tmp_path, **given), Lifecycle()
        pipeline = Pipeline(options, HastyClock(), [queue], lambda: store)
        pipeline.spawn(lifecycle)
        try:
            yield pipeline
            assert not lifecycle.problems
        finally:
            await lifecycle.cancel_tasks()
            await pipeline.close()

    return run
