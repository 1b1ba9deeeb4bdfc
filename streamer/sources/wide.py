"""A wide CSV, one column a metric: what each column is, told by its name and then by its values."""

import math
import re
from collections.abc import Iterator, Sequence
from datetime import tzinfo
from itertools import pairwise

from streamer.sources.base import SourceError
from streamer.sources.cells import Cell, is_missing, unit_in
from streamer.sources.fields import parse_moment
from streamer.sources.known import (
    BUS_NAMES,
    GPU_FIELDS,
    GPU_NAMES,
    IDENTITY_NAMES,
    LABEL_NAMES,
    METRICS,
    TIME_NAMES,
    Metric,
    find_metric,
    plain_name,
)
from streamer.sources.layout import Column, Wide
from streamer.sources.rejects import RowError
from streamer.sources.units import BYTES, PLAIN, Scale, find_unit, split_title

MOST_MIB = 10_000_000.0  # of memory without a unit: as many MiB has no GPU, so they are bytes
_DATE = re.compile(rb"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}[ T]\d{1,2}:\d\d")
TIME_FORMS = "ISO 8601, 2020/11/12 13:48:11.412, or a number of seconds since 1970"
BURST_MS = 500
BURST_TIMES = 5

Rows = Sequence[Sequence[bytes]]


def understand_wide(
    titles: Sequence[str], rows: Rows, delimiter: bytes, zone: tzinfo | None
) -> tuple[str, Wide, tuple[Column, ...]]:
    """Return the format's name and the columns, for the reader and for people.

    Raises SourceError for what are no rows of GPUs.
    """
    rows = [row for row in rows if len(row) == len(titles)]
    sorter = Sorter(rows, comma=delimiter == b";", names=plain_names(titles))
    columns = tuple(sorter.sort(index, title) for index, title in enumerate(titles))
    wide = sorter.wide(len(titles), delimiter)
    refuse_strangers(columns, wide)
    if wide.timestamp is not None:
        check_times(titles[wide.timestamp], values_of(rows, wide.timestamp), zone)
    by_field = {field: index for index, field in wide.identity}
    if not by_field.keys() & GPU_FIELDS:
        for some in by_host(rows, by_field.get("hostname")):
            check_one_gpu(list(moments_of(some, wide.timestamp, zone)))
    smi = any("." in split_title(title)[0] and plain_name(title) for title in titles)
    known = bool(METRICS.keys() & plain_names(titles))
    return ("nvidia-smi log" if smi and known else "wide CSV"), wide, columns


class Sorter:
    """Goes over the columns from left to right; what two could be is the first."""

    def __init__(self, rows: Rows, comma: bool, names: set[str]) -> None:
        self._rows = rows
        self._named_time = not names.isdisjoint(TIME_NAMES)
        self._named_gpu = not names.isdisjoint(GPU_NAMES)
        self._comma = comma
        self._time: int | None = None
        self._identity: dict[str, int] = {}
        self._labels: list[tuple[int, str]] = []
        self._cells: dict[str, Cell] = {}

    def sort(self, index: int, title: str) -> Column:
        """Decide what one column is."""
        name, unit = split_title(title)
        plain = plain_name(name)
        if not title:
            return Column(title, "ignored")
        if plain in TIME_NAMES and self._time is None:
            self._time = index
            return Column(title, "time")
        field = IDENTITY_NAMES.get(plain)
        if plain in BUS_NAMES and not self._named_gpu:
            field = "device"
        if field and field not in self._identity:
            self._identity[field] = index
            return Column(title, "identity", field)
        if field or plain in LABEL_NAMES:
            return self._label(index, title, name)
        return self._measure(index, title, name, unit)

    def wide(self, width: int, delimiter: bytes) -> Wide:
        """What was found, for the reader."""
        return Wide(
            width=width,
            delimiter=delimiter,
            timestamp=self._time,
            identity=tuple((index, field) for field, index in self._identity.items()),
            labels=tuple(self._labels),
            cells=tuple(self._cells.values()),
        )

    def _measure(self, index: int, title: str, name: str, unit: str) -> Column:
        """A metric that is known, one that only its numbers give away, or a label."""
        texts = list(values_of(self._rows, index))
        units = {unit_in(text) for text in texts}
        known = find_metric(plain_name(name))
        if known:
            metric, ending = known
            found = find_unit(unit or ending)
            if found.kept in ("", metric.unit) and metric.name not in self._cells:
                cell = self._known_cell(index, metric, found.scale, bool(found.kept), texts)
                return self._metric(title, cell)
        kept = {find_unit(text).kept for text in (unit, *filter(None, units)) if text}
        if texts and not self._named_time and self._time is None and all(map(_DATE.match, texts)):
            self._time = index
            return Column(title, "time")
        if None in units or len(kept) > 1:
            return self._label(index, title, name)
        found = find_unit(unit)
        metric = Metric(name if name not in self._cells else title, "".join(kept))
        return self._metric(title, Cell(index, metric, found.scale, self._comma))

    def _known_cell(
        self, index: int, metric: Metric, scale: Scale, has_unit: bool, texts: Sequence[bytes]
    ) -> Cell:
        """Memory without a unit is MiB, or bytes when it is far too much for that."""
        if metric.unit != "MiB" or has_unit:
            return Cell(index, metric, scale, self._comma)
        bare = Cell(index, metric, PLAIN, self._comma)
        used = [number for number in numbers(bare, texts) if number]
        if used and min(used) >= MOST_MIB:
            return Cell(index, metric, BYTES, self._comma)
        return Cell(index, metric, PLAIN, self._comma, MOST_MIB)

    def _metric(self, title: str, cell: Cell) -> Column:
        self._cells[cell.metric.name] = cell
        return Column(title, "metric", cell.metric.name, cell.metric.unit)

    def _label(self, index: int, title: str, name: str) -> Column:
        self._labels.append((index, name))
        return Column(title, "label", name)


def plain_names(titles: Sequence[str]) -> set[str]:
    """The titles without units, case and punctuation."""
    return {plain_name(split_title(title)[0]) for title in titles}


def values_of(rows: Rows, index: int | None) -> Iterator[bytes]:
    """The cells of one column that hold something."""
    if index is not None:
        yield from (text for row in rows if not is_missing(text := row[index].strip()))


def by_host(rows: Rows, index: int | None) -> list[list[Sequence[bytes]]]:
    """The rows of each host; of one host when there is no column for it."""
    hosts: dict[bytes, list[Sequence[bytes]]] = {}
    for row in rows:
        hosts.setdefault(b"" if index is None else row[index].strip(), []).append(row)
    return list(hosts.values())


def numbers(cell: Cell, texts: Sequence[bytes]) -> Iterator[float]:
    """The numbers of cells that hold one."""
    for text in texts:
        try:
            value = cell.parse(text)
        except RowError:
            continue
        if value is not None:
            yield value


def refuse_strangers(columns: Sequence[Column], wide: Wide) -> None:
    """Raise SourceError for rows that speak of no GPU, or hold no number."""
    if not wide.cells:
        raise SourceError(f"no column holds numbers: {list_columns(columns)}")
    fields = {field for _, field in wide.identity}
    certain = any(cell.metric.name.casefold() in METRICS for cell in wide.cells)
    if not fields & GPU_FIELDS and not certain:
        raise SourceError(
            "neither a GPU (uuid, gpu_id, index, device) nor a metric of GPUs is named by the "
            f"columns: {list_columns(columns)}"
        )
    if not fields and wide.timestamp is None:
        raise SourceError(
            "the rows name neither a time nor a GPU, so nothing tells one from the next; add a "
            f"column timestamp or gpu_id: {list_columns(columns)}"
        )


def list_columns(columns: Sequence[Column]) -> str:
    """The titles, as far as they fit into a message."""
    return ", ".join(column.title for column in columns)[:512]


def check_times(title: str, texts: Iterator[bytes], zone: tzinfo | None) -> None:
    """Raise SourceError when there are times and none of them can be read."""
    bad = b""
    for text in texts:
        try:
            parse_moment(text, zone)
        except RowError:
            bad = bad or text
            continue
        return
    if bad:
        shown = ascii(bad[:80].decode(errors="replace"))
        raise SourceError(f"the times of column {title}, as {shown}, are not {TIME_FORMS}")


def moments_of(rows: Rows, index: int | None, zone: tzinfo | None) -> Iterator[int]:
    """The times of the rows that have one."""
    for text in values_of(rows, index):
        try:
            yield parse_moment(text, zone)
        except RowError:
            continue


def check_one_gpu(moments: Sequence[int]) -> None:
    """Raise SourceError when rows that name no GPU come in bursts: they are of several.

    A logger asks all GPUs of a machine at once, milliseconds apart, and then waits.
    """
    gaps = [after - before for before, after in pairwise(moments)]
    least = min(gaps, default=math.inf)
    waits = sum(gap > BURST_TIMES * max(1, least) for gap in gaps)
    bursts = least < BURST_MS and waits >= 2 and waits * 20 >= len(gaps)
    if least <= 0 or bursts:
        raise SourceError(
            "the rows name no GPU and come several at a time, so they are of several GPUs; add "
            "index or uuid to --query-gpu"
        )
