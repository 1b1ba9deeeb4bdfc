"""Physical lines out of a file, in bounded memory."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

BLOCK_BYTES = 1 << 19
MAX_LINE_BYTES = 1 << 20
TAIL_BYTES = 64


class Readable(Protocol):
    """What lines are read from."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes, none at the end."""


class LineBlock(NamedTuple):
    """Lines that follow each other, without their ends; ``first`` is the number of the first.

    ``clean`` says that all are ASCII, hold no NUL and are within ``MAX_LINE_BYTES``. A line over
    that is given as its beginning, one byte longer than allowed.
    """

    first: int
    lines: list[bytes]
    clean: bool


class LineReader:
    """Splits what it reads at ``end`` (LF, then a CR before it is dropped too, or CR).

    ``offset`` is where the next line begins and ``number`` is its number; ``tail`` are the last
    bytes before it. Blocks are cut at multiples of ``block_bytes``, so that a reader that began
    elsewhere in the same file cuts the same blocks. Holds a block and one line of at most
    ``MAX_LINE_BYTES``, however long the lines are; ``block_bytes`` is at most that, so only the
    first line of a block can be over the limit.
    """

    def __init__(
        self,
        file: Readable,
        end: bytes = b"\n",
        offset: int = 0,
        number: int = 1,
        block_bytes: int = BLOCK_BYTES,
    ) -> None:
        self.offset = offset
        self.number = number
        self.tail = b""
        self._file = file
        self._end = end
        self._block_bytes = block_bytes
        self._held = b""
        self._held_bytes = 0

    @property
    def position(self) -> int:
        """How many bytes have been read, with a line that is not complete."""
        return self.offset + self._held_bytes

    def read(self, until: int | None = None) -> LineBlock | None:
        """Return the next complete lines; None when there is nothing more to read now.

        Nothing is read from ``until`` on, which is where a line begins.
        """
        lines: list[bytes] = []
        while not lines:
            at = self.position
            size = self._block_bytes - at % self._block_bytes
            data = self._file.read(size if until is None else min(size, until - at))
            if not data:
                return None
            before = self._held
            lines = data.split(self._end)
            lines[0] = before + lines[0]  # joining whole blocks would copy every byte once more
            rest = lines.pop()
            self._held = rest[: MAX_LINE_BYTES + 1]
            self._held_bytes = len(rest) if lines else self._held_bytes + len(data)
        taken = len(data) - self._held_bytes
        self.tail = data[max(0, taken - TAIL_BYTES) : taken]
        if taken < TAIL_BYTES:
            self.tail = (before + self.tail)[-TAIL_BYTES:]
        return self._pass(lines, (before, data), at + taken)

    def rest(self) -> LineBlock | None:
        """Return the last line, which has no end, if there is one."""
        if not self._held:
            return None
        held, end = self._held, self.position
        whole = len(held) == self._held_bytes
        self._held, self._held_bytes = b"", 0
        self.tail = held[-TAIL_BYTES:] if whole else b""
        return self._pass([held], (held,), end)

    def _pass(self, lines: list[bytes], parts: Sequence[bytes], offset: int) -> LineBlock:
        first, self.number = self.number, self.number + len(lines)
        self.offset = offset
        return make_block(first, lines, parts)


def make_block(first: int, lines: list[bytes], parts: Sequence[bytes]) -> LineBlock:
    """Look the text in ``parts`` that ``lines`` were cut from over once, instead of every line."""
    if any(b"\r" in part for part in parts):
        lines = [line.removesuffix(b"\r") for line in lines]
    fits = len(lines[0]) <= MAX_LINE_BYTES
    if not fits:
        lines[0] = lines[0][: MAX_LINE_BYTES + 1]
    clean = fits and all(part.isascii() and b"\0" not in part for part in parts)
    return LineBlock(first, lines, clean)
