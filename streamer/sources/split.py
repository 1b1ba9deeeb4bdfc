"""One physical line into its fields, as bytes."""

import csv

from streamer.sources.lines import MAX_LINE_BYTES
from streamer.sources.rejects import RowError

QUOTE = b'"'
DOUBLED = b'""'
COMMA = b","


class RowSplitter:
    """Splits rows of ``width`` fields.

    Three shapes that are nearly all files are split without a CSV parser, and only when that
    gives what the parser would: every field quoted, none quoted, and only the last one quoted. In
    the first and the last of these the last field may hold doubled quotes, which are left doubled
    with ``raw_last``. Anything else goes through ``csv``, strictly.
    """

    def __init__(self, width: int, raw_last: bool = False, delimiter: bytes = COMMA) -> None:
        self._width = width
        self._commas = width - 1
        self._raw_last = raw_last
        self._delimiter = delimiter
        self._joint = QUOTE + delimiter + QUOTE
        csv.field_size_limit(MAX_LINE_BYTES)

    def split(self, line: bytes) -> list[bytes]:
        """Return the fields of one row; raises RowError."""
        fields = self._split_quoted(line) if line[:1] == QUOTE else self._split_plain(line)
        return self._split_any(line) if fields is None else fields

    def _split_quoted(self, line: bytes) -> list[bytes] | None:
        fields = line[1:-1].split(self._joint, self._commas)
        pairs = fields[-1].count(DOUBLED)
        if line.count(QUOTE) != 2 * (self._width + pairs) or line[-1:] != QUOTE:
            return None
        if len(fields) != self._width:
            return None
        if pairs and not self._raw_last:
            fields[-1] = fields[-1].replace(DOUBLED, QUOTE)
        return fields

    def _split_plain(self, line: bytes) -> list[bytes] | None:
        fields = line.split(self._delimiter, self._commas)
        if len(fields) != self._width:
            return None
        last = fields[-1]
        if QUOTE not in line:
            return None if self._delimiter in last else fields
        inner = last[1:-1]
        pairs = inner.count(DOUBLED)
        quoted = len(last) > 1 and last[:1] == last[-1:] == QUOTE
        if not quoted or line.count(QUOTE) != 2 * (1 + pairs):
            return None
        fields[-1] = inner if self._raw_last else inner.replace(DOUBLED, QUOTE)
        return fields

    def _split_any(self, line: bytes) -> list[bytes]:
        return check_width(split_strictly(line, self._delimiter), self._width)


def check_width(fields: list[bytes], width: int) -> list[bytes]:
    """Return the fields; raises RowError when there are too few or too many."""
    if len(fields) < width:
        raise RowError("short_row")
    if len(fields) > width:
        raise RowError("long_row")
    return fields


def split_strictly(line: bytes, delimiter: bytes = COMMA, spaces: bool = False) -> list[bytes]:
    """Split one line by RFC 4180; a quote that is not closed on it costs this line only.

    With ``spaces``, those behind a delimiter are no part of the field.
    """
    if line.count(QUOTE) % 2:
        raise RowError("unbalanced_quotes")
    try:
        reader = csv.reader(
            [line.decode()], delimiter=delimiter.decode(), skipinitialspace=spaces, strict=True
        )
        return [text.encode() for text in next(reader)]
    except UnicodeDecodeError:
        raise RowError("bad_encoding") from None
    except csv.Error:
        raise RowError("unbalanced_quotes") from None


def check_bytes(line: bytes) -> None:
    """Raise RowError for a line that is too long, holds a NUL or is not UTF-8."""
    if len(line) > MAX_LINE_BYTES:
        raise RowError("line_too_long")
    if b"\0" in line:
        raise RowError("nul_byte")
    try:
        line.decode()
    except UnicodeDecodeError:
        raise RowError("bad_encoding") from None
