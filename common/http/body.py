"""Request bodies and parameters, bounded before anything is allocated for them."""

import zlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
import zstandard
from starlette.types import Receive, Scope

from common.errors import InvalidRequest, TooLarge, UnsupportedEncoding

T = TypeVar("T")

MAX_PARAMETERS = 50
MAX_KEPT_QUERY = 256
KEPT_QUERIES = 1024
MAX_WINDOW = 1 << 23


class ClientGone(Exception):
    """The client closed the connection before its request was whole."""


def header(scope: Scope, name: bytes) -> bytes | None:
    """Return a header given at most once; ``name`` in lower case."""
    found: bytes | None = None
    for key, value in scope["headers"]:
        if key == name:
            if found is not None:
                raise InvalidRequest(f"header {name.decode()} is given more than once")
            found = value
    return found


def parameters(scope: Scope) -> dict[str, str]:
    """Return the query parameters; one given twice is refused."""
    query: bytes = scope["query_string"]
    if len(query) > MAX_KEPT_QUERY:
        return _parse_query(query)
    return dict(_kept_parameters(query))


def _parse_query(query: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            max_num_fields=MAX_PARAMETERS,
            errors="strict",
        )
    except ValueError as error:
        raise InvalidRequest(f"the query string cannot be read: {error}") from error
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InvalidRequest("a query parameter is given twice")
    return found


_kept_parameters = lru_cache(KEPT_QUERIES)(_parse_query)
"""Clients ask with the same few query strings again and again."""


async def read_body(
    scope: Scope, receive: Receive, limit_bytes: int, inflated: bool = True
) -> bytes:
    """Return the whole body, inflated when it came as gzip or zstd, or else as it came.

    ``limit_bytes`` bounds both what arrives and what it inflates to.
    """
    declared = header(scope, b"content-length")
    if declared is not None and int(declared) > limit_bytes:
        raise TooLarge(f"the body is over {limit_bytes} bytes")
    message = await receive()
    raw: bytes = message.get("body", b"")
    if message.get("more_body"):
        raw = await _read_rest(raw, receive, limit_bytes)
    elif message["type"] == "http.disconnect":
        raise ClientGone
    if len(raw) > limit_bytes:
        raise TooLarge(f"the body is over {limit_bytes} bytes")
    encoding = header(scope, b"content-encoding") if inflated else None
    return raw if encoding is None else inflate(raw, encoding, limit_bytes)


async def _read_rest(first: bytes, receive: Receive, limit_bytes: int) -> bytes:
    chunks, size, more = [first], len(first), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > limit_bytes:
            raise TooLarge(f"the body is over {limit_bytes} bytes")
        more = message.get("more_body", False)
    return b"".join(chunks)


def inflate(raw: bytes, encoding: bytes, limit_bytes: int) -> bytes:
    """Undo one layer of Content-Encoding without ever holding more than the limit."""
    name = encoding.strip().lower()
    if name in (b"identity", b""):
        return raw
    undo = _DECODERS.get(name)
    if undo is None:
        raise UnsupportedEncoding("Content-Encoding must be gzip, zstd or identity")
    try:
        return undo(raw, limit_bytes)
    except (zlib.error, zstandard.ZstdError, EOFError) as error:
        raise InvalidRequest(f"the {name.decode()} body is damaged") from error


def _gunzip(raw: bytes, limit_bytes: int) -> bytes:
    engine = zlib.decompressobj(wbits=31)
    body = engine.decompress(raw, limit_bytes + 1)
    if len(body) > limit_bytes:
        raise TooLarge(f"the body inflates to over {limit_bytes} bytes")
    if not engine.eof or engine.unused_data:
        raise EOFError
    return body


def _unzstd(raw: bytes, limit_bytes: int) -> bytes:
    with zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW).stream_reader(raw) as reader:
        if len(reader.read(limit_bytes + 1)) > limit_bytes:
            raise TooLarge(f"the body inflates to over {limit_bytes} bytes")
    engine = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW).decompressobj()
    body = engine.decompress(raw)  # known to fit; unlike the reader it tells a whole frame
    if not engine.eof or engine.unused_data:
        raise EOFError
    return body


_DECODERS: dict[bytes, Callable[[bytes, int], bytes]] = {b"gzip": _gunzip, b"zstd": _unzstd}


def decode_json(body: bytes, shape: type[T]) -> T:
    """Parse a JSON body into ``shape`` or say why not, whatever was sent."""
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"the JSON body cannot be read: {error}") from error
    except RecursionError as error:
        raise InvalidRequest("the JSON body is nested too deep") from error


def integer(given: dict[str, str], name: str, default: int, low: int, high: int) -> int:
    """Return an integer parameter within ``low`` and ``high``."""
    text: Any = given.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 20) or not low <= int(text) <= high:
        raise InvalidRequest(f"{name} must be a whole number from {low} to {high}")
    return int(text)
