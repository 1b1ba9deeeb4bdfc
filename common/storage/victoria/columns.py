"""Samples as columns: what of them is there already, and what is new."""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

from common.models import EARLIEST_MS, LATEST_MS, Sample
from common.storage.victoria.lines import Column
from common.storage.victoria.points import Revisions

APART_MS = 3_600_000
"""Times that lie further apart are looked up apart."""

GpuColumns = dict[tuple[str, int], Column]
"""By metric, and by how often its points have been written with another value before."""


def check_times(samples: Sequence[Sample]) -> None:
    """Raise ValueError for a time that no sample may have."""
    for sample in samples:
        if not EARLIEST_MS <= sample.timestamp <= LATEST_MS:
            raise ValueError(f"a sample's time is out of bounds: {sample.timestamp}")


def columns_of(samples: Sequence[Sample]) -> dict[str, GpuColumns]:
    """Samples by GPU and metric; of a moment that comes twice the later value stands."""
    found: dict[str, GpuColumns] = defaultdict(dict)
    for sample in samples:
        columns, at = found[sample.gpu.uuid or sample.gpu.id], sample.timestamp
        for metric, value in sample.metrics.items():
            column = columns.get((metric, 0))
            if column is None:
                column = columns[metric, 0] = {}
            column[at] = value
    return found


def unwritten(columns: GpuColumns, there: dict[str, list[Revisions]]) -> GpuColumns:
    """What of one GPU's points is not there yet, by the revision that it is to have."""
    found: GpuColumns = defaultdict(dict)
    for (metric, _), column in columns.items():
        known = there.get(metric, ())
        for at, value in column.items():
            stands: tuple[int, float] | None = None
            for revisions in known:
                for revision, values in revisions.items():
                    if at in values and (stands is None or revision > stands[0]):
                        stands = revision, values[at]
            if stands is None:
                found[metric, 0][at] = value
            elif not is_same(stands[1], value):
                found[metric, stands[0] + 1][at] = value
    return dict(found)


def is_same(one: float, other: float) -> bool:
    """Whether two values are the same to the last bit."""
    return one == other and math.copysign(1.0, one) == math.copysign(1.0, other)


def stretches(times: set[int]) -> Iterator[tuple[int, int]]:
    """The ranges that times lie in, none of them far from the next."""
    start = end = None
    for at in sorted(times):
        if start is None or end is None:
            start = at
        elif at - end > APART_MS:
            yield start, end
            start = at
        end = at
    if start is not None and end is not None:
        yield start, end
