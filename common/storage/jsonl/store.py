"""The store of plain files: a line a sample, a file a GPU, for few GPUs and other tools."""

import fcntl
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

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
from common.storage.inventory import Inventory
from common.storage.jsonl.files import key_of, list_files
from common.storage.jsonl.gpu import JsonlGpu
from common.storage.jsonl.write import append, expire_gpu, rotate_out
from common.storage.memory import check_times
from common.storage.rollup import HOUR_MS

LOCK_FILE = "lock"

T = TypeVar("T")


class JsonlLimits(msgspec.Struct, frozen=True):
    """``file_bytes`` end a file, ``files`` are kept of a GPU, ``entries`` rows of it in memory.

    ``gpus`` of them have rows in memory, those that were written or asked for last.
    """

    file_bytes: int
    files: int
    entries: int
    gpus: int


class JsonlStore:
    """A `Store` in a directory. What others append is noticed at the next question.

    A lock on the directory lets one writer in at a time, and readers between writes.
    """

    def __init__(self, directory: Path, limits: JsonlLimits, *, writable: bool) -> None:
        self._directory = directory
        self._limits = limits
        self._writable = writable
        self._using = threading.Lock()
        self._lock: int | None = None
        self._gpus: dict[str, JsonlGpu] = {}
        self._warm: OrderedDict[str, None] = OrderedDict()
        self._inventory = Inventory()
        if writable:
            self._change(lambda: None)

    def write(self, samples: Sequence[Sample]) -> Written:
        """See `base.Store`. A crash or full disk may leave a part; it is in effect written once."""
        check_times(samples)
        by_id: dict[str, list[Sample]] = {}
        for sample in samples:
            by_id.setdefault(sample.gpu.id, []).append(sample)
        new_points = self._change(lambda: self._append(by_id))
        return Written(sum(len(sample.metrics) for sample in samples), new_points)

    def check(self) -> None:
        self._ask(lambda: None)

    def gpus(
        self, which: GpuFilter, limit: int, after: str = "", offset: int = 0
    ) -> list[GpuRecord]:
        return self._ask(lambda: self._inventory.gpus(which, limit, after, offset))

    def gpu_ids(self) -> list[str]:
        return self._ask(lambda: [member.id for member in self._inventory])

    def gpu(self, gpu_id: str) -> GpuRecord | None:
        def record() -> GpuRecord | None:
            member = self._inventory.find(gpu_id)
            return None if member is None else member.record()

        return self._ask(record)

    def gpu_metrics(self, gpu_id: str) -> list[str] | None:
        def names() -> list[str] | None:
            member = self._inventory.find(gpu_id)
            return None if member is None else sorted(member.metrics)

        return self._ask(names)

    def telemetry(self, query: TelemetryQuery) -> Telemetry | None:
        def page(gpu: JsonlGpu) -> Telemetry:
            found = gpu.newest().telemetry(query)
            if query.descending and found.next is not None:
                return found
            return gpu.rows(query.start_ms, query.end_ms).telemetry(query)

        return self._ask_gpu(query.gpu_id, page)

    def windows(self, query: WindowQuery) -> Telemetry | None:
        return self._ask_gpu(
            query.gpu_id, lambda gpu: gpu.rows(query.start_ms, query.end_ms).windows(query)
        )

    def roll_up(self, before_ms: int) -> int:
        return 0

    def expire(self, before_ms: int, rollups_before_ms: int = 0) -> int:
        return self._change(lambda: self._expire(before_ms // HOUR_MS * HOUR_MS))

    def count_points(self, gpu_id: str, start_ms: int, end_ms: int) -> int:
        def count(gpu: JsonlGpu) -> int:
            return gpu.rows(start_ms, end_ms).count_points(start_ms, end_ms)

        return self._ask_gpu(gpu_id, count) or 0

    def hosts(self, limit: int, after: str = "") -> list[HostRecord]:
        return self._ask(lambda: self._inventory.hosts(limit, after))

    def namespaces(self, limit: int, after: str = "") -> list[NamespaceRecord]:
        return self._ask(lambda: self._inventory.namespaces(limit, after))

    def metrics(self) -> list[str]:
        return self._ask(lambda: self._inventory.metrics())

    def stats(self) -> StoreStats:
        return self._ask(self._stats)

    def close(self) -> None:
        with self._using:
            self._close_lock()

    def _stats(self) -> StoreStats:
        oldest = [ts for gpu in self._gpus.values() if (ts := gpu.oldest_ms()) is not None]
        return self._inventory.stats(min(oldest, default=None))

    def _ask(self, question: Callable[[], T]) -> T:
        with self._locked(fcntl.LOCK_SH):
            self._follow()
            return question()

    def _ask_gpu(self, gpu_id: str, question: Callable[[JsonlGpu], T]) -> T | None:
        with self._locked(fcntl.LOCK_SH):
            self._follow()
            if self._inventory.find(gpu_id) is None:
                return None
            self._touch(key_of(gpu_id))
            return question(self._gpus[key_of(gpu_id)])

    def _change(self, work: Callable[[], T]) -> T:
        if not self._writable:
            raise StoreUnavailable(f"the store {self._directory} was opened for reading")
        with self._locked(fcntl.LOCK_EX):
            self._follow()
            return work()

    def _append(self, by_id: dict[str, list[Sample]]) -> int:
        before = self._inventory.points(by_id)
        append(self._directory, self._gpus, by_id, self._limits.file_bytes)
        self._follow()
        new_points = self._inventory.points(by_id) - before
        if rotate_out(self._gpus, map(key_of, by_id), self._limits.files):
            self._follow()
        return new_points

    def _expire(self, before_ms: int) -> int:
        for gpu in self._gpus.values():
            oldest = gpu.oldest_ms()
            if oldest is not None and oldest < before_ms and gpu.member is not None:
                held, gpu_id = gpu.member.points, gpu.member.id
                expire_gpu(gpu, before_ms)
                self._follow()
                return held - self._inventory.points([gpu_id])
        return 0

    def _follow(self) -> None:
        """Take in what has become of the files since the last time."""
        files = list_files(self._directory)
        changed = self._gpus.keys() - files.keys()
        for key in changed:
            del self._gpus[key]
            self._warm.pop(key, None)
        for key, found in files.items():
            gpu = self._gpus.get(key)
            if gpu is None:
                gpu = self._gpus[key] = JsonlGpu(self._limits.entries)
            if gpu.follow(found):
                changed.add(key)
                self._touch(key)
        if changed:
            self._inventory = Inventory()
            for gpu in self._gpus.values():
                if gpu.member is not None:
                    self._inventory.put(gpu.member)

    def _touch(self, key: str) -> None:
        """Keep a GPU's rows in memory, and let go of those used least recently."""
        self._warm[key] = None
        self._warm.move_to_end(key)
        while len(self._warm) > self._limits.gpus:
            self._gpus[self._warm.popitem(last=False)[0]].forget_rows()

    @contextmanager
    def _locked(self, kind: int) -> Iterator[None]:
        """Have the directory; whatever goes wrong is StoreUnavailable, and is read anew later."""
        with self._using:
            try:
                lock = self._open_lock()
                fcntl.flock(lock, kind)
                try:
                    yield
                finally:
                    fcntl.flock(lock, fcntl.LOCK_UN)
            except OSError as error:
                self._start_anew()
                raise StoreUnavailable(f"the store {self._directory} failed: {error}") from error
            except BaseException:
                self._start_anew()
                raise

    def _start_anew(self) -> None:
        """Forget everything: what was half read or half written is found in the files."""
        self._gpus.clear()
        self._warm.clear()
        self._close_lock()

    def _close_lock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _open_lock(self) -> int:
        """Open the lock file; a writer makes it, and its directory."""
        if self._lock is None:
            flags = os.O_RDONLY | os.O_CLOEXEC
            if self._writable:
                self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
                flags |= os.O_CREAT
            self._lock = os.open(self._directory / LOCK_FILE, flags, 0o600)
        return self._lock
