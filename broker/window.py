"""The bounded memory queue in front of a partition's log: its newest records."""

from bisect import bisect_right
from collections import deque
from itertools import islice

from common.journal.frame import Record

SPENT_BEFORE_CUT = 4096


class Window:
    """Keeps the newest records, at most ``max_messages`` and ``max_bytes`` of them.

    What does not fit is spilled: it is on disk anyway, and read back from there. Records come and
    go in order, so they are searched by a list of their offsets whose spent front is cut off now
    and then.
    """

    def __init__(self, max_messages: int, max_bytes: int) -> None:
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._records: deque[Record] = deque()
        self._offsets: list[int] = []
        self._spent = 0
        self.messages = 0
        self.bytes = 0

    def add(self, record: Record) -> None:
        """Keep the newest record, letting the oldest go when there is no room."""
        self._records.append(record)
        self._offsets.append(record.offset)
        self.messages += record.count
        self.bytes += record.size
        while self.messages > self._max_messages or self.bytes > self._max_bytes:
            self._let_go()

    def release(self, below: int) -> None:
        """Let go of records that end at or below an offset: every group is done with them."""
        while self._records and self._records[0].end <= below:
            self._let_go()

    def find(self, offset: int, max_bytes: int) -> list[Record]:
        """Records from the one that holds ``offset`` on, at least one, or none if it is spilled."""
        at = bisect_right(self._offsets, offset, self._spent) - self._spent - 1
        found: list[Record] = []
        if at < 0 or self._records[at].end <= offset:
            return found
        for record in islice(self._records, at, None):
            if max_bytes <= 0 and found:
                break
            found.append(record)
            max_bytes -= record.size
        return found

    @property
    def first_offset(self) -> int | None:
        """The oldest offset in memory."""
        return self._records[0].offset if self._records else None

    def _let_go(self) -> None:
        record = self._records.popleft()
        self.messages -= record.count
        self.bytes -= record.size
        self._spent += 1
        if self._spent == SPENT_BEFORE_CUT:
            del self._offsets[: self._spent]
            self._spent = 0
