"""What a file was understood to be: its format, and what each column becomes."""

from datetime import UTC, tzinfo
from typing import Literal, NamedTuple

from streamer.sources.cells import Cell
from streamer.sources.columns import Columns

Role = Literal["time", "identity", "metric name", "value", "metric", "label", "ignored"]


class CsvSettings(NamedTuple):
    """What a file may leave open: the columns' names, the host, the time zone (None: of here).

    ``rows_looked_at`` says how many rows the types are told from.
    """

    names: tuple[str, ...] = ()
    hostname: str = ""
    zone: tzinfo | None = UTC
    rows_looked_at: int = 500


class Column(NamedTuple):
    """One column: its title, what it is, what it becomes, and in which unit."""

    title: str
    role: Role
    becomes: str = ""
    unit: str = ""


class Wide(NamedTuple):
    """Where each thing stands in a row that holds many metrics; see ``Columns``."""

    width: int
    delimiter: bytes
    timestamp: int | None
    identity: tuple[tuple[int, str], ...]
    labels: tuple[tuple[int, str], ...]
    cells: tuple[Cell, ...]


class Layout(NamedTuple):
    """A file's format. Lines begin at the byte ``start`` of the text, with number ``line``.

    ``hostname`` is that of rows in a file that has no column for it, and ``header`` is its line.
    """

    format: str
    line_end: bytes
    start: int
    line: int
    header: bytes
    hostname: str
    columns: tuple[Column, ...]
    detail: Columns | Wide
