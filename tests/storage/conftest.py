"""Stores to test, each empty and in a folder of its own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from common.storage.base import Store
from common.storage.factory import open_store
from common.storage.options import KINDS, StoreOptions

OpenStore = Callable[..., Store]


@pytest.fixture(params=KINDS)
def open_kind(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenStore]:
    """Opens the store under test: by the same name, the same data again."""
    opened: list[Store] = []

    def open_again(name: str = "store", *, writable: bool = True) -> Store:
        options = StoreOptions(
            store=request.param,
            sqlite_path=tmp_path / f"{name}.db",
            service_token=SecretStr("s" * 32),
        )
        opened.append(open_store(options, writable=writable))
        return opened[-1]

    yield open_again
    for store in opened:
        store.close()


@pytest.fixture
def store(open_kind: OpenStore) -> Store:
    return open_kind()
