"""The bounded memory queue in front of a partition's log: its newest records."""

from sortedcontainers import SortedDict

from common.journal.frame import Record


class Window:
    """Keeps the newest records, at most ``max_messages`` and ``max_bytes`` of them.

    What does not fit is spilled: it is on disk anyway, and read back from there.
    """

    def __init__(self, max_messages: int, max_bytes: int) -> None:
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._records: SortedDict[int, Record] = SortedDict()
        self.messages = 0
        self.bytes = 0

    def add(self, record: Record) -> None:
        """Keep the newest record, letting the oldest go when there is no room."""
        self._records[record.offset] = record
        self.messages += record.count
        self.bytes += record.size
        while self.messages > self._max_messages or self.bytes > self._max_bytes:
            self._let_go()

    def release(self, below: int) -> None:
        """Let go of records that end at or below an offset: every group is done with them."""
        while self._records and self._records.peekitem(0)[1].end <= below:
            self._let_go()

    def find(self, offset: int, max_bytes: int) -> list[Record]:
        """Records from the one that holds ``offset`` on, at least one, or none if it is spilled."""
        at = self._records.bisect_right(offset) - 1
        found: list[Record] = []
        left = max_bytes
        while 0 <= at < len(self._records) and (left > 0 or not found):
            record = self._records.peekitem(at)[1]
            if not found and record.end <= offset:
                break
            found.append(record)
            left -= record.size
            at += 1
        return found

    @property
    def first_offset(self) -> int | None:
        """The oldest offset in memory."""
        return self._records.peekitem(0)[0] if self._records else None

    def _let_go(self) -> None:
        _, record = self._records.popitem(0)
        self.messages -= record.count
        self.bytes -= record.size
