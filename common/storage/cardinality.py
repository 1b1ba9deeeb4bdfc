"""A guard on how many different things may be stored: GPUs, metrics, labels and their values.

A source that puts a request id into a label, a time into a metric's name or a fresh uuid into
each sample would make the inventory grow without end. What can be kept without telling a lie is
kept: over the cap of a label its value becomes `OVERFLOW`, and the points stay their GPU's.
A GPU or metric over its cap is refused, since its points would be mixed with another's.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from common.models import Gpu, Sample
from common.storage.base import Store

OVERFLOW = "(overflow)"
PERIOD_SECONDS = 24 * 3600.0
"""A label's value that was not seen for one to two of these no longer counts."""
WORST = 10

TOO_MANY_GPUS = "too_many_gpus"
TOO_MANY_METRICS = "too_many_metric_names"

_PLACE = ("hostname", "gpu_id", "device")
_TEXTS = ("model", "namespace", "pod", "container")
_LABELS = "labels."


class Caps(msgspec.Struct, frozen=True):
    """How many of each there may be. ``label_values`` are those of one label."""

    gpus: int
    metrics: int
    labels: int
    label_values: int


class Refused(NamedTuple):
    """A sample that must not be stored, or a part of one, and why as a closed reason.

    ``at`` is the sample's place in what was given.
    """

    reason: str
    at: int
    sample: Sample


class Admitted(NamedTuple):
    """``samples`` may be stored, in the order they were given; ``places`` are where they stood."""

    samples: list[Sample]
    places: list[int]
    refused: list[Refused]


class LabelUse(msgspec.Struct, frozen=True):
    """How many values a label has, and how often one was replaced by `OVERFLOW`."""

    label: str
    values: int
    overflowed: int


class Report(msgspec.Struct, frozen=True):
    """What the guard has let through and what not, with the labels that have most values."""

    gpus: int
    gpus_refused: int
    metrics: int
    metrics_refused: int
    labels: int
    labels_dropped: int
    values_overflowed: int
    worst: list[LabelUse]


class Values:
    """The values a label had of late: in this period, and in the one before."""

    __slots__ = ("_cap", "_new", "_old", "overflowed")

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self._new: set[str] = set()
        self._old: set[str] = set()
        self.overflowed = 0

    def __len__(self) -> int:
        return len(self._new) + len(self._old)

    def admit(self, value: str) -> str:
        """Return the value, or `OVERFLOW` when it would be one too many."""
        if value in self._new or value == OVERFLOW:
            return value
        if value in self._old:
            self._old.discard(value)
        elif len(self) >= self._cap:
            self.overflowed += 1
            return OVERFLOW
        self._new.add(value)
        return value

    def turn(self) -> None:
        """Begin a period."""
        self._old, self._new = self._new, set()


class CardinalityGuard:
    """Stands before one writer of a store; not for two threads at once.

    GPUs and metrics are never forgotten, since a store does not forget them either: tell what
    it holds with `know`.
    """

    def __init__(self, caps: Caps) -> None:
        self._caps = caps
        self._metrics: set[str] = set()
        self._gpus: dict[str, tuple[Gpu, Gpu] | None] = {}
        self._labels = {name: Values(caps.label_values) for name in (*_PLACE, *_TEXTS)}
        self._refused: Counter[str] = Counter()
        self._labels_dropped = 0
        self._turn_at = 0.0

    def know(self, gpu_ids: Iterable[str], metrics: Iterable[str]) -> None:
        """Let pass what is stored already, whatever the caps."""
        for gpu_id in gpu_ids:
            self._gpus.setdefault(gpu_id)
        self._metrics.update(metrics)

    def know_all_of(self, store: Store) -> None:
        """Let pass what a store holds; asks it, and so may raise StoreUnavailable."""
        self.know(store.gpu_ids(), store.metrics())

    def admit(self, samples: Sequence[Sample], now: float) -> Admitted:
        """Sort out samples at monotonic time ``now``; those that pass may be changed in place."""
        if now >= self._turn_at:
            self._turn(now)
        passed: list[Sample] = []
        places: list[int] = []
        refused: list[Refused] = []
        for at, sample in enumerate(samples):
            gpu = self._take_gpu(sample.gpu)
            if gpu is None:
                refused.append(Refused(TOO_MANY_GPUS, at, sample))
                continue
            sample.gpu = gpu
            if not sample.metrics.keys() <= self._metrics:
                refused += self._take_metrics(at, sample)
            if sample.metrics:
                passed.append(sample)
                places.append(at)
        self._refused.update(each.reason for each in refused)
        return Admitted(passed, places, refused)

    def report(self) -> Report:
        """Return the state of all caps."""
        uses = [LabelUse(name, len(v), v.overflowed) for name, v in self._labels.items()]
        uses.sort(key=lambda use: (-use.overflowed, -use.values, use.label))
        return Report(
            gpus=len(self._gpus),
            gpus_refused=self._refused[TOO_MANY_GPUS],
            metrics=len(self._metrics),
            metrics_refused=self._refused[TOO_MANY_METRICS],
            labels=len(self._labels) - len(_PLACE) - len(_TEXTS),
            labels_dropped=self._labels_dropped,
            values_overflowed=sum(use.overflowed for use in uses),
            worst=uses[:WORST],
        )

    def _turn(self, now: float) -> None:
        self._turn_at = now + PERIOD_SECONDS
        for values in self._labels.values():
            values.turn()
        # each GPU is looked at anew, so that values still in use count in this period too
        self._gpus = dict.fromkeys(self._gpus)

    def _take_metrics(self, at: int, sample: Sample) -> list[Refused]:
        """Take in new names; what is over the cap is taken out of the sample and refused."""
        over = {}
        for name in sample.metrics.keys() - self._metrics:
            if len(self._metrics) < self._caps.metrics:
                self._metrics.add(name)
            else:
                over[name] = sample.metrics.pop(name)
        part = Sample(sample.gpu, sample.timestamp, over)
        return [Refused(TOO_MANY_METRICS, at, part)] if over else []

    def _take_gpu(self, gpu: Gpu) -> Gpu | None:
        """Return the GPU as it may be stored; None when it is one too many."""
        gpu_id = gpu.id
        known = self._gpus.get(gpu_id)
        if known is not None and (known[0] is gpu or known[0] == gpu):
            return known[1]
        if gpu_id not in self._gpus and len(self._gpus) >= self._caps.gpus:
            return None
        admitted = self._clean(gpu)
        self._gpus[gpu_id] = (gpu, admitted)
        return admitted

    def _clean(self, gpu: Gpu) -> Gpu:
        """Return the GPU with the values that its labels may have."""
        names = (*_PLACE, *_TEXTS) if gpu.uuid else _TEXTS  # without a uuid its place is its id
        texts = {name: self._admit(name, getattr(gpu, name)) for name in names}
        labels = {
            name: self._admit(_LABELS + name, value)
            for name, value in gpu.labels.items()
            if self._has_room(_LABELS + name)
        }
        return msgspec.structs.replace(gpu, labels=labels, **texts)

    def _admit(self, label: str, value: str) -> str:
        return self._labels[label].admit(value) if value else value

    def _has_room(self, label: str) -> bool:
        """Whether a GPU may have the label; one that is new is taken in."""
        if label in self._labels:
            return True
        if len(self._labels) - len(_PLACE) - len(_TEXTS) >= self._caps.labels:
            self._labels_dropped += 1
            return False
        self._labels[label] = Values(self._caps.label_values)
        return True
