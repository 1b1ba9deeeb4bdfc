"""Frames: what is written is read, what is not is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.journal import frame
from common.journal.frame import FrameError, FrameTooNewError, Record

SALT = 0x1234ABCD
RECORDS = st.builds(
    Record,
    offset=st.integers(0, 2**64 - 1),
    count=st.integers(1, 2**32 - 1),
    created_at=st.integers(0, 2**64 - 1),
    flags=st.integers(0, 255),
    meta=st.binary(max_size=50),
    body=st.binary(max_size=200),
)
ONE = Record(7, 1, 1_750_000_000_000, frame.TEXT, b"\x80", b"a payload")


def encoded(record: Record) -> bytes:
    return b"".join(frame.encode(record, SALT))


@given(RECORDS)
def test_a_frame_is_read_as_it_was_written(record: Record) -> None:
    assert frame.decode(encoded(record), 0, SALT) == record


@given(RECORDS)
def test_a_record_knows_its_size_on_disk(record: Record) -> None:
    assert record.size == len(encoded(record))


@given(st.lists(RECORDS, max_size=5), st.binary(max_size=20))
def test_frames_are_read_up_to_what_is_none(records: list[Record], garbage: bytes) -> None:
    buffer = b"".join(map(encoded, records)) + b"\0" + garbage
    assert [found for _, found in frame.decode_all(buffer, 0, SALT)] == records


@pytest.mark.parametrize("bit", range(8 * len(encoded(ONE))))
def test_a_flipped_bit_is_noticed(bit: int) -> None:
    damaged = bytearray(encoded(ONE))
    damaged[bit // 8] ^= 1 << bit % 8
    with pytest.raises(FrameError):
        frame.decode(bytes(damaged), 0, SALT)


@pytest.mark.parametrize("length", range(len(encoded(ONE))))
def test_a_frame_cut_short_is_noticed(length: int) -> None:
    with pytest.raises(FrameError):
        frame.decode(encoded(ONE)[:length], 0, SALT)


def test_a_frame_of_another_segment_is_refused() -> None:
    with pytest.raises(FrameError):
        frame.decode(encoded(ONE), 0, SALT + 1)


def test_a_whole_frame_of_a_later_version_is_told_from_damage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(frame, "VERSION", frame.VERSION + 1)
    later = encoded(ONE)
    monkeypatch.undo()
    with pytest.raises(FrameTooNewError):
        frame.decode(later, 0, SALT)


def test_an_impossible_length_allocates_nothing() -> None:
    huge = bytearray(encoded(ONE))
    huge[8:12] = b"\xff" * 4
    with pytest.raises(FrameError, match="no sense"):
        frame.frame_length(bytes(huge), 0)


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_the_next_good_frame_is_found_behind_anything(before: bytes, after: bytes) -> None:
    buffer = before + encoded(ONE) + after
    assert frame.find(buffer, 0, SALT, 0) == len(before)


def test_a_frame_from_before_is_not_the_next_one() -> None:
    earlier, later = Record(3, 1, 0, 0, b"", b"earlier"), Record(9, 1, 0, 0, b"", b"later")
    buffer = b"damage" + encoded(earlier) + encoded(later)
    assert frame.find(buffer, 0, SALT, 4) == len(b"damage" + encoded(earlier))
    assert frame.find(buffer, 0, SALT, 10) is None


def test_a_frame_inside_a_payload_is_not_found() -> None:
    forged = b"".join(frame.encode(ONE, 0))
    outer = Record(0, 1, 0, 0, b"", forged)
    assert frame.find(encoded(outer), 1, SALT, 0) is None


def test_payloads_are_the_lines_of_a_body() -> None:
    lines = Record(0, 3, 0, frame.LINES, b"", b"a\n\nc")
    assert lines.payloads() == [b"a", b"", b"c"]
    assert ONE.payloads() == [b"a payload"]
