"""Samples as lines of VictoriaMetrics' own import, by the layout that docs/stores.md draws.

A line is one series with some of its points: ``{"metric": {}, "values": [], "timestamps": []}``.
A metric's series is named as the metric; series whose names begin with ``_`` are ours.
"""

from collections.abc import Iterable, Iterator, Mapping

import msgspec
import xxhash

from common.models import Gpu
from common.storage.influx.lines import IDENTITY, LABELS, encode_name, encode_text
from common.storage.victoria.values import HIGH, LOW, plain, plain_text, split, wide

SEEN = "_seen"
INFO = "_info"
LONG_LABELS = "_labels"
FIRST_SEEN = "_first_seen"
BITS = "_bits"
OWN = (SEEN, INFO, LONG_LABELS, FIRST_SEEN)

NAME, DB, GPU = "__name__", "db", "gpu"
METRIC, HALF, WIDE, REVISION = "metric", "half", "wide", "rev"
OF, PART, TEXT = "of", "part", "text"

MAX_LABEL_BYTES = 4_000
"""Of a label's value: what servers of every release keep whole."""
MAX_HEADS = 100_000

_encode = msgspec.json.encode

Column = dict[int, float]
"""Values by their times."""
Columns = Mapping[tuple[str, int], Column]
"""By metric, and by how often its points have been written with another value before."""


class Lines:
    """Makes lines; remembers the parts that come again and again."""

    def __init__(self, db: str) -> None:
        self._db = db
        self._heads: dict[tuple[str, str, int], bytes] = {}

    def points(self, gpu_id: str, columns: Columns) -> Iterator[bytes]:
        """Yield the points of one GPU, and when it was seen; ``columns`` hold at least one."""
        times: list[int] = []
        encoded = b""
        for (metric, revision), column in columns.items():
            if list(column) != times:
                times = list(column)
                encoded = _encode(times)
            values = plain_text(list(column.values()))
            if values is None:
                yield from self._mixed(gpu_id, metric, revision, column)
            else:
                yield _line(self._head(gpu_id, metric, revision), values, encoded)
        seen = _encode(sorted(set[int]().union(*columns.values())))
        yield _line(self._head(gpu_id, SEEN, 0), seen, seen)

    def identity(self, gpu_id: str, gpu: Gpu, first_seen: int, at: int) -> bytes:
        """The lines that say who a GPU was at a moment; what is not known is left out."""
        own = {DB: self._db, GPU: encode_name(gpu_id)}
        known = {name: encode_text(text) for name in IDENTITY if (text := getattr(gpu, name))}
        first = _line(_encode({NAME: FIRST_SEEN, **own}), b"[%d]" % first_seen, b"[%d]" % at)
        labels = ""
        if gpu.labels:
            labels = encode_text(msgspec.json.encode(gpu.labels, order="deterministic").decode())
        if len(labels) * 4 <= MAX_LABEL_BYTES or len(labels.encode()) <= MAX_LABEL_BYTES:
            known |= {LABELS: labels} if labels else {}
            parts: list[dict[str, str]] = []
        else:
            parts = list(_parts(labels))
        told = [{NAME: INFO, **own, **known}]
        told += [{NAME: LONG_LABELS, **own, **part} for part in parts]
        now = b"[%d]" % at
        return b"\n".join([first, *(_line(_encode(each), now, now) for each in told)])

    def _mixed(self, gpu_id: str, metric: str, revision: int, column: Column) -> Iterator[bytes]:
        """Yield the points of one metric, each in the form that keeps it whole."""
        own = self._labels(gpu_id, metric, revision)
        bits = {**own, NAME: BITS, METRIC: own[NAME]}
        forms: dict[str, tuple[dict[str, str], list[bytes], list[int]]] = {
            "": (own, [], []),
            WIDE: ({**own, WIDE: "1"}, [], []),
            HIGH: ({**bits, HALF: HIGH}, [], []),
            LOW: ({**bits, HALF: LOW}, [], []),
        }
        for at, value in column.items():
            for form, text in _forms(float(value)):
                forms[form][1].append(text)
                forms[form][2].append(at)
        for labels, texts, times in forms.values():
            if texts:
                yield _line(_encode(labels), b"[%b]" % b",".join(texts), _encode(times))

    def _head(self, gpu_id: str, metric: str, revision: int) -> bytes:
        head = self._heads.get((gpu_id, metric, revision))
        if head is None:
            if len(self._heads) >= MAX_HEADS:
                self._heads.clear()
            head = _encode(self._labels(gpu_id, metric, revision))
            self._heads[gpu_id, metric, revision] = head
        return head

    def _labels(self, gpu_id: str, metric: str, revision: int) -> dict[str, str]:
        name = metric if metric == SEEN else encode_name(metric)
        labels = {NAME: name, DB: self._db, GPU: encode_name(gpu_id)}
        return {**labels, REVISION: str(revision)} if revision else labels


def _forms(value: float) -> Iterable[tuple[str, bytes]]:
    if (text := plain(value)) is not None:
        return [("", text)]
    if (text := wide(value)) is not None:
        return [(WIDE, text)]
    high, low = split(value)
    return [(HIGH, b"%d" % high), (LOW, b"%d" % low)]


def _parts(labels: str) -> Iterator[dict[str, str]]:
    """Yield a text that is too long for one label in parts; ``of`` is of which text they are."""
    whole = text_id(labels)
    size = MAX_LABEL_BYTES // 4  # a character has at most so many bytes
    for number, at in enumerate(range(0, len(labels), size)):
        yield {OF: whole, PART: str(number), TEXT: labels[at : at + size]}


def text_id(text: str) -> str:
    """What tells a text from others."""
    return xxhash.xxh3_64_hexdigest(text.encode())


def _line(head: bytes, values: bytes, times: bytes) -> bytes:
    return b'{"metric":%b,"values":%b,"timestamps":%b}' % (head, values, times)
