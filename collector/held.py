"""The spool of a collector without a disk: memory, whose messages stay the queue's until stored."""

from collections import deque
from collections.abc import Sequence

from collector.spool import Entry, Spooled, as_spooled


class Held:
    """A `Spool` that keeps nothing over a restart; what it holds must not be acked before."""

    durable = False
    corrupt_frames = 0

    def __init__(self) -> None:
        self.end = 0
        self.read_offset = 0
        self.written_offset = 0
        self._next_offset = 0
        self._bytes = 0
        self._memory: deque[Spooled] = deque()
        self._sizes: deque[tuple[int, int]] = deque()

    @property
    def pending(self) -> int:
        """Messages that are not known to be in the store."""
        return self.end - self.written_offset

    @property
    def bytes_on_disk(self) -> int:
        """Bytes of the messages that are not known to be in the store."""
        return self._bytes

    def append(self, entries: Sequence[Entry], now_ms: int) -> list[Spooled]:
        """Give entries their places."""
        del now_ms
        spooled = []
        for entry in entries:
            item = as_spooled(entry, self._next_offset)
            self._next_offset = item.end
            size = sum(map(len, entry.payloads))
            self._sizes.append((item.end, size))
            self._bytes += size
            spooled.append(item)
        return spooled

    def keep(self, spooled: Sequence[Spooled]) -> None:
        """Let the writer see what was appended."""
        self._memory += spooled
        self.end = spooled[-1].end

    def next_in_memory(self) -> Spooled | None:
        """Take what the writer needs next."""
        if not self._memory:
            return None
        item = self._memory.popleft()
        self.read_offset = item.end
        return item

    def has_more_on_disk(self) -> bool:
        """There is no disk."""
        return False

    def read_from_disk(self) -> list[Spooled]:
        """There is no disk."""
        return []

    def took(self, items: Sequence[Spooled]) -> None:
        """There is no disk to take from."""

    def written(self, end: int) -> None:
        """Everything below ``end`` is in the store."""
        self.written_offset = end
        while self._sizes and self._sizes[0][0] <= end:
            self._bytes -= self._sizes.popleft()[1]

    def close(self) -> None:
        """Nothing to let go of."""
