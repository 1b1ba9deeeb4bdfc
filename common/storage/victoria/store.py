"""The store in a VictoriaMetrics server or cluster."""

from common.storage.served import ServedStore
from common.storage.victoria.answers import understood
from common.storage.victoria.link import Link
from common.storage.victoria.read import Reader
from common.storage.victoria.write import Writer


class VictoriaStore(ServedStore):
    """A `Store` in the series of one ``db``; nothing has to be made there before."""

    def __init__(
        self,
        link: Link,
        db: str,
        *,
        writable: bool = True,
        durable: bool = True,
        retention_seconds: float = 0.0,
    ) -> None:
        reader = Reader(link, db)
        writer = Writer(link, reader, db, durable=durable, retention_seconds=retention_seconds)
        super().__init__(link, reader, writer, writer.prepare, understood, writable=writable)
