"""The API's description, and a page to try it from that needs no internet."""

from collections.abc import Iterable
from functools import cache
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from starlette.routing import Route

from api.answers import MEDIA_TYPE, SCHEMA_REF, SHAPES
from api.records import Record
from api.traced import TraceAnswer

OPENAPI_PATH = "/openapi.json"
PAGE_PATHS = ("/docs", "/swagger", "/swagger/")
OPEN_PATHS = frozenset({OPENAPI_PATH, *PAGE_PATHS})

TITLE = "telemetry-stack"
DESCRIPTION = """GPU telemetry: which GPUs there are and what they measured.

Every request needs a key, in `X-API-Key` or as `Authorization: Bearer`. Times are RFC 3339.
Every error has one shape; decide by its `code`.
"""

# The page's own code asks a validator on the internet about the description, unless told not to.
_SETTINGS = 'layout: "StandaloneLayout",'
_OWN_SETTINGS = _SETTINGS + " validatorUrl: null, persistAuthorization: false,"
# Whatever the page's code tries, the browser lets it speak to this service alone.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src 'self' data:; font-src data:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_SECURITY = {
    "ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "Bearer": {"type": "http", "scheme": "bearer"},
}


def docs_routes() -> list[Route]:
    """The routes of the description and its page."""
    return [Route(OPENAPI_PATH, get_description), *(Route(path, get_page) for path in PAGE_PATHS)]


async def get_description(request: Request) -> Response:
    """``GET /openapi.json``."""
    return Response(msgspec.json.encode(describe(request.app)), media_type=MEDIA_TYPE)


async def get_page(request: Request) -> Response:
    """``GET /docs`` and ``GET /swagger/``."""
    headers = {"content-security-policy": _POLICY, "x-content-type-options": "nosniff"}
    return Response(make_page(), media_type="text/html", headers=headers)


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI description of an app's routes."""
    found = get_openapi(
        title=TITLE, version=app.version, description=DESCRIPTION, routes=app.routes
    )
    _, schemas = msgspec.json.schema_components(
        (*SHAPES, TraceAnswer, Record), ref_template=SCHEMA_REF
    )
    found.setdefault("components", {})["schemas"] = schemas
    found["components"]["securitySchemes"] = _SECURITY
    found["security"] = [{name: []} for name in _SECURITY]
    for path in found["paths"].values():
        for operation in path.values():
            bound_limit(operation.get("parameters", ()), app.state.options.max_limit)
    return found


def bound_limit(parameters: Iterable[dict[str, Any]], max_limit: int) -> None:
    """Say the most that ``limit`` may be here, which is an option of the service."""
    for parameter in parameters:
        if parameter["name"] == "limit":
            parameter["schema"]["maximum"] = max_limit


@cache
def make_page() -> bytes:
    """The page with its code and style inside; 2 MB."""
    # it reads 8 MB when it is imported, which no start waits for
    from offapi import OpenAPITemplate

    template = OpenAPITemplate.SWAGGER.value
    if template.count(_SETTINGS) != 1:
        raise RuntimeError("the docs page has changed: its settings were not found")
    page = template.replace(_SETTINGS, _OWN_SETTINGS).replace("<title>SwaggerUI", f"<title>{TITLE}")
    return str(page.format(spec_url=OPENAPI_PATH)).encode()
