"""The header of a DCGM CSV: which column is what."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from common.models import MAX_TEXT
from streamer.sources.base import SourceError
from streamer.sources.rejects import RowError
from streamer.sources.split import check_bytes, split_strictly

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


def read_header(line: bytes) -> Columns:
    """Understand a header line; raises SourceError that names what is wrong."""
    try:
        check_bytes(line)
        names = [name.decode().strip() for name in split_strictly(line)]
    except RowError as error:
        raise SourceError(f"the header, line 1, cannot be read: {error.reason}") from None
    folded = [name.casefold() for name in names]
    check_names(folded)
    return Columns(
        width=len(names),
        timestamp=folded.index("timestamp"),
        metric=folded.index("metric_name"),
        value=folded.index("value"),
        labels_raw=folded.index(LABELS_RAW) if LABELS_RAW in folded else None,
        identity=tuple((folded.index(c), f) for c, f in GPU_FIELDS.items() if c in folded),
        extra=tuple((i, n) for i, n in enumerate(names) if n and folded[i] not in _KNOWN),
    )


def check_names(folded: Sequence[str]) -> None:
    """Raise SourceError unless these columns are enough, and each is there once."""
    if len(folded) > MAX_COLUMNS:
        raise SourceError(f"the header has {len(folded)} columns; at most {MAX_COLUMNS} are read")
    too_long = next((name for name in folded if len(name) > MAX_TEXT), None)
    if too_long is not None:
        raise SourceError(f"a column name has {len(too_long)} characters; at most {MAX_TEXT}")
    twice = [name for name, count in Counter(folded).items() if name and count > 1]
    if twice:
        raise SourceError(f"the header names these columns more than once: {', '.join(twice)}")
    missing = missing_columns(folded)
    if missing:
        found = ", ".join(folded)[:MAX_TEXT]
        raise SourceError(f"the header lacks {', '.join(missing)}; it has: {found}")


def missing_columns(folded: Sequence[str]) -> list[str]:
    """Name the columns that a row cannot do without and that are not there."""
    missing = [name for name in NEEDED if name not in folded]
    indexed = "gpu_id" in folded or "device" in folded
    if "uuid" not in folded and not ("hostname" in folded and indexed):
        missing.append("uuid (or hostname with gpu_id or device)")
    return missing
