"""The routes and the lifespan that every service has."""

import inspect
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from common.http.edge import Authenticate, Edge
from common.lifecycle import Lifecycle
from common.metrics import HttpMetrics, MetricsEndpoint


class Service(Protocol):
    """The part of a process that does the work behind its HTTP face."""

    name: str
    lifecycle: Lifecycle
    registry: CollectorRegistry

    async def start(self) -> None:
        """Open what is needed; the server takes requests once this returns."""

    async def stop(self) -> None:
        """Finish and close, in order; every stream has ended before."""

    def stats(self) -> Mapping[str, Any]:
        """What ``GET /stats`` answers."""


def standard_routes(service: Service) -> list[BaseRoute]:
    """``/health`` is life, ``/ready`` is fitness for work, then numbers for people and machines."""

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok", "service": service.name})

    async def ready(request: Request) -> Response:
        reasons = service.lifecycle.not_ready_reasons()
        body = {"ready": not reasons, "reasons": reasons, **service.lifecycle.facts}
        return JSONResponse(body, status_code=503 if reasons else 200)

    async def stats(request: Request) -> Response:
        return JSONResponse(dict(service.stats()))

    return [
        Route("/health", health),
        Route("/ready", ready),
        Route("/stats", stats),
        Route("/metrics", MetricsEndpoint(service.registry).__call__),
    ]


def lifespan(service: Service) -> Callable[[Starlette], Any]:
    """Start the service before the first request and stop it after the last."""

    @asynccontextmanager
    async def run(app: Starlette) -> AsyncIterator[None]:
        try:
            await service.start()
        except SystemExit as refusal:
            service.lifecycle.exit_code = int(refusal.code or 1)
            raise
        try:
            yield
        finally:
            service.lifecycle.stop()
            await service.stop()
            await service.lifecycle.cancel_tasks()

    return run


class ServiceApp(Starlette):
    """Starlette's router behind the edge, without Starlette's own error middleware in between.

    The edge answers every error. An endpoint that speaks ASGI itself, at a path without
    parameters, is found in a table; the router sees the rest.
    """

    def __init__(
        self, service: Service, routes: Sequence[BaseRoute], authenticate: Authenticate
    ) -> None:
        routes = [*standard_routes(service), *routes]
        super().__init__(routes=routes, lifespan=lifespan(service))
        self.router.redirect_slashes = False  # a redirect would repeat the client's own Host
        self._edge = Edge(self._dispatch, authenticate, HttpMetrics(service.registry))
        self._direct = dict(direct_routes(routes))

    def build_middleware_stack(self) -> ASGIApp:
        """See ``Starlette``."""
        return self._edge

    async def _dispatch(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._direct.get((scope.get("method"), scope.get("path")))
        if route is None:
            await self.router(scope, receive, send)
            return
        scope["route"] = route
        await route.app(scope, receive, send)


def direct_routes(
    routes: Sequence[BaseRoute],
) -> Iterator[tuple[tuple[str | None, str | None], Route]]:
    """Routes that can be found by method and path alone."""
    for route in routes:
        if not isinstance(route, Route) or route.param_convertors:
            continue
        if not inspect.isroutine(route.endpoint):
            yield from (((method, route.path), route) for method in route.methods or ())


def create_service_app(
    service: Service, routes: Sequence[BaseRoute], authenticate: Authenticate
) -> ServiceApp:
    """The standard routes and a service's own, the edge and the lifespan."""
    return ServiceApp(service, routes, authenticate)
