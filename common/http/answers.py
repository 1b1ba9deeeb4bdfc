"""Answers: JSON bodies and the one error shape."""

import math
from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.types import Send

from common.errors import MethodNotAllowed, TelemetryError

JSON = b"application/json"
Headers = Sequence[tuple[bytes, bytes]]


def error_body(error: TelemetryError, request_id: str) -> dict[str, Any]:
    """The one error shape of every service."""
    return {
        "error": {"code": error.code, "message": error.message, "details": error.details},
        "request_id": request_id,
    }


def error_headers(error: TelemetryError) -> list[tuple[bytes, bytes]]:
    """Headers that go with an error."""
    headers: list[tuple[bytes, bytes]] = []
    if error.retry_after_seconds is not None:
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after_seconds))))
    if isinstance(error, MethodNotAllowed) and "allow" in (error.details or {}):
        headers.append((b"allow", error.details["allow"].encode()))
    if error.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    return headers


async def send_json(send: Send, body: Any, status: int = 200, headers: Headers = ()) -> None:
    """Send ``body`` as one JSON answer."""
    await send_bytes(send, msgspec.json.encode(body), JSON, status, headers)


async def send_bytes(
    send: Send, body: bytes, content_type: bytes, status: int = 200, headers: Headers = ()
) -> None:
    """Send ``body`` as one whole answer."""
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", content_type),
                (b"content-length", b"%d" % len(body)),
                *headers,
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})
