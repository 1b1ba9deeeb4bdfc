"""Identities and names of metrics that need not be looked at twice."""

import msgspec

from common.models import (
    EARLIEST_MS,
    LATEST_MS,
    SCHEMA_VERSION,
    Batch,
    Gpu,
    Sample,
    gpu_problem,
    names_problem,
)

MOST_GPUS = 20_000
MOST_SHAPES = 10_000

_GPU = msgspec.json.Decoder(Gpu)


class QuickSample(msgspec.Struct, gc=False):
    """A sample whose GPU is still JSON."""

    gpu: msgspec.Raw
    timestamp: int
    metrics: dict[str, float]


class QuickBatch(msgspec.Struct):
    """A batch of such samples."""

    batch_id: str
    source: str
    collected_at: int
    samples: list[QuickSample]
    schema: int = SCHEMA_VERSION


_WHOLE = msgspec.json.Decoder(Batch)
_DECODER = msgspec.json.Decoder(QuickBatch)


class Known:
    """Decodes messages of samples that resemble those before.

    A GPU's identity is the same bytes in each of its samples, and a sample's metrics are those of
    many others. Both are decoded and checked once: that halves the time a sample takes, and the
    memory. Values are finite, since JSON has no others.
    """

    def __init__(self) -> None:
        self._gpus: dict[bytes, Gpu] = {}
        self._shapes: set[tuple[str, ...]] = set()

    def samples_of(self, payload: bytes) -> list[Sample] | None:
        """The samples of a message; None when something in it must be looked at closely.

        Raises what msgspec raises for what cannot be read.
        """
        batch = _DECODER.decode(payload)
        if batch.schema != SCHEMA_VERSION or not batch.samples:
            return None
        gpus = self._gpus
        samples = [
            Sample(
                gpus.get(gpu := bytes(each.gpu)) or self._learn(gpu), each.timestamp, each.metrics
            )
            for each in batch.samples
        ]
        times = [each.timestamp for each in samples]
        shapes = {tuple(each.metrics) for each in samples}
        good = min(times) >= EARLIEST_MS and max(times) <= LATEST_MS
        return samples if good and (shapes <= self._shapes or self._learn_shapes(shapes)) else None

    def spooled(self, payload: bytes) -> list[Sample]:
        """The samples of a message that was good when it was spooled, whatever is good now."""
        try:
            samples = self.samples_of(payload)
        except msgspec.ValidationError:
            samples = None
        return samples or _WHOLE.decode(payload).samples

    def _learn(self, raw: bytes) -> Gpu:
        """Decode an identity; raises ValidationError for one that no sample may have."""
        gpu = _GPU.decode(raw)
        if problem := gpu_problem(gpu):
            raise msgspec.ValidationError(problem)
        if len(self._gpus) >= MOST_GPUS:
            self._gpus.clear()
        self._gpus[raw] = gpu
        return gpu

    def _learn_shapes(self, shapes: set[tuple[str, ...]]) -> bool:
        if any(map(names_problem, shapes)):
            return False
        if len(self._shapes) >= MOST_SHAPES:
            self._shapes.clear()
        self._shapes |= shapes
        return True
