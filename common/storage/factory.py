"""How a store is opened."""

import math

from common.storage.base import Store, StoreRefused
from common.storage.jsonl.store import JsonlLimits, JsonlStore
from common.storage.memory import MemoryStore
from common.storage.options import StorePlace
from common.storage.served import ServedStore
from common.storage.sqlite.store import SqliteStore


def open_store(options: StorePlace, *, writable: bool) -> Store:
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
    if options.store == "influxdb":
        return open_influx(options, writable=writable)
    if options.store == "victoriametrics":
        return open_victoria(options, writable=writable)
    raise ValueError(f"unknown kind of store: {options.store}")


def open_jsonl(options: StorePlace, *, writable: bool) -> Store:
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


def open_influx(options: StorePlace, *, writable: bool) -> Store:
    """Open the store in an InfluxDB bucket; its client is loaded for those who use it only."""
    from common.storage.influx.link import Link
    from common.storage.influx.store import InfluxStore

    link = Link(
        options.influxdb_url,
        options.influxdb_token.get_secret_value(),
        options.influxdb_org,
        options.influxdb_bucket,
        options.influxdb_timeout_seconds,
        options.influxdb_ca_file,
    )
    retention_seconds = math.ceil(options.retention_seconds)
    store = InfluxStore(link, writable=writable, retention_seconds=retention_seconds)
    return prepared(store)


def open_victoria(options: StorePlace, *, writable: bool) -> Store:
    """Open the store in a VictoriaMetrics server; its client is loaded for those who use it."""
    from common.storage.victoria.link import Link, Places, credentials
    from common.storage.victoria.store import VictoriaStore

    places = Places.single(options.victoriametrics_url)
    if not options.victoriametrics_url:
        places = Places.cluster(
            options.victoriametrics_insert_url, options.victoriametrics_select_url
        )
    link = Link(
        places,
        credentials(
            options.victoriametrics_token.get_secret_value(),
            options.victoriametrics_username,
            options.victoriametrics_password.get_secret_value(),
        ),
        options.victoriametrics_timeout_seconds,
        options.victoriametrics_ca_file,
    )
    store = VictoriaStore(
        link,
        options.victoriametrics_db,
        writable=writable,
        durable=options.victoriametrics_durability == "disk",
        retention_seconds=options.retention_seconds,
    )
    return prepared(store)


def prepared(store: ServedStore) -> Store:
    """See to a store's server; the store is closed when that fails."""
    try:
        store.prepare()
    except BaseException:
        store.close()
        raise
    return store
