"""The beginning of a file into what it is; one that cannot be read is refused with the reason."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from streamer.sources.base import SourceError
from streamer.sources.cells import is_missing, unit_in
from streamer.sources.columns import (
    GPU_FIELDS,
    LABELS_RAW,
    Columns,
    check_names,
    is_long,
    long_columns,
    long_names,
)
from streamer.sources.content import HEAD_BYTES
from streamer.sources.fields import parse_moment
from streamer.sources.layout import Column, CsvSettings, Layout, Wide
from streamer.sources.rejects import RowError
from streamer.sources.split import check_bytes, split_strictly
from streamer.sources.strangers import refuse_text
from streamer.sources.wide import understand_wide

DELIMITERS = (b",", b";", b"\t", b"|")
DELIMITER_NAMES = {b",": "commas", b";": "semicolons", b"\t": "tabs", b"|": "bars"}
_QUOTED = re.compile(rb'"[^"]*"')
_EXCEL = re.compile(rb"sep=([,;\t|])", re.IGNORECASE)


class Head(NamedTuple):
    """The first lines of a text: ``lines[0]`` is the header or the first row.

    ``offset`` and ``number`` are where it begins, ``after`` is where the next line does.
    """

    lines: list[bytes]
    offset: int
    number: int
    after: int
    line_end: bytes
    delimiter: bytes


def understand(head: bytes, start: int, name: str, settings: CsvSettings) -> Layout:
    """Return the layout of the text that begins with ``head`` at the byte ``start``.

    ``name`` is the host of rows that have no column for it, unless the settings name one. Raises
    SourceError.
    """
    found = take_head(head, start)
    titles = read_titles(found)
    bare = not looks_like_header(titles)  # it begins with a row
    names = list(settings.names)
    if not names:
        if bare:
            refuse_without_header(titles)
        names = titles
    if len(names) != len(titles):
        raise SourceError(f"CSV_COLUMNS names {len(names)} columns; line 1 has {len(titles)}")
    check_names(names)
    rows = sample_rows(found.lines if bare else found.lines[1:], found.delimiter)
    host = settings.hostname or name
    detail: Columns | Wide
    if is_long(names):
        kind, detail, columns = "long CSV", *understand_long(names, found.delimiter)
    else:
        kind, detail, columns = understand_wide(
            names, rows[: settings.rows_looked_at], found.delimiter, settings.zone
        )
    return Layout(
        format=f"{kind}, {DELIMITER_NAMES[found.delimiter]}",
        line_end=found.line_end,
        start=found.offset if bare else found.after,
        line=found.number if bare else found.number + 1,
        header=b"" if bare else found.lines[0],
        hostname=host,
        columns=columns,
        detail=detail,
    )


def take_head(head: bytes, start: int) -> Head:
    """Cut the beginning of a text into lines, without blank ones and a ``sep=`` of Excel before."""
    if not head.strip():
        raise SourceError("the file is empty")
    end = b"\r" if b"\n" not in head and b"\r" in head else b"\n"
    *whole, rest = head.split(end)
    lines = [*whole, rest] if len(head) < HEAD_BYTES else whole
    if not lines:
        commas = max(head.count(delimiter) for delimiter in DELIMITERS)
        raise SourceError(
            f"line 1 is longer than {HEAD_BYTES} bytes, with {commas} delimiters in them"
        )
    refuse_text(lines)
    skipped, delimiter = 0, b""
    while skipped < len(lines) - 1:
        line = lines[skipped].strip()
        excel = _EXCEL.fullmatch(lines[skipped].strip(b'"\r\n '))
        if line and not excel:
            break
        delimiter = excel[1] if excel else delimiter
        skipped += 1
    offset = start + sum(len(line) + len(end) for line in lines[:skipped])
    first = lines[skipped]
    return Head(
        lines=[line.removesuffix(b"\r") for line in lines[skipped:]],
        offset=offset,
        number=skipped + 1,
        after=offset + len(first) + len(end),
        line_end=end,
        delimiter=delimiter or find_delimiter(first),
    )


def find_delimiter(line: bytes) -> bytes:
    """Return what stands most often outside quotes."""
    outside = _QUOTED.sub(b"", line)
    return max(DELIMITERS, key=outside.count)


def read_titles(head: Head) -> list[str]:
    """Return the fields of the first line."""
    try:
        check_bytes(head.lines[0])
        fields = split_strictly(head.lines[0], head.delimiter, spaces=True)
    except RowError as error:
        raise SourceError(
            f"the header, line {head.number}, cannot be read: {error.reason}"
            + "; the file must be UTF-8 or UTF-16" * (error.reason == "bad_encoding")
        ) from None
    if len(fields) == 1 and head.delimiter not in head.lines[0]:
        raise SourceError(
            f"line {head.number} holds no comma, semicolon, tab or bar: not a CSV "
            f"({shown(fields[0])})"
        )
    return [field.decode().strip() for field in fields]


def looks_like_header(titles: Sequence[str]) -> bool:
    """Whether no field is a number, a time or a sign of a missing value."""
    return not any(looks_like_data(title.encode()) for title in titles if title)


def is_another_row(line: bytes, layout: Layout) -> bool:
    """Whether a line is a row as those of ``layout`` and no header."""
    try:
        fields = split_strictly(line.removesuffix(b"\r"), layout.detail.delimiter, spaces=True)
        titles = [field.decode() for field in fields]
    except (RowError, UnicodeDecodeError):
        return False
    return len(titles) == layout.detail.width and not looks_like_header(titles)


def looks_like_data(field: bytes) -> bool:
    """Whether a field is a number, with or without unit, a time, or says that there is none."""
    if is_missing(field) or unit_in(field) is not None:
        return True
    try:
        parse_moment(field)
    except RowError as error:
        return error.reason == "timestamp_out_of_bounds"
    return False


def refuse_without_header(titles: Sequence[str]) -> None:
    """Raise SourceError for a file that begins with data."""
    shown_row = shown(", ".join(titles).encode())
    raise SourceError(
        f"the first line is a row and not a header ({shown_row}): name its {len(titles)} columns "
        "with CSV_COLUMNS, or write the file with a header (nvidia-smi: without noheader)"
    )


def shown(text: bytes) -> str:
    """A piece of the file that fits into a message."""
    return ascii(text[:80].decode(errors="replace"))


def sample_rows(lines: Sequence[bytes], delimiter: bytes) -> list[list[bytes]]:
    """Return the rows that can be split; the others are counted when they are read."""
    rows = []
    for line in lines:
        try:
            if line.strip():
                rows.append(split_strictly(line, delimiter, spaces=True))
        except RowError:
            continue
    return rows


def understand_long(names: Sequence[str], delimiter: bytes) -> tuple[Columns, tuple[Column, ...]]:
    """Return the columns of a long CSV, for the reader and for people."""
    folded = long_names(names)
    columns = tuple(long_column(*pair) for pair in zip(names, folded, strict=True))
    return long_columns(names, delimiter), columns


def long_column(title: str, folded: str) -> Column:
    """What a column of a long CSV becomes."""
    if folded in GPU_FIELDS:
        return Column(title, "identity", GPU_FIELDS[folded])
    if folded == LABELS_RAW:
        return Column(title, "label", "the labels it holds")
    roles = {"timestamp": "time", "metric_name": "metric name", "value": "value", "": "ignored"}
    role = roles.get(folded)
    return Column(title, role) if role else Column(title, "label", title)  # type: ignore[arg-type]
