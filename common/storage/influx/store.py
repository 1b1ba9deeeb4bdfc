"""The store in a bucket of an InfluxDB 2 server."""

from common.storage.influx.answers import tables
from common.storage.influx.link import Link
from common.storage.influx.read import Reader
from common.storage.influx.write import Writer
from common.storage.served import ServedStore


class InfluxStore(ServedStore):
    """A `Store` in a bucket.

    A store for writing makes the bucket when it is not there, and its retention what is wanted,
    once. A bucket that is deleted later is not made again: whoever deleted it may decide.
    """

    def __init__(self, link: Link, *, writable: bool = True, retention_seconds: int = 0) -> None:
        reader = Reader(link)
        super().__init__(
            link,
            reader,
            Writer(link, reader),
            lambda: link.prepare(retention_seconds),
            tables,
            writable=writable,
        )
