"""Event streams: however the bytes are cut, the same events come out."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.http import sse
from common.http.sse import Event, Parser, StreamTooLongError

LIMIT = 1 << 20
FIELDS = ["data: a", "data:b", "data", "data: ", "data:  c", "event: x", "id: 1", "id", "retry: 5"]
ODD = ["", ": note", "unknown: y", "data: \N{GRINNING FACE}", "data: \u2028\0", "data: \ufeff"]
LINES = st.sampled_from(FIELDS + ODD)
ENDS = st.sampled_from(["\n", "\r\n", "\r"])
STREAMS = st.tuples(st.booleans(), st.lists(st.tuples(LINES, ENDS), max_size=20))
CLOSING_LINE = b": the end\n"  # so that a CR at the end is seen to be no half of a CRLF


def stream_of(bom: bool, lines: list[tuple[str, str]]) -> bytes:
    text = "".join(line + end for line, end in lines)
    return ("\ufeff" * bom + text).encode() + CLOSING_LINE


def by_the_standard(stream: bytes) -> list[Event]:
    """Line by line, as HTML Living Standard 9.2.6 has it; an id holds for its event alone."""
    events, kind, name = [], "", ""
    data: list[bytes] = []
    for line in re.split(rb"\r\n|\n|\r", stream.removeprefix(b"\xef\xbb\xbf"))[:-1]:
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if not line:
            events += [Event(kind or "message", name, data)] if data else []
            kind, name, data = "", "", []
        elif field == b"data":
            data = [*data, value]
        elif field == b"event":
            kind = value.decode()
        elif field == b"id":
            name = value.decode()
    return events


def parsed(chunks: list[bytes]) -> list[Event]:
    parser = Parser(LIMIT)
    return [event for chunk in chunks for event in parser.feed(chunk)]


@given(STREAMS, st.lists(st.integers(0, 400), max_size=30))
def test_any_stream_cut_anywhere_is_read_by_the_standard(
    given_stream: tuple[bool, list[tuple[str, str]]], cuts: list[int]
) -> None:
    stream = stream_of(*given_stream)
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    assert parsed([stream[a:b] for a, b in pairwise(edges)]) == by_the_standard(stream)


@given(STREAMS)
def test_a_stream_may_come_byte_by_byte(given_stream: tuple[bool, list[tuple[str, str]]]) -> None:
    stream = stream_of(*given_stream)
    assert parsed([bytes([byte]) for byte in stream]) == by_the_standard(stream)


@given(st.text(st.characters(exclude_characters="\r\n\0", codec="utf-8")), st.binary())
def test_what_is_encoded_is_parsed(event_id: str, content: bytes) -> None:
    data = content.replace(b"\r", b"")
    found = parsed([sse.encode("message", event_id, data)])
    assert found == [Event("message", event_id, data.split(b"\n"))]


@pytest.mark.parametrize("event_id", ["a\nb", "a\rb", "a\0b"])
def test_an_id_that_would_break_the_stream_is_refused(event_id: str) -> None:
    with pytest.raises(ValueError, match="line break"):
        sse.encode("message", event_id, b"x")


def test_an_event_without_an_end_is_not_held_for_ever() -> None:
    parser = Parser(limit_bytes=100)
    with pytest.raises(StreamTooLongError):
        for _ in range(20):
            parser.feed(b"data: 123456789")


def test_a_heartbeat_is_no_event() -> None:
    assert parsed([sse.HEARTBEAT] * 3) == []
