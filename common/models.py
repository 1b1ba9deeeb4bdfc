"""The data model: a sample is one GPU at one moment, a batch is what a streamer publishes."""

import math
from collections.abc import Collection
from typing import Annotated

import msgspec

SCHEMA_VERSION = 1
MAX_TEXT = 512
MAX_METRICS = 256
MAX_LABELS = 64
EARLIEST_MS = 946_684_800_000  # 2000-01-01: an earlier time is a clock that was never set
LATEST_MS = 4_102_444_800_000  # 2100-01-01

Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]


# Neither holds a cycle, so the garbage collector need not look at the millions of them.
class Gpu(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Who a sample speaks of. Every field is text as the source gave it, empty when unknown."""

    uuid: Text = ""
    hostname: Text = ""
    gpu_id: Text = ""
    device: Text = ""
    model: Text = ""
    namespace: Text = ""
    pod: Text = ""
    container: Text = ""
    labels: dict[Text, Text] = {}

    @property
    def id(self) -> str:
        """The GPU's id in the API: its uuid, or ``<hostname>-<index>`` without one."""
        return self.uuid or f"{self.hostname}-{self.gpu_id or self.device}"


class Sample(msgspec.Struct, omit_defaults=True, gc=False):
    """One GPU at one moment: ``timestamp`` in milliseconds since 1970 UTC, metric name to value."""

    gpu: Gpu
    timestamp: int
    metrics: dict[str, float]


class Batch(msgspec.Struct, omit_defaults=True):
    """What a streamer publishes as one message; ``collected_at`` in milliseconds since 1970 UTC."""

    batch_id: str
    source: str
    collected_at: int
    samples: list[Sample]
    schema: int = SCHEMA_VERSION


def sample_problem(sample: Sample) -> str | None:
    """Return why a sample must not be stored, as a closed reason, or None when it may."""
    if problem := gpu_problem(sample.gpu):
        return problem
    if not EARLIEST_MS <= sample.timestamp <= LATEST_MS:
        return "bad_timestamp"
    if not all(map(math.isfinite, sample.metrics.values())):
        return "not_finite"
    return names_problem(sample.metrics)


def gpu_problem(gpu: Gpu) -> str | None:
    """Return why no sample may speak of a GPU, or None when one may."""
    if not gpu.uuid and not (gpu.hostname and (gpu.gpu_id or gpu.device)):
        return "no_identity"
    return "too_many_labels" if len(gpu.labels) > MAX_LABELS else None


def names_problem(names: Collection[str]) -> str | None:
    """Return why a sample must not have metrics of these names, or None when it may."""
    if not names:
        return "no_metric"
    if len(names) > MAX_METRICS:
        return "too_many_metrics"
    return None if all(0 < len(name) <= MAX_TEXT for name in names) else "bad_metric_name"
