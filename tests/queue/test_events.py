"""Reading batch events: byte for byte, or not at all."""

import base64
from typing import Any

import aiohttp
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.queue.http import read_batch

HEAD = {"receipt": "b:0:0:ff", "topic": "t", "partition": 0, "offset": 0, "attempt": 1}
ENVELOPE = {"id": "b:0:0", "topic": "t", "partition": 0, "offset": 0, "created_at": "now"}


def event(encoding: str, count: int, *lines: bytes) -> list[bytes]:
    return [msgspec.json.encode(HEAD | {"encoding": encoding, "count": count}), *lines]


def envelope(**fields: Any) -> bytes:
    return msgspec.json.encode(ENVELOPE | fields)


@given(st.lists(st.binary(), max_size=5))
def test_envelopes_give_payloads_byte_for_byte(payloads: list[bytes]) -> None:
    lines = [envelope(payload_base64=base64.b64encode(each).decode()) for each in payloads]
    assert read_batch(event("json", len(payloads), *lines)).payloads == payloads


@given(st.lists(st.text(), max_size=5))
def test_text_in_envelopes_is_utf_8(texts: list[str]) -> None:
    lines = [envelope(payload=text) for text in texts]
    assert read_batch(event("json", len(texts), *lines)).payloads == [t.encode() for t in texts]


def test_lines_are_payloads_as_they_are() -> None:
    found = read_batch(event("lines", 3, b"a", b"", "\u2028".encode()))
    assert found.payloads == [b"a", b"", "\u2028".encode()]
    assert (found.receipt, found.attempt) == ("b:0:0:ff", 1)


@pytest.mark.parametrize(
    "lines",
    [
        [b""],
        [b"\xff"],
        [b"[" * 100_000],
        event("lines", 2, b"one"),
        event("lines", 1, b"one", b"two"),
        event("lines", 1),
        event("json", 1, b"{}"),
        event("json", 1, b"\xff"),
        event("json", 1, b'"\xff"'),
        event("json", 1, envelope(payload_base64="a")),
        event("json", 1, envelope(payload=3)),
    ],
)
def test_a_batch_that_does_not_add_up_breaks_the_stream(lines: list[bytes]) -> None:
    with pytest.raises(aiohttp.ClientPayloadError):
        read_batch(lines)
