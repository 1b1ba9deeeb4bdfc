"""OpenAPI for services whose routes are a table: what each takes and may answer."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from common.errors import TelemetryError

OPENAPI_PATH = "/openapi.json"
VERSION = "3.1.0"
JSON = "application/json"

Schema = Mapping[str, Any]

_ERROR: Schema = {
    "type": "object",
    "required": ["error", "request_id"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "details"],
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "details": True,
            },
        },
        "request_id": {"type": "string"},
    },
}


class Operation(NamedTuple):
    """What one request takes: names of parameters, bodies by media type, and its answer.

    ``required`` and ``optional`` name query parameters of the service's list; ``own`` are those
    that mean something else here. ``errors`` are those beyond what every request may get.
    """

    answer: Schema
    required: Sequence[str] = ()
    optional: Sequence[str] = ()
    headers: Sequence[str] = ()
    bodies: Mapping[str, Schema] = {}
    errors: Sequence[type[TelemetryError]] = ()
    media_type: str = JSON
    own: Mapping[str, Schema] = {}
    body_required: bool = True


class Description(NamedTuple):
    """A whole service: its operations by method and path, its parameters, its usual errors."""

    title: str
    text: str
    operations: Mapping[tuple[str, str], Operation]
    parameters: Mapping[str, Schema]
    errors: Sequence[type[TelemetryError]]
    shapes: Sequence[Any]

    def route(self, routes: Iterable[BaseRoute]) -> Route:
        """``GET /openapi.json``, of these routes."""
        content = msgspec.json.encode(self.describe(routes))

        async def get_description(request: Request) -> Response:
            return Response(content, media_type=JSON)

        return Route(OPENAPI_PATH, get_description)

    def describe(self, routes: Iterable[BaseRoute]) -> dict[str, Any]:
        """The document; a route without an operation is not in it."""
        paths: dict[str, dict[str, Any]] = {}
        for route in routes:
            if isinstance(route, Route):
                methods = (route.methods or set()) - {"HEAD"}
                known = {m for m in methods if (m, route.path_format) in self.operations}
                for method in sorted(known):
                    operation = self._operation(route, method)
                    paths.setdefault(route.path_format, {})[method.lower()] = operation
        _, schemas = msgspec.json.schema_components(
            self.shapes, ref_template="#/components/schemas/{name}"
        )
        return {
            "openapi": VERSION,
            "info": {"title": self.title, "version": "1", "description": self.text},
            "security": [{"token": []}],
            "paths": paths,
            "components": {
                "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
                "schemas": {**schemas, "Error": _ERROR},
            },
        }

    def _operation(self, route: Route, method: str) -> dict[str, Any]:
        asked = self.operations[method, route.path_format]
        words = str(route.endpoint.__doc__ or "").partition("\n\n")[0]
        found: dict[str, Any] = {
            "summary": " ".join(words.split()),
            "parameters": [
                *(self._parameter(name, "path", True) for name in route.param_convertors),
                *(self._parameter(name, "query", True) for name in asked.required),
                *(self._parameter(name, "query", False) for name in asked.optional),
                *(self._parameter(name, "header", False) for name in asked.headers),
                *(parameter(name, "query", False, schema) for name, schema in asked.own.items()),
            ],
            "responses": self._responses(asked),
        }
        if asked.bodies:
            content = {kind: {"schema": schema} for kind, schema in asked.bodies.items()}
            found["requestBody"] = {"required": asked.body_required, "content": content}
        return found

    def _parameter(self, name: str, place: str, required: bool) -> dict[str, Any]:
        return parameter(name, place, required, self.parameters[name])

    def _responses(self, asked: Operation) -> dict[str, Any]:
        content = {asked.media_type: {"schema": asked.answer}}
        found: dict[str, Any] = {"200": {"description": "Done.", "content": content}}
        codes: dict[int, list[str]] = {}
        for error in (*self.errors, *asked.errors):
            codes.setdefault(error.status, []).append(f"`{error.code}`: {error.__doc__}")
        schema = {"$ref": "#/components/schemas/Error"}
        for status, words in sorted(codes.items()):
            content = {JSON: {"schema": schema}}
            found[str(status)] = {"description": "\n\n".join(words), "content": content}
        return found


def parameter(name: str, place: str, required: bool, schema: Schema) -> dict[str, Any]:
    """A parameter as OpenAPI has it."""
    return {"name": name, "in": place, "required": required, "schema": schema}


def answer(**properties: str) -> Schema:
    """An object that has at least these properties, each with its JSON type."""
    return {
        "type": "object",
        "required": list(properties),
        "properties": {name: {"type": kind} for name, kind in properties.items()},
    }
