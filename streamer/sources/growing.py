"""A file that another program writes to while it is read."""

import os
from pathlib import Path

from streamer.sources.base import Mark, SourceError
from streamer.sources.content import UTF8_MARK, encoding_of
from streamer.sources.strangers import refuse_binary

MAGIC_BYTES = 8
GZIP = b"\x1f\x8b"


class Growing:
    """An open file, known by its inode; reads see what was added meanwhile."""

    def __init__(self, path: Path) -> None:
        """Open it; raises OSError."""
        self._file = path.open("rb", buffering=0)
        status = os.fstat(self._file.fileno())
        self.inode = status.st_ino
        self._device = status.st_dev

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes, none when there are no more now."""
        return self._file.read(size) or b""

    def seek(self, offset: int, /) -> object:
        """Go to a byte."""
        return self._file.seek(offset)

    def head(self, size: int) -> bytes:
        """Return the beginning without moving; raises SourceError for what is no text."""
        head = os.pread(self._file.fileno(), size, 0)
        magic = head[:MAGIC_BYTES]
        refuse_binary(magic)
        if encoding_of(magic) or magic.startswith(GZIP):
            raise SourceError("only plain text in UTF-8 can be followed")
        return head

    def before(self, mark: Mark) -> bytes:
        """Return the bytes before a mark's place, as many as it remembers."""
        count = len(mark["tail"]) // 2
        return os.pread(self._file.fileno(), count, max(0, mark["offset"] - count))

    def was_cut(self, position: int, offset: int, tail: bytes) -> bool:
        """Whether it is shorter than ``position``, or holds no ``tail`` before ``offset`` now."""
        descriptor = self._file.fileno()
        if os.fstat(descriptor).st_size < position:
            return True
        return bool(tail) and os.pread(descriptor, len(tail), offset - len(tail)) != tail

    def was_replaced(self, path: Path) -> bool:
        """Whether another file lies at ``path`` now."""
        try:
            status = path.stat()
        except FileNotFoundError:
            return False
        return (status.st_ino, status.st_dev) != (self.inode, self._device)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def start_of(head: bytes) -> int:
    """Where the text begins, behind a byte order mark."""
    return len(UTF8_MARK) if head.startswith(UTF8_MARK) else 0
