"""How a store is opened."""

from common.storage.base import Store, StoreRefused
from common.storage.jsonl import JsonlLimits, JsonlStore
from common.storage.memory import MemoryStore
from common.storage.options import StoreOptions
from common.storage.sqlite import SqliteStore


def open_store(options: StoreOptions, *, writable: bool) -> Store:
    """Open the store that the options name.

    Raises StoreRefused for data that this release must not touch, StoreUnavailable when a
    writable store cannot be opened. A store for reading is opened by its first question.
    """
    if options.store == "sqlite":
        return SqliteStore(options.sqlite_path, writable=writable)
    if options.store == "jsonl":
        return open_jsonl(options, writable=writable)
    if options.store == "memory":
        return open_memory(writable=writable)
    raise ValueError(f"unknown kind of store: {options.store}")


def open_jsonl(options: StoreOptions, *, writable: bool) -> Store:
    """Open the store in a directory of plain files."""
    limits = JsonlLimits(
        file_bytes=options.jsonl_file_bytes,
        files=options.jsonl_files,
        entries=options.jsonl_entries,
        gpus=options.jsonl_gpus,
    )
    return JsonlStore(options.jsonl_path, limits, writable=writable)


def open_memory(*, writable: bool) -> Store:
    """Open the store in memory; who only reads would never find anything in it."""
    if not writable:
        raise StoreRefused(
            "the store `memory` lives in the process that writes it, and nowhere else"
        )
    return MemoryStore()
