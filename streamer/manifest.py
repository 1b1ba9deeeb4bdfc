"""What was sent of each GPU, so that a verifier can compare it with the store."""

from collections.abc import Sequence

import msgspec

from common.models import Gpu, Sample


class GpuManifest(msgspec.Struct):
    """One GPU's share. Times in milliseconds since 1970 UTC.

    ``late`` counts the points of samples whose time was not above the GPU's newest before: these
    may repeat a point, so the store holds between ``points - late`` and ``points`` of them.
    """

    points: int
    late: int
    first: int
    last: int


class Manifest:
    """Counts samples per GPU as they leave for the queue."""

    def __init__(self) -> None:
        self.samples = 0
        self.points = 0
        self.gpus: dict[str, GpuManifest] = {}
        self.hosts: set[str] = set()
        self.metrics: set[str] = set()

    def add(self, samples: Sequence[Sample]) -> None:
        """Count samples, in the order they leave."""
        gpus, metrics, points = self.gpus, self.metrics, 0
        for sample in samples:
            gpu, at, count = sample.gpu, sample.timestamp, len(sample.metrics)
            points += count
            if not sample.metrics.keys() <= metrics:
                metrics.update(sample.metrics)
            entry = gpus.get(gpu.uuid or gpu.id)
            if entry is None:
                self._meet(gpu, count, at)
                continue
            entry.points += count
            if at > entry.last:
                entry.last = at
                continue
            entry.late += count
            if at < entry.first:
                entry.first = at
        self.samples += len(samples)
        self.points += points

    def newest(self, gpu_id: str) -> int | None:
        """Return the GPU's newest time so far, None when it is not known yet."""
        entry = self.gpus.get(gpu_id)
        return None if entry is None else entry.last

    def _meet(self, gpu: Gpu, points: int, at: int) -> None:
        self.gpus[gpu.id] = GpuManifest(points, 0, at, at)
        if gpu.hostname:
            self.hosts.add(gpu.hostname)
