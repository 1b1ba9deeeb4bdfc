"""Prometheus text as dcgm-exporter writes it, into samples.

The format: https://github.com/prometheus/docs/blob/main/docs/instrumenting/exposition_formats.md.
Read here are series that name a GPU; others are passed over. A target repeats its label texts at
each scrape, so that each is parsed once and a line costs a lookup and a number.
"""

import math
import re
from typing import NamedTuple

from common.models import MAX_METRICS, MAX_TEXT, Gpu, Sample
from streamer.sources.fields import REMEMBERED
from streamer.sources.rejects import Reason, Rejects, RowError

_LABEL = re.compile(r'\s*([A-Za-z_][A-Za-z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)')
_NAME = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*")
_ESCAPED = re.compile(r"\\(.)")
_ESCAPES = {"n": "\n"}
MAX_LABELS = 64
# The exporter's label, folded to lower case, to the field of common.models.Gpu that it fills.
GPU_FIELDS = {
    "uuid": "uuid",
    "hostname": "hostname",
    "gpu": "gpu_id",
    "device": "device",
    "modelname": "model",
    "namespace": "namespace",
    "pod": "pod",
    "container": "container",
}
MIG_ID = "GPU_I_ID"
BAD_LABELS: Reason = "bad_labels"


class Labels(NamedTuple):
    """One text of labels: what it says, and the GPU or MIG instance it names, if any."""

    values: dict[str, str]
    gpu: Gpu | None


class Answer(NamedTuple):
    """One answer of a target; ``rows`` counts the lines of GPUs and those that were not taken."""

    samples: list[Sample]
    rows: int
    duplicates: int
    passed_over: int
    rejects: Rejects

    @property
    def is_garbage(self) -> bool:
        """Whether nothing in it was understood."""
        return not self.samples and not self.passed_over and self.rejects.total > 0


class Reading:
    """The samples of one answer as they come together; the first series of a GPU names it."""

    def __init__(self, moment: int) -> None:
        self.duplicates = 0
        self.samples: list[Sample] = []
        self._moment = moment
        self._open: dict[str, tuple[Labels, Sample]] = {}

    def first_of(self, gpu: Gpu, labels: Labels) -> Labels:
        """Return the labels of the GPU's first series, which these may be."""
        found = self._open.get(gpu.id)
        return (self._begin(gpu, labels) if found is None else found)[0]

    def add(self, gpu: Gpu, metric: str, value: float) -> None:
        """Add a point to the GPU's sample."""
        first, sample = self._open[gpu.id]
        if metric in sample.metrics:
            self.duplicates += 1
        elif len(sample.metrics) == MAX_METRICS:
            sample = self._begin(sample.gpu, first)[1]
        sample.metrics[metric] = value

    def _begin(self, gpu: Gpu, labels: Labels) -> tuple[Labels, Sample]:
        sample = Sample(gpu, self._moment, {})
        self.samples.append(sample)
        entry = self._open[gpu.id] = (labels, sample)
        return entry


class ExpositionReader:
    """Reads the answers of one target; ``host`` is that of GPUs that name none.

    A series whose labels differ from those of its GPU's first series is another metric: the
    difference becomes part of its name, ``DCGM_EXP_XID_ERRORS_COUNT{xid="31"}``.
    """

    def __init__(self, host: str) -> None:
        self._host = host
        self._labels: dict[str, Labels] = {}
        self._names: set[str] = set()

    def read(self, text: str, moment: int) -> Answer:
        """Return what an answer holds, its samples stamped with ``moment``."""
        reading, rejects = Reading(moment), Rejects()
        rows = passed_over = 0
        for number, line in enumerate(text.split("\n"), 1):
            if not line or line[0] == "#" or line.isspace():
                continue
            try:
                if self._take(line, reading):
                    rows += 1
                else:
                    passed_over += 1
            except RowError as error:
                rows += 1
                rejects.add(error.reason, number)
        samples = [sample for sample in reading.samples if sample.metrics]
        return Answer(samples, rows, reading.duplicates, passed_over, rejects)

    def _take(self, line: str, reading: Reading) -> bool:
        """Take one line, and say whether it is of a GPU; raises RowError."""
        name, labels, tail = cut(line)
        self._check_name(name)
        value = parse_number(tail)
        found = self._labels.get(labels) or self._learn(labels)
        if found.gpu is None:
            return False
        if not math.isfinite(value):
            raise RowError("not_finite")
        first = reading.first_of(found.gpu, found)
        metric = name if first is found else name + suffix_of(first, found)
        if len(metric) > MAX_TEXT:
            raise RowError("text_too_long")
        reading.add(found.gpu, metric, value)
        return True

    def _learn(self, text: str) -> Labels:
        values = parse_labels(text)
        if len(self._labels) >= REMEMBERED:
            self._labels.clear()
        labels = self._labels[text] = Labels(values, make_gpu(values, self._host))
        return labels

    def _check_name(self, name: str) -> None:
        if name in self._names:
            return
        if not _NAME.fullmatch(name) or len(name) > MAX_TEXT:
            raise RowError("no_metric")
        if len(self._names) >= REMEMBERED:
            self._names.clear()
        self._names.add(name)


def cut(line: str) -> tuple[str, str, str]:
    """Cut a line into name, labels and what follows them; raises RowError."""
    brace = line.find("{")
    if brace < 0:
        name, *tail = line.split(None, 1)
        return name, "", "".join(tail)
    end = line.rfind("}")
    if end < brace:
        raise RowError(BAD_LABELS)
    return line[:brace].strip(), line[brace + 1 : end], line[end + 1 :]


def parse_number(tail: str) -> float:
    """Read a value, behind which a timestamp may stand; raises RowError."""
    parts = tail.split()
    if not 1 <= len(parts) <= 2 or "_" in tail:
        raise RowError("bad_value")
    try:
        return float(parts[0])
    except ValueError:
        raise RowError("bad_value") from None


def parse_labels(text: str) -> dict[str, str]:
    """Read ``name="value",...``; raises RowError."""
    values: dict[str, str] = {}
    at, end = 0, len(text.rstrip())
    while at < end:
        found = _LABEL.match(text, at)
        if found is None:
            raise RowError(BAD_LABELS)
        at = found.end()
        name, value = found[1], _ESCAPED.sub(lambda m: _ESCAPES.get(m[1], m[1]), found[2])
        if len(name) > MAX_TEXT or len(value) > MAX_TEXT or len(values) >= MAX_LABELS:
            raise RowError("text_too_long")
        values[name] = value
    return values


def make_gpu(values: dict[str, str], host: str) -> Gpu | None:
    """Return the GPU that labels name, or its MIG instance; None when they name none."""
    fields = {field: values[name] for name, field in named_fields(values)}
    if not fields.get("uuid") and not (fields.get("gpu_id") or fields.get("device")):
        return None
    fields["hostname"] = fields.get("hostname") or host
    instance = values.get(MIG_ID)
    if instance:
        key = "uuid" if fields.get("uuid") else "gpu_id"
        fields[key] = f"{fields.get(key, '')}-mig-{instance}"
    known = {name for name, _ in named_fields(values)}
    labels = {name: value for name, value in values.items() if value and name not in known}
    return Gpu(**fields, labels=labels)


def named_fields(values: dict[str, str]) -> list[tuple[str, str]]:
    """Pairs of a label that is there and the field it fills."""
    folded = ((name, GPU_FIELDS.get(name.casefold())) for name in values)
    return [(name, field) for name, field in folded if field is not None]


def suffix_of(first: Labels, other: Labels) -> str:
    """What tells a series from the first of its GPU, as labels behind its name."""
    differing = {
        name: value for name, value in other.values.items() if first.values.get(name) != value
    }
    if not differing:
        return ""
    return "{" + ",".join(f'{name}="{value}"' for name, value in sorted(differing.items())) + "}"
