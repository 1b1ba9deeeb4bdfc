"""Which pages in a browser may ask (Fetch Standard, "CORS protocol")."""

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.types import Receive, Scope, Send

METHODS = ("GET", "POST")
ASKED_WITH = (
    "Authorization",
    "Content-Encoding",
    "Content-Type",
    "Idempotency-Key",
    "Last-Event-ID",
    "X-API-Key",
    "X-Request-ID",
)
SHOWN = ("Content-Disposition", "Retry-After", "X-Request-ID")


class ListedOrigins(CORSMiddleware):
    """Speaks CORS to listed origins; to every other it is not there, so the browser refuses."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            origin = Headers(scope=scope).get("origin")
            if origin is None or not self.is_allowed_origin(origin):
                await self.app(scope, receive, send)
                return
        await super().__call__(scope, receive, send)


def cors(origins: Sequence[str]) -> list[Middleware]:
    """What stands before the edge; keys are headers, so no cookie is ever let through."""
    if not origins:
        return []
    return [
        Middleware(
            ListedOrigins,
            allow_origins=tuple(origins),
            allow_methods=METHODS,
            allow_headers=ASKED_WITH,
            expose_headers=SHOWN,
        )
    ]
