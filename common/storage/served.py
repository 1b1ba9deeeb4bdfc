"""What stores on a server have in common: a link to prepare, a reader to ask, a writer."""

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

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
from common.storage.slices import groups_page

T = TypeVar("T")


class Link(Protocol):
    """The way to a server."""

    where: str

    def check(self) -> None:
        """See `Store.check`."""

    def close(self) -> None:
        """Close the connections."""


class Reader(Protocol):
    """Questions to a server, mostly as in `Store`; for any number of threads at once."""

    def gpus(self, which: GpuFilter, limit: int, after: str, offset: int) -> list[GpuRecord]: ...

    def gpu_ids(self) -> list[str]: ...

    def gpu(self, gpu_id: str) -> GpuRecord | None: ...

    def gpu_metrics(self, gpu_id: str) -> list[str] | None: ...

    def telemetry(self, query: TelemetryQuery) -> Telemetry | None: ...

    def windows(self, query: WindowQuery) -> Telemetry | None: ...

    def count_points(self, gpu_id: str, start_ms: int, end_ms: int) -> int: ...

    def groups(self, name: str) -> dict[str, list[int]]:
        """When the GPUs of each value of a field of theirs were last seen."""

    def metrics(self) -> list[str]: ...

    def stats(self) -> StoreStats: ...


class Writer(Protocol):
    """Writes to a server; for one thread at a time."""

    def write(self, samples: Sequence[Sample]) -> Written:
        """See `Store.write`."""


class ServedStore:
    """A `Store` on a server, which aggregates as it reads and applies the retention itself.

    What the server needs before the first request is seen to once, by whoever asks first.
    """

    def __init__(
        self,
        link: Link,
        reader: Reader,
        writer: Writer,
        prepare: Callable[[], None],
        answers: Callable[[str], AbstractContextManager[None]],
        *,
        writable: bool,
    ) -> None:
        """``answers`` turns an answer that cannot be understood into StoreUnavailable."""
        self._link = link
        self._reader = reader
        self._writer = writer
        self._prepare = prepare
        self._answers = answers
        self._writable = writable
        self._writing = threading.Lock()
        self._prepared = False

    def prepare(self) -> None:
        """See to the server, unless that was done or others do it."""
        if self._writable and not self._prepared:
            with self._writing:
                self._prepare()
                self._prepared = True

    def write(self, samples: Sequence[Sample]) -> Written:
        if not self._writable:
            raise StoreUnavailable(f"{self._link.where} was opened for reading")
        self.prepare()
        with self._writing:
            return self._writer.write(samples)

    def check(self) -> None:
        self.prepare()
        self._link.check()

    def gpus(
        self, which: GpuFilter, limit: int, after: str = "", offset: int = 0
    ) -> list[GpuRecord]:
        return self._ask(lambda reader: reader.gpus(which, limit, after, offset))

    def gpu_ids(self) -> list[str]:
        return self._ask(lambda reader: reader.gpu_ids())

    def gpu(self, gpu_id: str) -> GpuRecord | None:
        return self._ask(lambda reader: reader.gpu(gpu_id))

    def gpu_metrics(self, gpu_id: str) -> list[str] | None:
        return self._ask(lambda reader: reader.gpu_metrics(gpu_id))

    def telemetry(self, query: TelemetryQuery) -> Telemetry | None:
        return self._ask(lambda reader: reader.telemetry(query))

    def windows(self, query: WindowQuery) -> Telemetry | None:
        return self._ask(lambda reader: reader.windows(query))

    def roll_up(self, before_ms: int) -> int:
        """There are no rollups."""
        return 0

    def expire(self, before_ms: int, rollups_before_ms: int = 0) -> int:
        """The server does it."""
        return 0

    def count_points(self, gpu_id: str, start_ms: int, end_ms: int) -> int:
        return self._ask(lambda reader: reader.count_points(gpu_id, start_ms, end_ms))

    def hosts(self, limit: int, after: str = "") -> list[HostRecord]:
        return [HostRecord(*each) for each in self._groups("hostname", limit, after)]

    def namespaces(self, limit: int, after: str = "") -> list[NamespaceRecord]:
        return [NamespaceRecord(*each) for each in self._groups("namespace", limit, after)]

    def metrics(self) -> list[str]:
        return self._ask(lambda reader: reader.metrics())

    def stats(self) -> StoreStats:
        return self._ask(lambda reader: reader.stats())

    def close(self) -> None:
        self._link.close()

    def _groups(self, name: str, limit: int, after: str) -> list[tuple[str, int, int]]:
        return groups_page(self._ask(lambda reader: reader.groups(name)), after, limit)

    def _ask(self, question: Callable[[Reader], T]) -> T:
        self.prepare()
        with self._answers(self._link.where):
            return question(self._reader)
