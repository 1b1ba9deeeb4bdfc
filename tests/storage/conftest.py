"""Stores to test, each empty and in a place of its own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from common.storage.base import Store
from common.storage.factory import open_store
from common.storage.options import StoreOptions

OpenStore = Callable[..., Store]

LASTING = ("sqlite", "jsonl")
"""Stores that are there for another process, and after their own."""
EMBEDDED = (*LASTING, "memory")


@pytest.fixture(params=EMBEDDED)
def open_kind(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenStore]:
    """Opens the store under test: by the same name, the same data again."""
    yield from opening(request.param, tmp_path)


@pytest.fixture(params=LASTING)
def open_lasting(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenStore]:
    """As `open_kind`, of the stores that outlast whoever opened them."""
    yield from opening(request.param, tmp_path)


@pytest.fixture
def store(open_kind: OpenStore) -> Store:
    return open_kind()


def opening(kind: str, tmp_path: Path) -> Iterator[OpenStore]:
    opened: list[Store] = []
    in_memory: dict[str, Store] = {}

    def open_again(name: str = "store", *, writable: bool = True) -> Store:
        options = StoreOptions(
            store=kind,
            sqlite_path=tmp_path / f"{name}.db",
            jsonl_path=tmp_path / name,
            service_token=SecretStr("s" * 32),
        )
        if name not in in_memory:
            opened.append(open_store(options, writable=writable))
        if kind == "memory":
            return in_memory.setdefault(name, opened[-1])
        return opened[-1]

    yield open_again
    for store in opened:
        store.close()
