"""The files of an export: one for each host and day, with who is in it in its footer."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from cli.export.columns import SCHEMA_VERSION, Columns
from cli.export.days import bounds_of
from cli.export.folders import Folders
from common.storage.base import GpuRecord, Point, Position, Store, TelemetryQuery

PAGE_POINTS = 20_000
GROUP_ROWS = 131_072
GROUP_CELLS = 2_000_000
"""Most rows, and values, that a row group holds; it is in memory until it is written."""
COMPRESSION, LEVEL = "zstd", 3

_VERSION, _HOST, _GPUS, _POINTS = (
    f"telemetry.{name}" for name in ("schema", "host", "gpus", "points")
)


class Part(NamedTuple):
    """What the footer of a file says."""

    host: str
    gpus: list[str]
    points: int


class Made(NamedTuple):
    """What became of a host's day: its points and rows, and whether they are in the file.

    They are not when the file that is there has more, since the store has let go of some.
    """

    points: int
    rows: int
    size: int
    kept: bool


class HostDay(NamedTuple):
    """A host's day that is to be exported: the GPUs that were on it, by id."""

    day: date
    host: str
    gpus: Sequence[GpuRecord]


def write_part(store: Store, folders: Folders, wanted: HostDay, columns: Columns) -> Made | None:
    """Write the file of a host's day; None when the store has nothing of it. Blocks.

    Raises StoreUnavailable, OSError, and UnknownMetric, after which nothing was written.
    """
    folder = folders.of(wanted.day, wanted.host)
    with folders.new_file(folder) as path:
        writer = Writer(path, columns)
        try:
            for gpu in wanted.gpus:
                writer.take(gpu, wanted.host, pages(store, gpu.id, *bounds_of(wanted.day)))
        except BaseException:
            writer.abandon()
            raise
        if not writer.points:
            return None
        writer.finish(wanted.host)
        size = path.stat().st_size
        kept = any(read_part(old).points > writer.points for old in folder.glob("*.parquet"))
        if kept:
            path.unlink()
        return Made(writer.points, writer.rows, size, kept)


class Writer:
    """Writes one file; it is made with the first row."""

    def __init__(self, path: Path, columns: Columns) -> None:
        self.points = 0
        self.rows = 0
        self._path = path
        self._columns = columns
        self._group_rows = max(1, min(GROUP_ROWS, GROUP_CELLS // len(columns)))
        self._gpus: list[str] = []
        self._batches: list[Any] = []
        self._waiting = 0
        self._file: Any = None

    def take(self, gpu: GpuRecord, host: str, found: Iterator[list[Point]]) -> None:
        """Write one GPU's points, which come by time in whole moments."""
        for points in found:
            batch = self._columns.batch(gpu, host, points)
            self._batches.append(batch)
            self._waiting += len(batch)
            self.points += len(points)
            self.rows += len(batch)
            if not self._gpus or self._gpus[-1] != gpu.id:
                self._gpus.append(gpu.id)
            if self._waiting >= self._group_rows:
                self._flush()

    def finish(self, host: str) -> None:
        """Write what waits, and the footer."""
        self._flush()
        said = {
            _VERSION: SCHEMA_VERSION,
            _HOST: host,
            _GPUS: msgspec.json.encode(self._gpus).decode(),
            _POINTS: str(self.points),
        }
        self._file.add_key_value_metadata(said)
        self._file.close()

    def abandon(self) -> None:
        """Close without an end."""
        if self._file is not None:
            self._file.close()

    def _flush(self) -> None:
        if not self._batches:
            return
        if self._file is None:
            self._file = pq.ParquetWriter(
                self._path,
                self._columns.schema,
                compression=COMPRESSION,
                compression_level=LEVEL,
            )
        self._file.write_table(pa.Table.from_batches(self._batches), self._group_rows)
        self._batches, self._waiting = [], 0


def read_part(path: Path) -> Part:
    """What a file's footer says; raises ValueError for a file that is no export's."""
    try:
        said = pq.read_metadata(path).metadata or {}
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path} is no export's: {error}") from error
    found = {name: said.get(name.encode(), b"").decode() for name in (_VERSION, _HOST, _GPUS)}
    if found[_VERSION] != SCHEMA_VERSION:
        raise ValueError(f"{path} is of another version, or no export's")
    gpus = msgspec.json.decode(found[_GPUS], type=list[str])
    return Part(found[_HOST], gpus, int(said[_POINTS.encode()]))


def pages(store: Store, gpu_id: str, start_ms: int, end_ms: int) -> Iterator[list[Point]]:
    """Yield a GPU's points of a range by time; a moment is never in two pages."""
    after: Position | None = None
    held: list[Point] = []
    while True:
        page = store.telemetry(TelemetryQuery(gpu_id, PAGE_POINTS, start_ms, end_ms, after=after))
        found = held + (page.points if page is not None else [])
        after = page.next if page is not None else None
        if after is None:
            break
        last = found[-1].timestamp
        whole = bisect_left(found, last, key=lambda point: point.timestamp)
        held = found[whole:]
        if whole:
            yield found[:whole]
    if found:
        yield found
