"""One way through one text: blocks in, samples out, with its place."""

from typing import NamedTuple, Protocol

import xxhash

from common.models import Sample
from streamer.assemble import Assembler, Place
from streamer.sources.arrival import Untimed
from streamer.sources.base import Mark, Progress, SourceError
from streamer.sources.columns import Columns
from streamer.sources.content import Content, Text
from streamer.sources.layout import CsvSettings, Layout
from streamer.sources.lines import LineBlock, LineReader
from streamer.sources.rows import RowReader
from streamer.sources.wide_rows import WideReader

MARK_HEAD_BYTES = 4096
ANOTHER = "holds something else than when the mark was made"


class Rows(Protocol):
    """Reads the rows of one format."""

    def read(self, block: LineBlock) -> None:
        """Read the rows of a block."""


class Way(NamedTuple):
    """What a reading needs beside the text: how it is laid out and how to fill what is open."""

    layout: Layout
    settings: CsvSettings
    untimed: Untimed


def make_rows(way: Way, assembler: Assembler, progress: Progress) -> Rows:
    """Return the reader of a layout."""
    detail = way.layout.detail
    if isinstance(detail, Columns):
        return RowReader(way.layout, detail, way.settings, assembler, progress)
    return WideReader(way.layout, detail, way.settings, assembler, progress, way.untimed)


class Reading:
    """Reads a text from the first line behind its header, or from ``place``.

    ``head`` is the beginning of the text, by which it is known again.
    """

    def __init__(
        self, text: Text, way: Way, head: bytes, progress: Progress, place: Place | None = None
    ) -> None:
        begin = place or Place(way.layout.start, way.layout.line)
        text.seek(begin.offset)
        self.lines = LineReader(text, way.layout.line_end, begin.offset, begin.line)
        self.way = way
        self._head = head
        self.progress = progress
        self._assembler = Assembler()
        self._rows = make_rows(way, self._assembler, progress)

    def next_chunk(self, until: int | None = None) -> list[Sample] | None:
        """Return the samples that the next lines close, None when there are no more lines now.

        No line that begins at ``until`` or behind it is read.
        """
        self._assembler.place = Place(self.lines.offset, self.lines.number)
        block = self.lines.read(until)
        return None if block is None else self._take(block)

    def last_chunk(self) -> list[Sample]:
        """Return what is left at the end: the samples of a line without end, and the open ones."""
        self._assembler.place = Place(self.lines.offset, self.lines.number)
        block = self.lines.rest()
        samples = [] if block is None else self._take(block)
        return samples + self.close_open()

    def close_open(self) -> list[Sample]:
        """Return the open samples as they are."""
        self._assembler.close_all()
        return self._assembler.take()

    def mark(self) -> Mark:
        """Where the reading is, and by what the text is known again."""
        lines = self.lines
        oldest = self._assembler.oldest() or Place(lines.offset, lines.number)
        known = min(len(self._head), MARK_HEAD_BYTES)
        return {
            "offset": lines.offset,
            "line": lines.number,
            "open_offset": oldest.offset,
            "open_line": oldest.line,
            "head_bytes": known,
            "head": xxhash.xxh3_64_hexdigest(self._head[:known]),
            "tail": lines.tail.hex(),
        }

    def catch_up(self, mark: Mark) -> None:
        """Read again what was open at ``mark``, and forget what was closed then.

        The reading began at the mark's open place. What was added since is not touched: it was
        not closed then. Raises SourceError for another content.
        """
        lines, end = self.lines, mark["offset"]
        while lines.offset < end and self.next_chunk(end) is not None:
            pass
        if lines.offset < mark["offset"] == lines.position:  # behind a last line without end
            self.last_chunk()
        if (lines.offset, lines.number) != (mark["offset"], mark["line"]):
            raise SourceError(ANOTHER)

    def _take(self, block: LineBlock) -> list[Sample]:
        assembler = self._assembler
        before = assembler.duplicates
        self._rows.read(block)
        self.progress.duplicates += assembler.duplicates - before
        assembler.close_old(self.lines.offset)
        return assembler.take()


def open_place(mark: Mark) -> Place:
    """Where a reading begins that is to catch up with ``mark``."""
    return Place(mark["open_offset"], mark["open_line"])


def resume_reading(reading: Reading, content: Content, mark: Mark) -> None:
    """Bring a reading that began at the mark's open place to the mark.

    Raises SourceError when the content is another one.
    """
    tail = bytes.fromhex(mark["tail"])
    content.text.seek(mark["offset"] - len(tail))
    if not is_same(content.head, content.text.read(len(tail)), mark):
        raise SourceError(ANOTHER)
    content.text.seek(reading.lines.offset)
    reading.catch_up(mark)


def is_same(head: bytes, tail: bytes, mark: Mark) -> bool:
    """Whether these are the bytes at the beginning and before the mark's place."""
    known = mark["head_bytes"]
    same = len(head) >= known and xxhash.xxh3_64_hexdigest(head[:known]) == mark["head"]
    return bool(same and tail.hex() == mark["tail"])
