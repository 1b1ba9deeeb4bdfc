"""Messages as lines: packed, cleaned and counted by the letter of the protocol."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import ndjson

PAYLOAD = st.binary(min_size=1, max_size=20).filter(lambda p: b"\n" not in p and p[-1:] != b"\r")
LONG = b"x" * (2 * ndjson.LONG_LINE_BYTES)


@given(st.lists(PAYLOAD, min_size=1), st.booleans())
def test_what_is_packed_is_unpacked(payloads: list[bytes], long: bool) -> None:
    payloads = [payload + LONG * long for payload in payloads]
    lines, count = ndjson.unpack(ndjson.pack(payloads))
    assert lines.split(b"\n") == payloads
    assert count == len(payloads)


@given(st.lists(st.sampled_from([b"a", b"", b"\r", b"b\r", b"\ra", LONG]), max_size=12))
def test_empty_lines_are_none_and_cr_before_lf_is_of_the_line_end(parts: list[bytes]) -> None:
    body = b"\n".join(parts)
    expected = [line for line in body.replace(b"\r\n", b"\n").split(b"\n") if line]
    lines, count = ndjson.unpack(body)
    assert count == len(expected)
    assert lines == b"\n".join(expected)


@pytest.mark.parametrize("long", [b"", LONG])
@pytest.mark.parametrize("broken", [b"", b"a\nb", b"a\r", b"\n"])
def test_a_payload_that_would_not_come_back_is_refused(broken: bytes, long: bytes) -> None:
    broken = broken and long + broken
    with pytest.raises(ValueError, match="one line"):
        ndjson.pack([b"good" + long, broken])
    with pytest.raises(ValueError, match="one line"):
        ndjson.pack([])
