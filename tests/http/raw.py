"""HTTP byte by byte: what no client library would send, and clients that take their time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import msgspec

from tests.support.client import TOKEN

CREDENTIAL = f"Authorization: Bearer {TOKEN}\r\n".encode()
PATIENCE_SECONDS = 10.0


class RawAnswer(NamedTuple):
    """One answer as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The code of an error, which must have the one shape."""
        found: dict[str, Any] = msgspec.json.decode(self.body)
        assert set(found) == {"error", "request_id"}
        assert set(found["error"]) == {"code", "message", "details"}
        assert found["request_id"] == self.headers["x-request-id"]
        return str(found["error"]["code"])


class Wire:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        """Send bytes as they are; a server that hung up is for the reading side to notice."""
        with contextlib.suppress(ConnectionError):
            self._writer.write(data)
            await self._writer.drain()

    async def answer(self) -> RawAnswer:
        """The next answer; raises EOFError when the server hangs up before it is whole."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            head = await self._reader.readuntil(b"\r\n\r\n")
            status, _, rest = head.decode("latin-1").partition("\r\n")
            pairs = (line.split(": ", 1) for line in rest.split("\r\n") if line)
            headers = {name.lower(): value for name, value in pairs}
            body = await self._reader.readexactly(int(headers.get("content-length", 0)))
        return RawAnswer(int(status.split()[1]), headers, body)

    async def rest(self) -> bytes:
        """Everything until the server hangs up."""
        found: list[bytes] = []
        async with asyncio.timeout(PATIENCE_SECONDS):
            with contextlib.suppress(ConnectionError):
                while chunk := await self._reader.read(1 << 16):
                    found.append(chunk)
        return b"".join(found)

    async def is_open(self, seconds: float) -> bool:
        """Whether the server says nothing and does not hang up for so long."""
        try:
            async with asyncio.timeout(seconds):
                return bool(await self._reader.read(1))
        except TimeoutError:
            return True
        except ConnectionError:
            return False


@contextlib.asynccontextmanager
async def wire(url: str) -> AsyncIterator[Wire]:
    """A connection to a server; leaving drops it."""
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield Wire(reader, writer)
    finally:
        writer.transport.abort()


def get(path: str, *headers: bytes) -> bytes:
    """A request with the token."""
    lines = b"".join(header + b"\r\n" for header in headers)
    return b"GET %b HTTP/1.1\r\nHost: a\r\n%b%b\r\n" % (path.encode(), CREDENTIAL, lines)
