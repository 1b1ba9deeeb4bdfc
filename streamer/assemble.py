"""Rows into samples: the rows of one GPU and moment become one sample."""

from collections import OrderedDict
from typing import NamedTuple

from common.models import MAX_METRICS, Gpu, Sample

MAX_OPEN = 1 << 15
OPEN_BYTES = 32 << 20


class KnownGpu(NamedTuple):
    """A GPU with its id worked out once."""

    id: str
    gpu: Gpu


class Place(NamedTuple):
    """Where a line begins: its first byte and its number."""

    offset: int
    line: int


class Assembler:
    """Holds one open sample per GPU; a row of another moment closes it.

    Order is kept per GPU. A metric that comes twice within the open sample is counted in
    ``duplicates`` and its last value stands. ``place`` is set by who reads, to where the rows come
    from. ``open`` holds the samples by the GPU's id, for ``OPEN_BYTES`` from where they began, and
    at most ``MAX_OPEN``.
    """

    def __init__(self) -> None:
        self.duplicates = 0
        self.place = Place(0, 1)
        self.open: dict[str, Sample] = {}
        # Ordered, since a plain dict looks for its first entry past all that were removed.
        self._began: OrderedDict[str, Place] = OrderedDict()
        self._closed: list[Sample] = []

    def add(self, known: KnownGpu, timestamp: int, metric: str, value: float) -> None:
        """Take one row; ``timestamp`` in milliseconds since 1970 UTC."""
        sample = self.open.get(known.id)
        if sample is None or sample.timestamp != timestamp:
            sample = self._begin(known, timestamp)
        metrics = sample.metrics
        if metric in metrics:
            self.duplicates += 1
        elif len(metrics) == MAX_METRICS:
            metrics = self._begin(known, timestamp).metrics
        metrics[metric] = value

    def pass_on(self, known: KnownGpu, timestamp: int, metrics: dict[str, float]) -> None:
        """Take a whole sample, which is closed at once."""
        self._closed.append(Sample(known.gpu, timestamp, metrics))

    def take(self) -> list[Sample]:
        """Hand over the samples that closed since the last call, in order."""
        closed, self._closed = self._closed, []
        return closed

    def oldest(self) -> Place | None:
        """Where the rows of the open sample came from that began first; None without one."""
        return next(iter(self._began.values()), None)

    def close_old(self, offset: int) -> None:
        """Close what is open too long, seen from ``offset``, and the first of what is too much."""
        while (oldest := self.oldest()) is not None:
            if offset - oldest.offset <= OPEN_BYTES and len(self.open) <= MAX_OPEN:
                return
            self._close(next(iter(self._began)))

    def close_all(self) -> None:
        """Close every open sample: the source is at its end."""
        self._closed.extend(self.open.values())
        self.open.clear()
        self._began.clear()

    def _close(self, gpu_id: str) -> None:
        self._closed.append(self.open.pop(gpu_id))
        del self._began[gpu_id]

    def _begin(self, known: KnownGpu, timestamp: int) -> Sample:
        if known.id in self.open:
            self._close(known.id)
        sample = self.open[known.id] = Sample(known.gpu, timestamp, {})
        self._began[known.id] = self.place
        return sample
