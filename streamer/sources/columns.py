"""The header of a DCGM CSV: which column is what."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from common.models import MAX_TEXT
from streamer.sources.base import SourceError

MAX_COLUMNS = 256
NEEDED = ("timestamp", "metric_name", "value")
# The file's column, folded to lower case, to the field of common.models.Gpu that it fills.
GPU_FIELDS = {
    "uuid": "uuid",
    "hostname": "hostname",
    "gpu_id": "gpu_id",
    "device": "device",
    "modelname": "model",
    "namespace": "namespace",
    "pod": "pod",
    "container": "container",
}
LABELS_RAW = "labels_raw"
OTHER_WORDS = {
    "metric": "metric_name",
    "field": "metric_name",
    "time": "timestamp",
    "datetime": "timestamp",
    "ts": "timestamp",
    "gpu_uuid": "uuid",
    "host": "hostname",
    "node": "hostname",
    "gpu": "gpu_id",
    "gpu_index": "gpu_id",
    "index": "gpu_id",
    "model": "modelname",
    "gpu_name": "modelname",
}
_KNOWN = {*NEEDED, *GPU_FIELDS, LABELS_RAW}


class Columns(NamedTuple):
    """Where each thing stands in a row of ``width`` fields.

    ``identity`` holds the columns that together say which GPU a row is of, as (index, field of
    Gpu), and ``extra`` those that become labels, as (index, label name).
    """

    width: int
    timestamp: int
    metric: int
    value: int
    labels_raw: int | None
    identity: tuple[tuple[int, str], ...]
    extra: tuple[tuple[int, str], ...]
    delimiter: bytes = b","


def is_long(names: Sequence[str]) -> bool:
    """Whether these are columns of one metric a row."""
    return {"metric_name", "value"} <= set(long_names(names))


def long_names(names: Sequence[str]) -> list[str]:
    """Fold names to lower case, and other words for a column to the exporter's, the first of each.

    A column that has the exporter's own name is preferred to one that has another word for it.
    """
    folded = [name.casefold() for name in names]
    for index, name in enumerate(folded):
        word = OTHER_WORDS.get(name)
        if word and word not in folded:
            folded[index] = word
    return folded


def long_columns(names: Sequence[str], delimiter: bytes) -> Columns:
    """Understand the columns of a long CSV; raises SourceError that names what is wrong."""
    folded = long_names(names)
    missing = missing_columns(folded)
    if missing:
        found = ", ".join(folded)[:MAX_TEXT]
        raise SourceError(f"the header lacks {', '.join(missing)}; it has: {found}")
    return Columns(
        width=len(names),
        timestamp=folded.index("timestamp"),
        metric=folded.index("metric_name"),
        value=folded.index("value"),
        labels_raw=folded.index(LABELS_RAW) if LABELS_RAW in folded else None,
        identity=tuple((folded.index(c), f) for c, f in GPU_FIELDS.items() if c in folded),
        extra=tuple((i, n) for i, n in enumerate(names) if n and folded[i] not in _KNOWN),
        delimiter=delimiter,
    )


def check_names(names: Sequence[str]) -> None:
    """Raise SourceError when there are too many columns, too long names, or one name twice."""
    if len(names) > MAX_COLUMNS:
        raise SourceError(f"the header has {len(names)} columns; at most {MAX_COLUMNS} are read")
    too_long = next((name for name in names if len(name) > MAX_TEXT), None)
    if too_long is not None:
        raise SourceError(f"a column name has {len(too_long)} characters; at most {MAX_TEXT}")
    counts = Counter(name.casefold() for name in names)
    twice = [name for name, count in counts.items() if name and count > 1]
    if twice:
        raise SourceError(f"the header names these columns more than once: {', '.join(twice)}")


def missing_columns(folded: Sequence[str]) -> list[str]:
    """Name the columns that a row cannot do without and that are not there."""
    missing = [name for name in NEEDED if name not in folded]
    if not {"uuid", "gpu_id", "device"} & set(folded):
        missing.append("uuid (or gpu_id or device)")
    return missing
