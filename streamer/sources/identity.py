"""Who a row speaks of: built once per GPU, then looked up."""

import re
from collections.abc import Callable, Sequence
from operator import itemgetter

import msgspec

from common.models import MAX_TEXT, Gpu
from streamer.assemble import KnownGpu
from streamer.sources.columns import GPU_FIELDS, Columns
from streamer.sources.fields import REMEMBERED, parse_text
from streamer.sources.rejects import RowError
from streamer.sources.split import split_strictly

MAX_LABELS = 64
Key = tuple[bytes, ...]

MIG_ID = "GPU_I_ID"  # the exporter's name for the number of a MIG instance

_MIG = re.compile(rb'GPU_I_ID="{1,2}([^"]+)"')
_LABEL = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)="([^"]*)"')
# What labels_raw repeats of the other columns, and the metric's own name.
_NOT_LABELS = {*GPU_FIELDS, "gpu", "__name__"}


class Identities:
    """Finds the GPU of a row by the fields that name it.

    ``labels_raw`` is read on the first row of a GPU or MIG instance alone; it forgets all GPUs at
    ``REMEMBERED``. ``hostname`` is that of rows in a file that has no column for it.
    """

    def __init__(self, columns: Columns, hostname: str = "") -> None:
        self._columns = columns
        self._hostname = hostname
        self._pick = picker([i for i, _ in (*columns.identity, *columns.extra)])
        self._known: dict[Key, KnownGpu] = {}

    def find(self, fields: Sequence[bytes], line: bytes) -> KnownGpu:
        """Return the GPU that ``fields`` name; raises RowError for a GPU that cannot be told."""
        key = self._pick(fields)
        raw = self._columns.labels_raw
        if raw is not None and (instance := _MIG.search(fields[raw])):
            key = (*key, instance[1])
        return self._known.get(key) or self._meet(key, line)

    def _meet(self, key: Key, line: bytes) -> KnownGpu:
        gpu = self._make_gpu(split_strictly(line, self._columns.delimiter))
        if not gpu.uuid and not (gpu.hostname and (gpu.gpu_id or gpu.device)):
            raise RowError("no_identity")
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        known = self._known[key] = KnownGpu(gpu.id, gpu)
        return known

    def _make_gpu(self, fields: Sequence[bytes]) -> Gpu:
        texts = {name: parse_text(fields[i]) for i, name in self._columns.identity}
        texts.setdefault("hostname", self._hostname)
        extra = {name: text for i, name in self._columns.extra if (text := parse_text(fields[i]))}
        raw = self._columns.labels_raw
        labels = {} if raw is None else parse_labels(fields[raw].decode())
        return instance_of(Gpu(**texts, labels={**labels, **extra}))


def instance_of(gpu: Gpu) -> Gpu:
    """Return the MIG instance that the labels name, which is a GPU of its own, or the GPU."""
    instance = gpu.labels.get(MIG_ID)
    if not instance:
        return gpu
    field = "uuid" if gpu.uuid else "gpu_id"
    return msgspec.structs.replace(gpu, **{field: f"{getattr(gpu, field)}-mig-{instance}"})


def picker(indexes: Sequence[int]) -> Callable[[Sequence[bytes]], Key]:
    """Return what takes these fields out of a row as a tuple."""
    if len(indexes) > 1:
        return itemgetter(*indexes)
    return lambda fields: tuple(fields[i] for i in indexes)


def parse_labels(text: str) -> dict[str, str]:
    """Read ``name="value",...``, leaving out what the columns say; at most ``MAX_LABELS``."""
    found = {
        name: value
        for name, value in _LABEL.findall(text)
        if value and name.casefold() not in _NOT_LABELS and len(name) <= MAX_TEXT >= len(value)
    }
    return dict(list(found.items())[:MAX_LABELS])
