"""Stores to test, each empty and in a place of its own."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from common.storage.base import Store
from common.storage.factory import open_store
from common.storage.kinds import KINDS
from common.storage.options import SERVED, StoreOptions
from tests.support.influx import InfluxServer, influxdb_options, new_bucket
from tests.support.stores import OpenStore
from tests.support.victoria import VictoriaMetrics, new_db, victoria_options

EMBEDDED = ("sqlite", "jsonl", "memory")
"""Stores that count what is new in a write, and whose retention is theirs to apply."""
LASTING = ("sqlite", "jsonl", "influxdb", "victoriametrics")
"""Stores that are there for another process, and after their own."""
WHOLE = ("sqlite", "jsonl")
"""Of these, those whose readers never see a part of a write."""


@pytest.fixture(params=KINDS)
def open_kind(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenStore]:
    """Opens the store under test: by the same name, the same data again."""
    yield from opening(request.param, tmp_path, request)


@pytest.fixture(params=EMBEDDED)
def open_embedded(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenStore]:
    """As `open_kind`, of the stores that are no server's."""
    yield from opening(request.param, tmp_path, request)


@pytest.fixture(params=LASTING)
def open_lasting(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenStore]:
    """As `open_kind`, of the stores that outlast whoever opened them."""
    yield from opening(request.param, tmp_path, request)


@pytest.fixture(params=WHOLE)
def open_whole(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenStore]:
    """As `open_lasting`, of the stores in which a write is one act for their readers."""
    yield from opening(request.param, tmp_path, request)


@pytest.fixture
def store(open_kind: OpenStore) -> Store:
    return open_kind()


def opening(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest | None = None
) -> Iterator[OpenStore]:
    """Opens stores of a kind; one on a server takes the server from the request."""
    opened: list[Store] = []
    in_memory: dict[str, Store] = {}
    with places(kind, tmp_path, request) as place:

        def open_again(name: str = "store", *, writable: bool = True) -> Store:
            options = StoreOptions(store=kind, service_token=SecretStr("s" * 32), **place(name))
            if name not in in_memory:
                opened.append(open_store(options, writable=writable))
            if kind == "memory":
                return in_memory.setdefault(name, opened[-1])
            return opened[-1]

        yield open_again
        for store in opened:
            store.close()


Place = Callable[[str], dict[str, Any]]
"""The options that say where the store of a name is."""


@contextlib.contextmanager
def places(kind: str, tmp_path: Path, request: pytest.FixtureRequest | None) -> Iterator[Place]:
    """Files in the test's folder, or buckets that are dropped at the end."""
    if kind not in SERVED:
        yield lambda name: {"sqlite_path": tmp_path / f"{name}.db", "jsonl_path": tmp_path / name}
        return
    assert request is not None
    if kind == "victoriametrics":
        victoria: VictoriaMetrics = request.getfixturevalue("victoria")
        dbs: dict[str, str] = {}
        yield lambda name: victoria_options(victoria, dbs.setdefault(name, new_db()))
        return
    server: InfluxServer = request.getfixturevalue("influxd")
    buckets: dict[str, str] = {}

    def place(name: str) -> dict[str, Any]:
        return influxdb_options(server, buckets.setdefault(name, new_bucket()))

    yield place
    for bucket in buckets.values():
        server.drop_bucket(bucket)
