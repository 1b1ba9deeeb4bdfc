"""The embedded store: one SQLite file, one writer, any number of readers beside it."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import apsw

from common.errors import StoreUnavailable
from common.models import Sample
from common.storage.base import (
    GpuFilter,
    GpuRecord,
    HostRecord,
    NamespaceRecord,
    StoreStats,
    Telemetry,
    TelemetryQuery,
    WindowQuery,
    Written,
)
from common.storage.rollup import HOUR_MS
from common.storage.sqlite.checkpoint import Checkpoints
from common.storage.sqlite.read import Reader
from common.storage.sqlite.schema import open_for_reading, open_for_writing
from common.storage.sqlite.write import Writer

T = TypeVar("T")
FileId = tuple[int, int]


class SqliteStore:
    """A `Store` in one file. Connections are opened when needed and dropped on any failure.

    The writing side makes the file when it is missing. The reading side never does: until
    the file is there, every question ends in StoreUnavailable and not in an empty answer.
    A file that was removed or replaced under an open store is noticed at the next call.
    """

    def __init__(self, path: Path, *, writable: bool = True) -> None:
        self._path = path
        self._writable = writable
        self._writing = threading.Lock()
        self._writer: Writer | None = None
        self._writer_file: FileId | None = None
        self._checkpoints = Checkpoints(path, self._writing)
        self._readers = Readers(path)
        if writable:
            with failures(path):
                self._open_writer()

    def write(self, samples: Sequence[Sample]) -> Written:
        return self._change(lambda writer: writer.write(samples))

    def roll_up(self, before_ms: int) -> int:
        return self._change(lambda writer: writer.roll_up(before_ms // HOUR_MS))

    def expire(self, before_ms: int, rollups_before_ms: int = 0) -> int:
        gone = self._expire_points(before_ms // HOUR_MS)
        gone = gone or self._expire_rollups(rollups_before_ms // HOUR_MS)
        self._change(Writer.give_back)
        return gone

    def check(self) -> None:
        self._ask(Reader.check)

    def gpus(
        self, which: GpuFilter, limit: int, after: str = "", offset: int = 0
    ) -> list[GpuRecord]:
        return self._ask(lambda reader: reader.gpus(which, limit, after, offset))

    def gpu_ids(self) -> list[str]:
        return self._ask(Reader.gpu_ids)

    def gpu(self, gpu_id: str) -> GpuRecord | None:
        return self._ask(lambda reader: reader.gpu(gpu_id))

    def gpu_metrics(self, gpu_id: str) -> list[str] | None:
        return self._ask(lambda reader: reader.gpu_metrics(gpu_id))

    def telemetry(self, query: TelemetryQuery) -> Telemetry | None:
        return self._ask(lambda reader: reader.telemetry(query))

    def windows(self, query: WindowQuery) -> Telemetry | None:
        return self._ask(lambda reader: reader.windows(query))

    def count_points(self, gpu_id: str, start_ms: int, end_ms: int) -> int:
        return self._ask(lambda reader: reader.count_points(gpu_id, start_ms, end_ms))

    def hosts(self, limit: int, after: str = "") -> list[HostRecord]:
        return self._ask(lambda reader: reader.hosts(limit, after))

    def namespaces(self, limit: int, after: str = "") -> list[NamespaceRecord]:
        return self._ask(lambda reader: reader.namespaces(limit, after))

    def metrics(self) -> list[str]:
        return self._ask(Reader.metrics)

    def stats(self) -> StoreStats:
        return self._ask(Reader.stats)

    def close(self) -> None:
        self._readers.close()
        with self._writing:
            self._drop_writer()

    def _expire_points(self, before_hour: int) -> int:
        """Delete a step of the points; what is due is rolled up before it goes."""
        while old := self._ask(lambda reader: reader.with_points_before(before_hour)):
            step = partial(Writer.expire_points, gpus=old, before_hour=before_hour)
            if gone := self._change(step):
                return gone
            self._change(lambda writer: writer.roll_up(before_hour))
        return 0

    def _expire_rollups(self, before_hour: int) -> int:
        old = self._ask(lambda reader: reader.with_rollups_before(before_hour))
        return self._change(lambda writer: writer.expire_rollups(old, before_hour)) if old else 0

    def _ask(self, question: Callable[[Reader], T]) -> T:
        with failures(self._path), self._readers.borrow() as reader:
            return question(reader)

    def _change(self, work: Callable[[Writer], T]) -> T:
        if not self._writable:
            raise StoreUnavailable(f"the store {self._path} was opened for reading")
        with self._writing, failures(self._path):
            writer = self._open_writer()
            try:
                done = work(writer)
            except apsw.Error:
                self._drop_writer()
                raise
        self._checkpoints.run_if_due()
        return done

    def _open_writer(self) -> Writer:
        if self._writer is not None and self._writer_file != file_id(self._path):
            self._drop_writer()
        if self._writer is None:
            db = open_for_writing(self._path)
            self._checkpoints.watch(db)
            self._writer = Writer(db)
            self._writer_file = file_id(self._path)
        return self._writer

    def _drop_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


class Readers:
    """Idle reading connections; there are as many as were ever needed at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: deque[tuple[FileId, Reader]] = deque()

    @contextmanager
    def borrow(self) -> Iterator[Reader]:
        """Lend a connection that no other thread has; it is kept only if it did well."""
        file = file_id(self._path)
        if file is None:
            raise StoreUnavailable(f"there is no store at {self._path} yet")
        reader = self._take(file) or Reader(open_for_reading(self._path))
        try:
            yield reader
        except BaseException:
            reader.close()
            raise
        self._idle.append((file, reader))

    def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            self._idle.pop()[1].close()

    def _take(self, file: FileId) -> Reader | None:
        while True:
            try:
                opened_as, reader = self._idle.pop()
            except IndexError:
                return None
            if opened_as == file:
                return reader
            reader.close()


def file_id(path: Path) -> FileId | None:
    """Which file a path names now; None when there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


@contextmanager
def failures(path: Path) -> Iterator[None]:
    """Turn whatever SQLite or the file system says into StoreUnavailable."""
    try:
        yield
    except (apsw.Error, OSError) as error:
        raise StoreUnavailable(f"the store {path} failed: {error}") from error
