"""``python -m tests.chaos.broken HOW DIRECTORY SERVICE``: a service of chaos with one thing broken.

The service is the real one; what it was made to do wrong is one of ``WAYS``.
"""

import sys
from collections.abc import Callable, Sequence

from broker.lease import LeaseBook
from cli.chaos.child import main
from collector.spool import Spool, Spooled
from common.journal.frame import Record
from common.journal.journal import Journal


def ack_before_the_fsync() -> None:
    """A produce is answered once the log was written to, whatever it asked for."""
    append = Journal.append

    def hasty(self: Journal, records: Sequence[Record], sync: bool) -> None:
        append(self, records, sync=False)

    Journal.append = hasty  # type: ignore[method-assign]


def never_expire_a_lease() -> None:
    """What a consumer keeps stays with it for ever."""
    LeaseBook.due = lambda self, now: iter(())  # type: ignore[method-assign]


def trim_the_spool_early() -> None:
    """What was spooled counts as stored at once."""
    keep = Spool.keep

    def careless(self: Spool, spooled: Sequence[Spooled]) -> None:
        keep(self, spooled)
        self.written(self.end)

    Spool.keep = careless  # type: ignore[method-assign]


WAYS: dict[str, Callable[[], None]] = {
    "acks-before-the-fsync": ack_before_the_fsync,
    "lease-that-never-expires": never_expire_a_lease,
    "spool-trimmed-early": trim_the_spool_early,
}

if __name__ == "__main__":
    WAYS[sys.argv.pop(1)]()
    main()
