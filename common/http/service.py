"""The routes and the lifespan that every service has."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from common.http.edge import Authenticate, Edge, reraise
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
        body = {"ready": not reasons, "reasons": reasons}
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


def create_service_app(
    service: Service, routes: Sequence[BaseRoute], authenticate: Authenticate
) -> Starlette:
    """A Starlette app with the standard routes, the edge and the lifespan."""
    metrics = HttpMetrics(service.registry)
    app = Starlette(
        routes=[*standard_routes(service), *routes],
        middleware=[Middleware(Edge, authenticate=authenticate, metrics=metrics)],
        exception_handlers={HTTPException: reraise},
        lifespan=lifespan(service),
    )
    app.router.redirect_slashes = False  # a redirect would repeat the Host that the client made up
    return app
