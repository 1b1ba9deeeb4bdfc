"""The columns of an export's files, as docs/export.md draws them."""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import pyarrow as pa
import xxhash

from common.storage.base import GpuRecord, Point

SCHEMA_VERSION = "1"
TIMESTAMP = "timestamp"
IDENTITY = (
    "gpu_id",
    "hostname",
    "uuid",
    "gpu_index",
    "device",
    "model",
    "namespace",
    "pod",
    "container",
    "labels",
)
METRIC_KEY = b"metric"


class UnknownMetric(Exception):
    """A metric that was not there when the columns were made."""


class Columns:
    """A column for each metric, behind those of the time and of who the GPU is."""

    def __init__(self, metrics: Iterable[str]) -> None:
        self._metrics = sorted(metrics)
        fields = [pa.field(TIMESTAMP, pa.timestamp("ms", tz="UTC"), nullable=False)]
        fields += [pa.field(name, pa.string()) for name in IDENTITY]
        fields += [
            pa.field(column, pa.float64(), metadata={METRIC_KEY: metric.encode()})
            for column, metric in zip(column_names(self._metrics), self._metrics, strict=True)
        ]
        self.schema: Any = pa.schema(fields)

    def __len__(self) -> int:
        return len(self.schema)

    def batch(self, gpu: GpuRecord, host: str, points: Iterable[Point]) -> Any:
        """One GPU's points, which come by time, as rows: one for each moment."""
        times: list[int] = []
        values: dict[str, list[float | None]] = {metric: [] for metric in self._metrics}
        for point in points:
            if not times or times[-1] != point.timestamp:
                times.append(point.timestamp)
            column = values.get(point.metric)
            if column is None:
                raise UnknownMetric(point.metric)
            missing = len(times) - 1 - len(column)
            if missing:
                column.extend([None] * missing)
            column.append(point.value)
        count = len(times)
        arrays = [pa.array(times, pa.timestamp("ms", tz="UTC"))]
        arrays += [repeated(text, count) for text in identity(gpu, host)]
        for column in values.values():
            column.extend([None] * (count - len(column)))
            arrays.append(pa.array(column, pa.float64()))
        return pa.record_batch(arrays, schema=self.schema)


def column_names(metrics: Iterable[str]) -> Iterator[str]:
    """Yield a column's name for each metric: its own, where engines can tell it from the others.

    They do not tell upper case from lower, so the second of two that differ in nothing else gets
    a part of its hash behind it.
    """
    taken = {TIMESTAMP, *IDENTITY, "day", "host"}
    for metric in metrics:
        name = metric
        if name.casefold() in taken:
            name = f"{metric}_{xxhash.xxh3_64_hexdigest(metric.encode())[:8]}"
        taken.add(name.casefold())
        yield name


def identity(gpu: GpuRecord, host: str) -> list[str]:
    """What stands in the columns of `IDENTITY`; what is not known is empty."""
    who = gpu.gpu
    labels = msgspec.json.encode(who.labels, order="deterministic").decode() if who.labels else ""
    known = (who.uuid, who.gpu_id, who.device, who.model, who.namespace, who.pod, who.container)
    return [gpu.id, host, *known, labels]


def repeated(text: str, count: int) -> Any:
    """A column of one text; an empty one is null."""
    return pa.repeat(pa.scalar(text or None, pa.string()), count)
