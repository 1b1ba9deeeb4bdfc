"""Which kinds of store there are, and how one is opened."""

from pathlib import Path

from common.storage.base import Store
from common.storage.sqlite import SqliteStore

KINDS = ("sqlite",)
KIND_PATTERN = "^(" + "|".join(KINDS) + ")$"


def open_store(kind: str, *, sqlite_path: Path, writable: bool) -> Store:
    """Open a store of one of KINDS.

    Raises StoreRefused for data that this release must not touch, StoreUnavailable when a
    writable store cannot be opened. A store for reading is opened by its first question.
    """
    if kind == "sqlite":
        return SqliteStore(sqlite_path, writable=writable)
    raise ValueError(f"unknown kind of store: {kind}")
