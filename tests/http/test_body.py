"""Bodies and parameters: bounded, and read or refused, whatever was sent."""

import gzip
import zlib
from typing import Any

import msgspec
import pytest
import zstandard
from starlette.types import Message, Scope

from common.errors import InvalidRequest, TelemetryError, TooLarge, UnsupportedEncoding
from common.http.body import (
    ClientGone,
    decode_json,
    header,
    inflate,
    integer,
    parameters,
    read_body,
)

LIMIT = 10_000
BODY = b"a body that repeats itself " * 20


def zstd_stream(body: bytes) -> bytes:
    """zstd without the size in its header."""
    engine = zstandard.ZstdCompressor().compressobj()
    return engine.compress(body) + engine.flush()


COMPRESSORS = [
    (b"gzip", gzip.compress),
    (b"zstd", zstandard.ZstdCompressor().compress),
    (b"zstd", zstd_stream),
]


def scope_of(query: bytes = b"", headers: tuple[tuple[bytes, bytes], ...] = ()) -> Scope:
    return {"type": "http", "query_string": query, "headers": list(headers)}


async def read_chunks(chunks: list[bytes], limit: int = LIMIT, **headers: bytes) -> bytes:
    left = [{"type": "http.request", "body": c, "more_body": True} for c in chunks]
    left.append({"type": "http.request", "body": b""})

    async def receive() -> Message:
        return left.pop(0)

    named = tuple((name.replace("_", "-").encode(), value) for name, value in headers.items())
    return await read_body(scope_of(headers=named), receive, limit)


@pytest.mark.parametrize(("encoding", "compress"), COMPRESSORS)
class TestEncodings:
    def test_a_body_is_inflated(self, encoding: bytes, compress: Any) -> None:
        assert inflate(compress(BODY), encoding, LIMIT) == BODY

    def test_an_empty_body_is_inflated(self, encoding: bytes, compress: Any) -> None:
        assert inflate(compress(b""), encoding, LIMIT) == b""

    def test_the_limit_holds_to_the_byte(self, encoding: bytes, compress: Any) -> None:
        assert inflate(compress(b"x" * LIMIT), encoding, LIMIT) == b"x" * LIMIT
        with pytest.raises(TooLarge):
            inflate(compress(b"x" * (LIMIT + 1)), encoding, LIMIT)

    def test_a_bomb_is_refused(self, encoding: bytes, compress: Any) -> None:
        with pytest.raises(TooLarge):
            inflate(compress(bytes(50_000_000)), encoding, LIMIT)

    def test_a_body_cut_short_is_refused_wherever(self, encoding: bytes, compress: Any) -> None:
        whole = compress(BODY)
        for length in range(len(whole)):
            with pytest.raises(InvalidRequest):
                inflate(whole[:length], encoding, LIMIT)

    def test_what_follows_the_end_is_refused(self, encoding: bytes, compress: Any) -> None:
        for rest in (b"junk", compress(BODY)):
            with pytest.raises(InvalidRequest):
                inflate(compress(BODY) + rest, encoding, LIMIT)

    def test_another_format_is_refused(self, encoding: bytes, compress: Any) -> None:
        for raw in (b"", b"plain text", zlib.compress(BODY)):
            with pytest.raises(InvalidRequest):
                inflate(raw, encoding, LIMIT)


@pytest.mark.parametrize("encoding", [b"br", b"deflate", b"gzip, gzip", b"x-gzip", b"\xff"])
def test_any_other_encoding_is_refused(encoding: bytes) -> None:
    with pytest.raises(UnsupportedEncoding):
        inflate(BODY, encoding, LIMIT)


@pytest.mark.parametrize("encoding", [b"identity", b"", b" Identity "])
def test_identity_changes_nothing(encoding: bytes) -> None:
    assert inflate(BODY, encoding, LIMIT) == BODY


async def test_a_body_in_chunks_is_put_together() -> None:
    assert await read_chunks([b"a", b"", b"bc"]) == b"abc"


async def test_a_body_in_chunks_is_bounded_while_it_comes() -> None:
    with pytest.raises(TooLarge):
        await read_chunks([b"x" * 6000, b"x" * 6000, b"never asked for"])


async def test_a_declared_length_over_the_limit_is_refused_unread() -> None:
    with pytest.raises(TooLarge):
        await read_chunks([], content_length=b"10001")


async def test_a_client_that_leaves_halfway_is_told_from_an_empty_body() -> None:
    left: list[Message] = [
        {"type": "http.request", "body": b"half", "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Message:
        return left.pop(0)

    with pytest.raises(ClientGone):
        await read_body(scope_of(), receive, LIMIT)


@pytest.mark.parametrize(
    "query", [b"a=1&a=2", b"a=%ff", b"a=\xff", b"a=%ed%a0%80", b"&".join([b"a%d=1"] * 51)]
)
def test_a_query_that_cannot_be_read_is_refused(query: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parameters(scope_of(query))


def test_a_header_given_twice_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        header(scope_of(headers=((b"a", b"1"), (b"a", b"2"))), b"a")


@pytest.mark.parametrize(
    "text", ["", "-1", "+1", "0", "11", "1.0", "1e1", "\u0661", " 1", "9" * 5000]
)
def test_a_number_outside_its_bounds_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="1 to 10"):
        integer({"n": text}, "n", 5, 1, 10)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"\xff", b'{"a": "\xff"}', b"NaN", b"[" * 100_000, b'{"a":' * 100_000],
)
def test_json_that_cannot_be_read_is_the_clients_fault(body: bytes) -> None:
    class Shape(msgspec.Struct, forbid_unknown_fields=True):
        n: int = 0

    with pytest.raises(TelemetryError) as refused:
        decode_json(body, Shape)
    assert refused.value.status == 400
