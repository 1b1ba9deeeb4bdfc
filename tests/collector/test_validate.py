"""Which samples pass, and that the broken ones never take the others with them."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector import validate
from collector.known import Known
from collector.validate import Verdict
from common.models import MAX_METRICS, Batch, Sample
from tests.collector.fakes import T0, message, raw_message, sample

GOOD = msgspec.json.encode(sample(1))
DEEP = b"[" * 50_000 + b"]" * 50_000


def altered(**fields: Any) -> bytes:
    """The good sample with other fields."""
    return msgspec.json.encode(msgspec.to_builtins(sample(1)) | fields)


BROKEN = {
    "no_identity": altered(gpu={}),
    "bad_timestamp": altered(timestamp=3),
    "no_metric": altered(metrics={}),
    "too_many_labels": altered(gpu={"uuid": "a", "labels": {str(n): "" for n in range(65)}}),
    "too_many_metrics": altered(metrics={str(n): 1.0 for n in range(MAX_METRICS + 1)}),
    "bad_metric_name": altered(metrics={"": 1.0}),
}
UNREADABLE = [
    b"3",
    b"{}",
    altered(timestamp="now"),
    altered(metrics={"power": "x"}),
    altered(metrics={"power": None}),
    altered(gpu={"uuid": 3}),
    altered(gpu={"uuid": "x" * 513}),
    GOOD.replace(b"GPU-a", b"\xff"),
    GOOD.replace(b"1.0", b"1e999"),
]


def examine(payload: bytes) -> Verdict:
    """The verdict of one who knows nothing, and of one who has seen it all, which are the same."""
    known = Known()
    verdict = validate.examine(payload, known)
    assert validate.examine(payload, known) == verdict
    return verdict


def decode_spooled(payload: bytes) -> list[Sample]:
    return msgspec.json.decode(payload, type=Batch).samples


def reasons(verdict: Verdict) -> list[str]:
    return [reject.reason for reject in verdict.rejects]


def test_a_good_message_is_kept_as_it_came() -> None:
    payload = message(sample(1), sample(2))
    assert examine(payload) == Verdict(payload, [sample(1), sample(2)], [])


def test_a_message_without_samples_is_nothing() -> None:
    assert examine(message()) == Verdict(b"", [], [])


@pytest.mark.parametrize("reason", BROKEN)
def test_a_broken_sample_is_rejected_with_its_reason(reason: str) -> None:
    verdict = examine(raw_message(GOOD, BROKEN[reason], GOOD))
    assert reasons(verdict) == [reason]
    assert verdict.samples == [sample(1), sample(1)]
    assert decode_spooled(verdict.payload) == verdict.samples


@pytest.mark.parametrize("raw", UNREADABLE)
def test_a_sample_that_cannot_be_read_leaves_its_neighbours(raw: bytes) -> None:
    verdict = examine(raw_message(raw, GOOD, BROKEN["no_metric"]))
    assert sorted(reasons(verdict)) == ["bad_sample", "no_metric"]
    assert raw in verdict.rejects[0].content
    assert decode_spooled(verdict.payload) == verdict.samples == [sample(1)]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_value_that_is_not_finite_is_told_from_a_good_one(value: float) -> None:
    batch = Batch("id", "test", T0, [sample(1)])
    batch.samples[0].metrics["power"] = value
    assert reasons(examine(msgspec.json.encode(batch))) == ["bad_sample"]


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "bad_json"),
        (b"{", "bad_json"),
        (b"\xff", "bad_json"),
        (b"power=3", "bad_json"),
        (raw_message(GOOD)[:-1], "bad_json"),
        (raw_message(b'{"gpu":' + DEEP + b"}", GOOD), "bad_json"),
        (b"null", "bad_batch"),
        (b"[]", "bad_batch"),
        (GOOD, "bad_batch"),
        (b'{"samples": []}', "bad_batch"),
        (raw_message(GOOD)[:-1] + b', "schema": 2}', "bad_schema"),
        (raw_message(b"{}", GOOD)[:-1] + b', "schema": 0}', "bad_schema"),
    ],
)
def test_a_message_that_is_none_is_rejected_whole(payload: bytes, reason: str) -> None:
    verdict = examine(payload)
    assert (verdict.payload, verdict.samples, reasons(verdict)) == (b"", [], [reason])
    assert verdict.rejects[0].content == payload


def test_a_message_over_several_lines_becomes_one_line() -> None:
    verdict = examine(raw_message(b"\n" + GOOD, b"\n" + GOOD) + b"\n")
    assert b"\n" not in verdict.payload
    assert decode_spooled(verdict.payload) == verdict.samples == [sample(1), sample(1)]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([GOOD, *UNREADABLE, *BROKEN.values()]), max_size=6), st.data())
def test_whatever_is_cut_or_changed_ends_in_a_verdict(parts: list[bytes], data: Any) -> None:
    payload = bytearray(raw_message(*parts))
    for _ in range(data.draw(st.integers(0, 3))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    verdict = examine(bytes(payload))
    kept: list[Sample] = decode_spooled(verdict.payload) if verdict.payload else []
    assert kept == verdict.samples
    assert b"\n" not in verdict.payload
