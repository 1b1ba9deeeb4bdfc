"""Rows into samples: the rows of one GPU and moment become one sample."""

from typing import NamedTuple

from common.models import MAX_METRICS, Gpu, Sample


class KnownGpu(NamedTuple):
    """A GPU with its id worked out once."""

    id: str
    gpu: Gpu


class Assembler:
    """Holds one open sample per GPU; a row of another moment closes it.

    Order is kept per GPU. A metric that comes twice within the open sample is counted in
    ``duplicates`` and its last value stands.
    """

    def __init__(self) -> None:
        self.duplicates = 0
        self._open: dict[str, Sample] = {}
        self._closed: list[Sample] = []

    def add(self, known: KnownGpu, timestamp: int, metric: str, value: float) -> None:
        """Take one row; ``timestamp`` in milliseconds since 1970 UTC."""
        sample = self._open.get(known.id)
        if sample is None or sample.timestamp != timestamp:
            sample = self._begin(known, timestamp)
        metrics = sample.metrics
        if metric in metrics:
            self.duplicates += 1
        elif len(metrics) == MAX_METRICS:
            metrics = self._begin(known, timestamp).metrics
        metrics[metric] = value

    def take(self) -> list[Sample]:
        """Hand over the samples that closed since the last call, in order."""
        closed, self._closed = self._closed, []
        return closed

    def close_all(self) -> None:
        """Close every open sample: the source is at its end."""
        self._closed.extend(self._open.values())
        self._open.clear()

    def _begin(self, known: KnownGpu, timestamp: int) -> Sample:
        before = self._open.get(known.id)
        if before is not None:
            self._closed.append(before)
        sample = self._open[known.id] = Sample(known.gpu, timestamp, {})
        return sample
