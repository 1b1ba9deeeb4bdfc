"""One connection, bounded: what a client may send, how slowly, and how slowly it may read.

uvicorn's own protocol takes a head of any size, waits for ever for the rest of a request, and for
ever for a client to read. Each connection has one timer, which looks at how long it has waited
for its client, so that a request costs no timer of its own.
"""

import asyncio
import http
import socket
from typing import Any, NamedTuple

import httptools
import msgspec
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from common.errors import (
    HeadersTooLarge,
    InvalidRequest,
    Overloaded,
    RequestTimeout,
    TelemetryError,
)
from common.http.answers import JSON, error_body, error_headers
from common.http.edge import OPEN_PATHS, new_request_id

MAX_HEADERS = 100
HEADER_OVERHEAD = 4  # a colon, a space, CR and LF
LOOKS_PER_LIMIT = 2
FOR_PROBES = 64  # connections over the cap, for whoever asks how it is
UNSENT_BYTES = 1 << 18  # of an answer, in the kernel, while its client does not read


class Limits(NamedTuple):
    """What one connection, and all of them, may take."""

    max_header_bytes: int
    read_seconds: float
    write_seconds: float
    max_connections: int


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's connection with limits; every refusal has the one error shape.

    ``_waits_since`` is when it began to wait for the rest of a head or a body, None while the
    next move is not the client's. ``_blocked_since`` is when it began to wait for the client to
    read.
    """

    def __init__(self, limits: Limits, **given: Any) -> None:
        super().__init__(**given)
        self._limits = limits
        self._refusal: TelemetryError | None = None
        self._waits_since: float | None = None
        self._blocked_since: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._looks_at = 0.0
        self._in_head = True
        self._head_bytes = 0
        self._chunk_bytes = 0
        self._over_cap = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        bound_unsent(transport)
        self._over_cap = len(self.connections) > self._limits.max_connections
        self._waits_since = self.loop.time()
        self._look_later()
        if len(self.connections) > self._limits.max_connections + FOR_PROBES:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._waits_since = self._blocked_since = None
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        began_before, self._chunk_bytes = self._in_head, len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self._refuse(self._refusal or InvalidRequest("that is no HTTP/1.1 request"))
        except httptools.HttpParserUpgrade:
            pass  # nothing is upgraded to: the request is answered as any other
        if self._in_head and began_before:
            self._head_bytes += len(data)
            if self._head_bytes > self._limits.max_header_bytes:
                self._refuse(self._too_large())

    def on_message_begin(self) -> None:
        self._in_head, self._head_bytes = True, 0
        self._waits_since = self.loop.time()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._waits_since = self.loop.time()
        self._check_head()
        super().on_headers_complete()
        if self.parser.should_upgrade():
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        self._waits_since = None
        super().on_message_complete()

    def on_response_complete(self) -> None:
        if self._over_cap:
            self.transport.close()
        super().on_response_complete()

    def pause_writing(self) -> None:
        self._blocked_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._blocked_since = None
        super().resume_writing()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if self._over_cap and cycle.scope["path"] not in OPEN_PATHS:
            app = one_connection_too_many
        super()._start_asgi_task(cycle, app)

    def _check_head(self) -> None:
        """Raise, and so end the parsing, for a head that must not be taken."""
        hosts = [name for name, _ in self.headers].count(b"host")
        if len(self.headers) > MAX_HEADERS or self._is_too_large():
            self._refusal = self._too_large()
        elif hosts != 1 and (hosts or self.parser.get_http_version() == "1.1"):
            self._refusal = InvalidRequest("a request has one Host header")
        if self._refusal is not None:
            raise self._refusal

    def _is_too_large(self) -> bool:
        """Whether the head is over the limit; what came in all is seldom even that much."""
        limit = self._limits.max_header_bytes
        if self._head_bytes + self._chunk_bytes <= limit:
            return False
        fields = sum(len(name) + len(value) + HEADER_OVERHEAD for name, value in self.headers)
        return len(self.url) + fields > limit

    def _too_large(self) -> HeadersTooLarge:
        limit = self._limits.max_header_bytes
        return HeadersTooLarge(f"a head has at most {limit} bytes and {MAX_HEADERS} headers")

    def _refuse(self, error: TelemetryError) -> None:
        """Answer what cannot be a request, unless an answer is under way, and hang up."""
        cycle = self.cycle
        if self.transport.is_closing():
            return
        if cycle is not None and not cycle.response_complete:
            if not cycle.more_body:  # the request was whole; what followed it is refused
                cycle.keep_alive = False
                self.flow.pause_reading()
                return
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started:
                self.transport.abort()
                return
        self.transport.write(refusal(error))
        self.transport.close()

    def _look_later(self) -> None:
        limit_seconds = min(self._limits.read_seconds, self._limits.write_seconds)
        self._looks_at = self.loop.time() + limit_seconds / LOOKS_PER_LIMIT
        self._timer = self.loop.call_at(self._looks_at, self._look)

    def _look(self) -> None:
        """Hang up on a client that has been waited for too long."""
        now = self.loop.time()
        late_seconds = now - self._looks_at  # busy or stopped: what came meanwhile was not seen
        self._waits_since = shortened(self._waits_since, late_seconds, now)
        self._blocked_since = shortened(self._blocked_since, late_seconds, now)
        if self.flow.read_paused and self._waits_since is not None:
            self._waits_since = now  # it is us who do not read
        if self.transport.is_closing() and self._blocked_since is None:
            self._blocked_since = now  # what is left to send is not taken either
        if is_over(self._blocked_since, self._limits.write_seconds, now):
            self.transport.abort()
        elif is_over(self._waits_since, self._limits.read_seconds, now):
            self._refuse(RequestTimeout("the rest of the request did not come in time"))
        self._look_later()


def bound_unsent(transport: asyncio.Transport) -> None:
    """Have the kernel take no more than so much that it cannot send yet; else it takes megabytes.

    What is on its way is not bounded by this: a client that is far away is sent as fast as ever.
    """
    taken = transport.get_extra_info("socket")
    taken.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)


def shortened(since: float | None, seconds: float, now: float) -> float | None:
    """When a wait began, less what of it is not the client's."""
    return None if since is None else min(now, since + seconds)


def is_over(since: float | None, limit_seconds: float, now: float) -> bool:
    """Whether a wait that began then has become too long."""
    return since is not None and now - since >= limit_seconds


def refusal(error: TelemetryError) -> bytes:
    """An error as a whole answer to a client that sent no request."""
    body, headers = refusal_parts(error)
    phrase = http.HTTPStatus(error.status).phrase.encode()
    head = [b"HTTP/1.1 %d %b" % (error.status, phrase), *(b"%b: %b" % pair for pair in headers)]
    return b"\r\n".join([*head, b"", body])


def refusal_parts(error: TelemetryError) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """The body and headers of an answer that ends its connection."""
    request_id = new_request_id()
    body = msgspec.json.encode(error_body(error, request_id))
    headers = [
        (b"content-type", JSON),
        (b"content-length", b"%d" % len(body)),
        (b"x-request-id", request_id.encode()),
        (b"connection", b"close"),
    ]
    return body, headers + error_headers(error)


async def one_connection_too_many(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers on a connection over the cap."""
    error = Overloaded("too many connections are open")
    body, headers = refusal_parts(error)
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
