"""Who a row speaks of: built once per GPU, then looked up."""

import re
from collections.abc import Callable, Sequence
from operator import itemgetter

from common.labels import instance_of, parse_labels
from common.models import Gpu
from streamer.assemble import KnownGpu
from streamer.sources.columns import Columns
from streamer.sources.fields import REMEMBERED, parse_text
from streamer.sources.rejects import RowError
from streamer.sources.split import split_strictly

Key = tuple[bytes, ...]

_MIG = re.compile(rb'GPU_I_ID="{1,2}([^"]+)"')


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


def picker(indexes: Sequence[int]) -> Callable[[Sequence[bytes]], Key]:
    """Return what takes these fields out of a row as a tuple."""
    if len(indexes) > 1:
        return itemgetter(*indexes)
    return lambda fields: tuple(fields[i] for i in indexes)
