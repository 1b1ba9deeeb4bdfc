"""One stack for everything that looks at a running one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.observed.stack import LiveStack, live_stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    """A stack under load; tests only look at it, and ask it things."""
    directory: Path = tmp_path_factory.mktemp("stack")
    with live_stack(directory) as live:
        yield live
