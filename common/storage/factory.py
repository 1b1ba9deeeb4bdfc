"""How a store is opened."""

from common.storage.base import Store
from common.storage.options import StoreOptions
from common.storage.sqlite import SqliteStore


def open_store(options: StoreOptions, *, writable: bool) -> Store:
    """Open the store that the options name.

    Raises StoreRefused for data that this release must not touch, StoreUnavailable when a
    writable store cannot be opened. A store for reading is opened by its first question.
    """
    if options.store == "sqlite":
        return SqliteStore(options.sqlite_path, writable=writable)
    raise ValueError(f"unknown kind of store: {options.store}")
