"""Requests that are none, or that two parsers could read differently."""

import pytest

from tests.http.raw import CREDENTIAL, get, wire
from tests.http.test_service import Sample, serving

POST = b"POST /echo HTTP/1.1\r\nHost: a\r\n" + CREDENTIAL
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"

MALFORMED = {
    "length and chunks": POST
    + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    + HIDDEN,
    "two lengths": POST + b"Content-Length: 4\r\nContent-Length: 40\r\n\r\nabcd" + HIDDEN,
    "one length twice": POST + b"Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd",
    "a list of lengths": POST + b"Content-Length: 4, 4\r\n\r\nabcd",
    "a signed length": POST + b"Content-Length: +4\r\n\r\nabcd",
    "chunks that are not the last coding": POST
    + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "a coding that is almost chunks": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a chunk without a size": POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "lines that end in LF": b"GET /echo HTTP/1.1\nHost: a\n\n",
    "a folded header": b"GET /echo HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
    "a space before a colon": b"GET /echo HTTP/1.1\r\nHost : a\r\n\r\n",
    "NUL in a header": b"GET /echo HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
    "no Host": b"GET /health HTTP/1.1\r\n\r\n",
    "two Hosts": b"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "CONNECT": b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
    "another version": b"GET /health HTTP/3.7\r\nHost: a\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "a path that is no ASCII": b"GET /\xe9cho HTTP/1.1\r\nHost: a\r\n\r\n",
    "a control in the path": b"GET /ec\x0bho HTTP/1.1\r\nHost: a\r\n\r\n",
    "a URL without a path": b"GET http://a HTTP/1.1\r\nHost: a\r\n\r\n",
    "a URL that is none": b"GET http://[::1 HTTP/1.1\r\nHost: a\r\n\r\n",
}


@pytest.mark.parametrize("request_bytes", MALFORMED.values(), ids=list(MALFORMED))
async def test_what_is_no_request_has_the_one_shape_and_ends_the_connection(
    request_bytes: bytes,
) -> None:
    async with serving(Sample()) as url, wire(url) as connection:
        await connection.send(request_bytes)
        answer = await connection.answer()
        assert (answer.status, answer.code) == (400, "INVALID_REQUEST")
        assert answer.headers["connection"] == "close"
        assert await connection.rest() == b"", "a second request was smuggled"


@pytest.mark.parametrize(
    "target",
    ["//echo", "/health/../echo", "/health;/echo", "/%65cho", "/health%2f..%2fecho", "/health/"],
)
@pytest.mark.parametrize("host", ["a", "a/health?x=", "a/health#", "127.0.0.1", "health", "a:80@b"])
async def test_no_host_and_no_path_gets_past_the_token(target: str, host: str) -> None:
    """The token is asked for by the path as the router sees it, and by nothing a header says."""
    async with serving(Sample()) as url, wire(url) as connection:
        await connection.send(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        answer = await connection.answer()
        assert (answer.status, answer.code) == (401, "UNAUTHORIZED")


async def test_an_absolute_target_is_its_path() -> None:
    async with serving(Sample()) as url, wire(url) as connection:
        await connection.send(b"GET http://evil/health HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await connection.answer()).status == 200
        await connection.send(b"GET http://evil/echo HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await connection.answer()).status == 401


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket"])
async def test_nothing_is_upgraded_to(protocol: bytes) -> None:
    """The answer is HTTP/1.1, and what follows on the connection is not read as anything."""
    async with serving(Sample()) as url, wire(url) as connection:
        ask = get("/echo", b"Connection: Upgrade", b"Upgrade: " + protocol)
        await connection.send(ask + HIDDEN)
        assert (await connection.answer()).status == 200
        assert await connection.rest() == b""


async def test_http_1_0_is_answered_without_a_host() -> None:
    async with serving(Sample()) as url, wire(url) as connection:
        await connection.send(b"GET /health HTTP/1.0\r\n\r\n")
        assert (await connection.answer()).status == 200
        assert await connection.rest() == b""


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with serving(Sample()) as url, wire(url) as connection:
        await connection.send(get("/echo") + get("/nowhere") + get("/echo"))
        assert [(await connection.answer()).status for _ in range(3)] == [200, 404, 200]
