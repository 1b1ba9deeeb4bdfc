"""Which samples of a message may be stored, and why the others may not."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from common.models import SCHEMA_VERSION, Batch, Sample, sample_problem

_DECODER = msgspec.json.Decoder(Batch)
_SAMPLE = msgspec.json.Decoder(Sample)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Reject(NamedTuple):
    """A reason from a closed set, a word on it, and the JSON it speaks of."""

    reason: str
    detail: str
    content: bytes


class Verdict(NamedTuple):
    """What became of one message: ``payload`` holds the good samples alone, empty if none.

    It is one line: the spool keeps a payload a line.
    """

    payload: bytes
    samples: list[Sample]
    rejects: list[Reject]


class LooseBatch(msgspec.Struct):
    """A batch whose samples are looked at one by one."""

    batch_id: str
    source: str
    collected_at: int
    samples: list[msgspec.Raw]
    schema: int = SCHEMA_VERSION


def examine(payload: bytes) -> Verdict:
    """Decode a message; a broken sample never takes its neighbours with it."""
    try:
        batch = _DECODER.decode(payload)
    except _UNREADABLE:
        return examine_loosely(payload)
    if batch.schema != SCHEMA_VERSION:
        return Verdict(b"", [], [wrong_schema(batch.schema, payload)])
    problems = list(map(sample_problem, batch.samples))
    if batch.samples and not any(problems) and b"\n" not in payload:
        return Verdict(payload, batch.samples, [])
    return sort_out(batch, batch.samples, problems, [])


def examine_loosely(payload: bytes) -> Verdict:
    """Decode sample by sample what did not decode as a whole."""
    try:
        batch = msgspec.json.decode(payload, type=LooseBatch)
    except msgspec.ValidationError as error:
        return Verdict(b"", [], [Reject("bad_batch", str(error), payload)])
    except _UNREADABLE as error:
        return Verdict(b"", [], [Reject("bad_json", str(error), payload)])
    if batch.schema != SCHEMA_VERSION:
        return Verdict(b"", [], [wrong_schema(batch.schema, payload)])
    samples: list[Sample] = []
    rejects: list[Reject] = []
    for raw in batch.samples:
        try:
            samples.append(_SAMPLE.decode(raw))
        except _UNREADABLE as error:
            rejects.append(Reject("bad_sample", str(error), bytes(raw)))
    whole = Batch(batch.batch_id, batch.source, batch.collected_at, samples)
    return sort_out(whole, samples, list(map(sample_problem, samples)), rejects)


def sort_out(
    batch: Batch, samples: Sequence[Sample], problems: Sequence[str | None], rejects: list[Reject]
) -> Verdict:
    """Keep the samples without a problem, encoded anew, and reject the others."""
    good: list[Sample] = []
    for sample, problem in zip(samples, problems, strict=True):
        if problem is None:
            good.append(sample)
        else:
            rejects.append(Reject(problem, "", msgspec.json.encode(sample)))
    batch.samples = good
    return Verdict(msgspec.json.encode(batch) if good else b"", good, rejects)


def wrong_schema(version: int, payload: bytes) -> Reject:
    """A batch of a version this software does not know."""
    return Reject("bad_schema", f"version {version}, known is {SCHEMA_VERSION}", payload)


def decode_spooled(payload: bytes) -> list[Sample]:
    """The samples of a payload that was examined before."""
    return _DECODER.decode(payload).samples


def count_points(samples: Sequence[Sample]) -> int:
    """Points in samples: one a metric."""
    return sum([len(sample.metrics) for sample in samples])
