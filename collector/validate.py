"""Which samples of a message may be stored, and why the others may not."""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from collector.known import Known
from common.models import MAX_TEXT, SCHEMA_VERSION, Batch, Gpu, Sample, sample_problem

PART_BYTES = 1 << 20

_DECODER = msgspec.json.Decoder(Batch)
_SAMPLE = msgspec.json.Decoder(Sample)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_OF_VALUES = ("not_finite", "bad_metric_name")


class Reject(NamedTuple):
    """Why something may not be stored: a reason from a closed set and a word on it.

    ``content`` is a message: the whole one that came, or one of its samples of this reason.
    ``points`` counts what cannot be read at all, a message or a sample, as one.
    """

    reason: str
    detail: str
    points: int
    content: bytes

    @property
    def words(self) -> str:
        """Reason and detail, for people."""
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


class Verdict(NamedTuple):
    """What became of one message: ``payload`` holds the good samples alone, empty if none.

    It is one line: the spool keeps a payload a line.
    """

    payload: bytes
    samples: list[Sample]
    rejects: list[Reject]


class Broken(NamedTuple):
    """A sample, or what of it may not be stored, as JSON."""

    reason: str
    detail: str
    points: int
    content: bytes


class LooseBatch(msgspec.Struct):
    """A batch whose samples are looked at one by one."""

    batch_id: str
    source: str
    collected_at: int
    samples: list[msgspec.Raw]
    schema: int = SCHEMA_VERSION


class LooseSample(msgspec.Struct):
    """A sample whose values are looked at one by one."""

    gpu: Gpu
    timestamp: int
    metrics: dict[str, msgspec.Raw]


def examine(payload: bytes, known: Known) -> Verdict:
    """Decode a message; a broken sample or value never takes its neighbours with it."""
    try:
        samples = known.samples_of(payload)
        if samples and b"\n" not in payload:
            return Verdict(payload, samples, [])
        batch = _DECODER.decode(payload)
    except _UNREADABLE:
        return examine_loosely(payload)
    if batch.schema != SCHEMA_VERSION:
        return wrong_schema(batch.schema, payload)
    return sort_out(batch, [], [])


def examine_loosely(payload: bytes) -> Verdict:
    """Decode sample by sample what did not decode as a whole."""
    try:
        loose = msgspec.json.decode(payload, type=LooseBatch)
    except msgspec.ValidationError as error:
        return rejected("bad_batch", str(error), payload)
    except _UNREADABLE as error:
        return rejected("bad_json", str(error), payload)
    if loose.schema != SCHEMA_VERSION:
        return wrong_schema(loose.schema, payload)
    batch = Batch(loose.batch_id, loose.source, loose.collected_at, [])
    broken: list[Broken] = []
    for raw in loose.samples:
        try:
            batch.samples.append(_SAMPLE.decode(raw))
        except _UNREADABLE as error:
            good, bad = sort_values(bytes(raw), str(error))
            batch.samples += good
            broken.append(bad)
    return sort_out(batch, broken, [])


def sort_values(raw: bytes, detail: str) -> tuple[list[Sample], Broken]:
    """A sample that cannot be read: what of it can, if that is anything, and the rest."""
    whole: tuple[list[Sample], Broken] = [], Broken("bad_sample", detail, 1, raw)
    try:
        loose = msgspec.json.decode(raw, type=LooseSample)
    except _UNREADABLE:
        return whole
    good: dict[str, float] = {}
    bad: dict[str, msgspec.Raw] = {}
    for name, value in loose.metrics.items():
        try:
            good[name] = msgspec.json.decode(value, type=float)
        except _UNREADABLE:
            bad[name] = value
    if not good or not bad:
        return whole
    loose.metrics = bad
    rest = Broken("bad_sample", detail, len(bad), msgspec.json.encode(loose))
    return [Sample(loose.gpu, loose.timestamp, good)], rest


def sort_out(batch: Batch, broken: list[Broken], good: list[Sample]) -> Verdict:
    """Keep the samples without a problem, encoded anew, and reject the others."""
    for sample in batch.samples:
        problem = sample_problem(sample)
        if problem in _OF_VALUES:
            good_values = {name: v for name, v in sample.metrics.items() if is_storable(name, v)}
            bad_values = {n: v for n, v in sample.metrics.items() if n not in good_values}
            if good_values:
                good.append(Sample(sample.gpu, sample.timestamp, good_values))
            sample = Sample(sample.gpu, sample.timestamp, bad_values)
        if problem is None:
            good.append(sample)
        else:
            points = len(sample.metrics) or 1
            broken.append(Broken(problem, "", points, msgspec.json.encode(sample)))
    rejects = list(together(batch, broken))
    batch.samples = good
    return Verdict(msgspec.json.encode(batch) if good else b"", good, rejects)


def is_storable(name: str, value: float) -> bool:
    """Whether one value of a sample may be stored under its name."""
    return 0 < len(name) <= MAX_TEXT and math.isfinite(value)


def together(batch: Batch, broken: Sequence[Broken]) -> Iterator[Reject]:
    """Broken samples as messages like the one they came in, those of one reason in one."""
    by_reason: defaultdict[str, list[Broken]] = defaultdict(list)
    for each in broken:
        by_reason[each.reason].append(each)
    for reason, ours in by_reason.items():
        points = sum(each.points for each in ours)
        for part in parts_of([each.content for each in ours]):
            content = as_message(batch.batch_id, batch.source, batch.collected_at, part)
            yield Reject(reason, ours[0].detail, points, content)
            points = 0  # counted with the first part


def parts_of(contents: Sequence[bytes]) -> Iterator[list[bytes]]:
    """Cut a list into parts of bounded size; what is over it alone is alone."""
    part: list[bytes] = []
    size = 0
    for content in contents:
        size += len(content)
        if part and size > PART_BYTES:
            yield part
            part, size = [], len(content)
        part.append(content)
    if part:
        yield part


def as_message(batch_id: str, source: str, collected_at: int, samples: Sequence[bytes]) -> bytes:
    """A message whose samples are given as JSON."""
    raw = [msgspec.Raw(sample) for sample in samples]
    return msgspec.json.encode(LooseBatch(batch_id, source, collected_at, raw))


def rejected(reason: str, detail: str, payload: bytes) -> Verdict:
    """A message of which nothing may be stored."""
    return Verdict(b"", [], [Reject(reason, detail, 1, payload)])


def wrong_schema(version: int, payload: bytes) -> Verdict:
    """A batch of a version this software does not know."""
    return rejected("bad_schema", f"version {version}, known is {SCHEMA_VERSION}", payload)


def count_points(samples: Sequence[Sample]) -> int:
    """Points in samples: one a metric."""
    return sum([len(sample.metrics) for sample in samples])
