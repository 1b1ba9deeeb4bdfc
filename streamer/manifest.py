"""What was sent of each GPU, so that a verifier can compare it with the store."""

import msgspec

from common.models import Sample


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

    def add(self, sample: Sample) -> None:
        """Count one sample."""
        points = len(sample.metrics)
        self.samples += 1
        self.points += points
        self.metrics.update(sample.metrics)
        entry = self.gpus.get(sample.gpu.id)
        if entry is None:
            self._meet(sample, points)
            return
        entry.points += points
        if sample.timestamp > entry.last:
            entry.last = sample.timestamp
            return
        entry.late += points
        entry.first = min(entry.first, sample.timestamp)

    def newest(self, gpu_id: str) -> int | None:
        """Return the GPU's newest time so far, None when it is not known yet."""
        entry = self.gpus.get(gpu_id)
        return None if entry is None else entry.last

    def _meet(self, sample: Sample, points: int) -> None:
        at = sample.timestamp
        self.gpus[sample.gpu.id] = GpuManifest(points, 0, at, at)
        if sample.gpu.hostname:
            self.hosts.add(sample.gpu.hostname)
