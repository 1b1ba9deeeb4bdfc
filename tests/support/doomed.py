"""``python -m tests.support.doomed POINT PASS``: a collector that is killed at a place in its code.

Not a mock: the real collector runs, and takes its own life, as kill -9 would, right before or after
one of its real calls, the ``PASS``th time it comes by.
"""

import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from collector import intake
from collector.app import create_app
from collector.options import CollectorOptions
from collector.spool import Spool
from common.http.server import serve
from common.journal import position
from common.journal.files import DiskAppendFile
from common.journal.journal import Journal
from common.queue.http import HttpConsumer
from common.storage.sqlite.store import SqliteStore
from common.storage.sqlite.write import Writer

BEFORE, HALFWAY, AFTER = "before", "halfway", "after"


class Place(NamedTuple):
    """Where: before or after a call of ``owner.name``, or when half of a write is done."""

    when: str
    owner: Any
    name: str


PLACES = {
    "received": Place(AFTER, intake, "examine_delivery"),
    "letters written": Place(AFTER, HttpConsumer, "bury"),
    "half spooled": Place(HALFWAY, DiskAppendFile, "_write_some"),
    "not yet synced": Place(BEFORE, DiskAppendFile, "sync"),
    "spooled": Place(AFTER, Spool, "append"),
    "rejected": Place(AFTER, HttpConsumer, "reject"),
    "acked": Place(AFTER, HttpConsumer, "ack"),
    "half written": Place(AFTER, Writer, "_store"),
    "written": Place(AFTER, SqliteStore, "write"),
    "spool trimmed": Place(AFTER, Journal, "trim"),
    "place saved": Place(AFTER, position, "save"),
}


class Doom:
    """Counts passes."""

    def __init__(self, passes: int) -> None:
        self.left = passes

    def come_by(self) -> None:
        """Die the last time."""
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def lay(self, place: Place) -> None:
        """Have a call come by here."""
        call = getattr(place.owner, place.name)
        is_async = place.owner is HttpConsumer
        setattr(place.owner, place.name, (self._later if is_async else self._now)(place, call))

    def _now(self, place: Place, call: Callable[..., Any]) -> Callable[..., Any]:
        def around(*given: Any, **named: Any) -> Any:
            if place.when == HALFWAY and self.left == 1:
                file, buffers = given
                call(file, [b"".join(buffers)[: sum(map(len, buffers)) // 2]])
            if place.when != AFTER:
                self.come_by()
            result = call(*given, **named)
            if place.when == AFTER:
                self.come_by()
            return result

        return around

    def _later(
        self, place: Place, call: Callable[..., Awaitable[Any]]
    ) -> Callable[..., Awaitable[Any]]:
        async def around(*given: Any, **named: Any) -> Any:
            result = await call(*given, **named)
            self.come_by()
            return result

        return around


def main() -> None:
    """Run until the place is met."""
    point, passes = sys.argv[1], int(sys.argv[2])
    del sys.argv[1:]
    Doom(passes).lay(PLACES[point])
    serve(CollectorOptions.load({}), create_app)


if __name__ == "__main__":
    main()
