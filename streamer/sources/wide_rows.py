"""Rows of a wide CSV into the assembler."""

from collections.abc import Sequence
from functools import partial

from common.labels import MAX_LABELS, instance_of
from common.models import MAX_TEXT, Gpu
from streamer.assemble import Assembler, KnownGpu
from streamer.sources.arrival import Untimed
from streamer.sources.base import Progress
from streamer.sources.cells import is_missing
from streamer.sources.fields import REMEMBERED, Remembered, parse_moment, parse_text
from streamer.sources.identity import Key, picker
from streamer.sources.known import GPU_FIELDS
from streamer.sources.layout import CsvSettings, Layout, Wide
from streamer.sources.lines import LineBlock
from streamer.sources.rejects import RowError
from streamer.sources.split import QUOTE, check_bytes, check_width, split_strictly

ONLY_GPU = "0"
REMEMBERED_CELLS = 1 << 17  # over all columns


class WideReader:
    """Makes a sample of the good values of each row and counts the others by reason.

    What is wrong with the time or the GPU costs the row, what is wrong with a value only that.
    """

    def __init__(
        self,
        layout: Layout,
        wide: Wide,
        settings: CsvSettings,
        assembler: Assembler,
        progress: Progress,
        untimed: Untimed,
    ) -> None:
        self._wide = wide
        self._header = layout.header.lower()
        self._assembler = assembler
        self._progress = progress
        self._untimed = untimed
        self._gpus = WideIdentities(wide, layout.hostname)
        self._moments = Remembered(partial(parse_moment, zone=settings.zone))
        most = max(256, REMEMBERED_CELLS // max(1, len(wide.cells)))
        self._cells = [
            (cell.index, cell.metric.name, Remembered(cell.parse, most)) for cell in wide.cells
        ]

    def read(self, block: LineBlock) -> None:
        """Read the rows of a block; blank lines are no rows."""
        for number, line in enumerate(block.lines, block.first):
            if not line or line.isspace():
                continue
            self._progress.rows_read += 1
            try:
                if not block.clean:
                    check_bytes(line)
                self._take(line, number)
            except RowError as error:
                repeated = line.lower() == self._header
                self._refuse("repeated_header" if repeated else error.reason, number)

    def _take(self, line: bytes, number: int) -> None:
        fields = self._split(line)
        known = self._gpus.find(fields)
        at = self._wide.timestamp
        moment = self._untimed.moment(number) if at is None else self._moments[fields[at]]
        values = self._values(fields, number)
        if values:
            self._progress.values_read += len(values)
            self._assembler.pass_on(known, moment, values)

    def _values(self, fields: Sequence[bytes], number: int) -> dict[str, float]:
        values = {}
        for index, metric, remembered in self._cells:
            try:
                value = remembered[fields[index]]
            except RowError as error:
                self._refuse(error.reason, number)
                continue
            if value is None:
                self._progress.missing += 1
            else:
                values[metric] = value
        return values

    def _split(self, line: bytes) -> list[bytes]:
        wide = self._wide
        if QUOTE in line:
            fields = split_strictly(line, wide.delimiter, spaces=True)
        else:
            fields = line.split(wide.delimiter)
        return check_width(fields, wide.width)

    def _refuse(self, reason: str, number: int) -> None:
        self._progress.values_read += 1
        self._progress.rejects.add(reason, number)  # type: ignore[arg-type] # repeated_header is one


class WideIdentities:
    """Finds the GPU of a row by the columns that name it, and by its labels."""

    def __init__(self, wide: Wide, hostname: str) -> None:
        self._wide = wide
        self._hostname = hostname
        self._has_host = any(field == "hostname" for _, field in wide.identity)
        self._pick = picker([index for index, _ in (*wide.identity, *wide.labels)])
        self._known: dict[Key, KnownGpu] = {}

    def find(self, fields: Sequence[bytes]) -> KnownGpu:
        """Return the GPU of a row; raises RowError for one that cannot be told."""
        key = self._pick(fields)
        return self._known.get(key) or self._meet(key)

    def _meet(self, key: Key) -> KnownGpu:
        wide = self._wide
        texts = ["" if is_missing(text.strip()) else parse_text(text) for text in key]
        split = len(wide.identity)
        named = dict(zip((field for _, field in wide.identity), texts[:split], strict=True))
        labels = {
            name[:MAX_TEXT]: text
            for (_, name), text in zip(wide.labels, texts[split:], strict=True)
            if text
        }
        gpu = Gpu(**named, labels=dict(list(labels.items())[:MAX_LABELS]))
        gpu = instance_of(self._complete(gpu, named))
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        known = self._known[key] = KnownGpu(gpu.id, gpu)
        return known

    def _complete(self, gpu: Gpu, named: dict[str, str]) -> Gpu:
        """Give a GPU without uuid the host and the number that the file leaves open."""
        if gpu.uuid:
            return gpu
        hostname = gpu.hostname if self._has_host else self._hostname
        columns = {field for _, field in self._wide.identity}
        index = gpu.gpu_id if columns & GPU_FIELDS else ONLY_GPU
        if not hostname or not (index or gpu.device):
            raise RowError("no_identity")
        return Gpu(**{**named, "hostname": hostname, "gpu_id": index}, labels=gpu.labels)
