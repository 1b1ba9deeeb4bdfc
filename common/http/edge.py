"""What every request passes on its way in: an id, the credential, the error shape, the count."""

import itertools
import re
import secrets
import time
from collections.abc import Callable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from common import disk, logs
from common.errors import InvalidRequest, MethodNotAllowed, NotFound, TelemetryError
from common.http.answers import error_body, error_headers, send_json
from common.http.body import ClientGone
from common.metrics import HttpMetrics

log = logs.get("http")

OPEN_PATHS = frozenset({"/health", "/ready", "/stats", "/metrics", "/openapi.json"})
EVENT_STREAM = b"text/event-stream"
_BOOT = secrets.token_hex(8)
_REQUESTS = itertools.count(1 << 20)
_SAFE_ID = re.compile(rb"^[A-Za-z0-9._-]{1,64}$")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})

Authenticate = Callable[[Scope], None]


class Edge:
    """Pure ASGI middleware around a whole service.

    ``authenticate`` raises for a request that must not pass; it is asked for every path
    outside ``open_paths``, on ``scope["path"]`` and nothing that a header can change.
    """

    def __init__(
        self,
        app: ASGIApp,
        authenticate: Authenticate,
        metrics: HttpMetrics,
        open_paths: frozenset[str] = OPEN_PATHS,
    ) -> None:
        self._app = app
        self._authenticate = authenticate
        self._metrics = metrics
        self._open_paths = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = Answer(send, request_id(scope))
        logs.request_id.set(answer.request_id)
        scope["request_id"] = answer.request_id
        try:
            if scope["path"] not in self._open_paths:
                self._authenticate(scope)
            await self._app(scope, receive, answer.send)
        except ClientGone:
            answer.status = answer.status or 499
        except Exception as error:
            await answer.fail(as_telemetry_error(error, scope))
        finally:
            self._metrics.observe(
                scope["method"] if scope["method"] in _METHODS else "OTHER",
                route_of(scope),
                answer.status,
                answer.seconds(),
            )


class Answer:
    """One answer under way: its id, its status, the moment it counts from."""

    def __init__(self, send: Send, request_id: str) -> None:
        self.request_id = request_id
        self.status = 0
        self._send = send
        self._began = time.perf_counter()
        self._stream_began: float | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = message["headers"] = list(message.get("headers", ()))
            headers.append((b"x-request-id", self.request_id.encode()))
            if any(k == b"content-type" and v.startswith(EVENT_STREAM) for k, v in headers):
                self._stream_began = time.perf_counter()
        await self._send(message)

    async def fail(self, error: TelemetryError) -> None:
        """Answer with the error, or give up when the answer has begun."""
        if self.status:
            log.error("answer broke off", code=error.code, message=error.message)
            return
        await send_json(
            self.send, error_body(error, self.request_id), error.status, error_headers(error)
        )

    def seconds(self) -> float:
        return (self._stream_began or time.perf_counter()) - self._began


def request_id(scope: Scope) -> str:
    """Return the caller's ``X-Request-ID`` when it is harmless, or a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _SAFE_ID.match(value):
            return str(value, "ascii")
    return new_request_id()


def new_request_id() -> str:
    """An id that no other request has."""
    return f"{_BOOT}{next(_REQUESTS):x}"


def route_of(scope: Scope) -> str:
    """The template of the route that answered, from a closed set."""
    route = scope.get("route")
    if route is not None:
        return str(route.path_format)
    endpoint = scope.get("endpoint")
    if endpoint is None:
        return "unmatched"
    return next(
        (r.path for r in scope["app"].routes if getattr(r, "endpoint", None) == endpoint), "other"
    )


def as_telemetry_error(error: Exception, scope: Scope) -> TelemetryError:
    """Put any exception into the closed tree; what is not expected is logged whole."""
    if isinstance(error, TelemetryError):
        return error
    if isinstance(error, HTTPException):
        return from_http_exception(error, scope)
    refusal = disk.refusal(error) if isinstance(error, OSError) else None
    if refusal is not None:
        log.error("request refused", route=route_of(scope), reason=str(error))
        return refusal
    log.error("request failed", route=route_of(scope), exc_info=error)
    return TelemetryError("the service failed on this request; the log has the cause")


def from_http_exception(error: HTTPException, scope: Scope) -> TelemetryError:
    """Translate what the router raises by itself."""
    if error.status_code == 404:
        return NotFound("no such path")
    if error.status_code == 405:
        allowed = ", ".join(methods_of(scope))
        return MethodNotAllowed("the path does not take this method", details={"allow": allowed})
    return InvalidRequest(str(error.detail))


def methods_of(scope: Scope) -> list[str]:
    """Every method that the path takes; the router itself tells those of one route alone."""
    routes = scope["app"].routes
    found = [route.methods for route in routes if route.matches(scope)[0] is Match.PARTIAL]
    return sorted(set().union(*found))


async def reraise(request: Request, error: Exception) -> Response:
    """Starlette exception handler that leaves the answer to the edge."""
    raise error
