"""Opening stores for tests."""

from collections.abc import Callable, Iterator
from typing import Any

from pydantic import SecretStr

from common.storage.base import Store
from common.storage.factory import open_store
from common.storage.options import StoreOptions, StorePlace
from tests.support.influx import InfluxServer, influxdb_options
from tests.support.victoria import VictoriaMetrics, victoria_options

OpenStore = Callable[..., Store]
"""Opens a store with the options given: by the same name, the same data again."""


def opening_bucket(server: InfluxServer, bucket: str) -> Iterator[OpenStore]:
    """Opens one bucket with the given options, and closes all at the end."""
    opened: list[Store] = []

    def open_it(*, writable: bool = True, **given: Any) -> Store:
        where = influxdb_options(server, bucket)
        options = StoreOptions(
            store="influxdb", service_token=SecretStr("s" * 32), **{**where, **given}
        )
        opened.append(open_store(options, writable=writable))
        return opened[-1]

    yield open_it
    for store in opened:
        store.close()


def opening_db(server: VictoriaMetrics, db: str) -> Iterator[OpenStore]:
    """As `opening_bucket`, the series of one ``db``."""
    opened: list[Store] = []

    def open_it(*, writable: bool = True, **given: Any) -> Store:
        where = {"store": "victoriametrics", **victoria_options(server, db), **given}
        opened.append(open_store(StorePlace(**where), writable=writable))
        return opened[-1]

    yield open_it
    for store in opened:
        store.close()
