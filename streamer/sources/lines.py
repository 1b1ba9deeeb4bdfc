"""Physical lines out of a file, in bounded memory."""

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

BLOCK_BYTES = 1 << 19
MAX_LINE_BYTES = 1 << 20
BOM = b"\xef\xbb\xbf"


class LineBlock(NamedTuple):
    """Lines that follow each other, without their ends; ``first`` is the number of the first.

    ``clean`` says that all are ASCII, hold no NUL and are within ``MAX_LINE_BYTES``. A line over
    that is given as its beginning, one byte longer than allowed.
    """

    first: int
    lines: list[bytes]
    clean: bool
    bytes_read: int


def read_blocks(file: BinaryIO, block_bytes: int = BLOCK_BYTES) -> Iterator[LineBlock]:
    """Split ``file`` at LF, dropping a CR before it and a BOM at the start.

    Holds a block and one line of at most ``MAX_LINE_BYTES``, however long the lines are;
    ``block_bytes`` is at most that, so only the first line of a block can be over the limit.
    """
    number, held, bytes_read = 1, b"", 0
    while data := file.read(block_bytes):
        text = held + (data if bytes_read else data.removeprefix(BOM))
        bytes_read += len(data)
        lines = text.split(b"\n")
        held = lines.pop()[: MAX_LINE_BYTES + 1]
        if lines:
            yield make_block(number, lines, text, bytes_read)
            number += len(lines)
    if held:
        yield make_block(number, [held], held, bytes_read)


def make_block(first: int, lines: list[bytes], text: bytes, bytes_read: int) -> LineBlock:
    """Look ``text``, which ``lines`` were cut from, over once, so that not every line has to be."""
    if b"\r" in text:
        lines = [line.removesuffix(b"\r") for line in lines]
    fits = len(lines[0]) <= MAX_LINE_BYTES
    if not fits:
        lines[0] = lines[0][: MAX_LINE_BYTES + 1]
    return LineBlock(first, lines, fits and text.isascii() and b"\0" not in text, bytes_read)
