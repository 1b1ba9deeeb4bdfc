"""The API as an ASGI app: who may ask, what can be asked, and the store behind it."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from prometheus_client import CollectorRegistry, Gauge
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Scope

from api import docs, export, gpus, hosts, ingest, live, stats, telemetry, trace
from api.asking import Asking
from api.cors import cors
from api.exports import Exports
from api.feed import Feed
from api.options import ApiOptions
from api.parameters import refuse_parameters
from api.paths import EscapedPaths
from api.queue import Queue
from api.rates import Rates
from common.clock import Clock, SystemClock
from common.errors import Unavailable
from common.http.edge import OPEN_PATHS, Edge, reraise
from common.http.service import lifespan, standard_routes
from common.keys import KeyRing, KeysUnusable, require
from common.lifecycle import Lifecycle
from common.metrics import HttpMetrics
from common.options import refuse
from common.queue.options import queue_address
from common.storage.factory import open_store

VERSION = "1"
READING = frozenset({"GET", "HEAD", "OPTIONS"})
ROUTERS = (  # what is asked most is looked at first
    telemetry.router,
    gpus.router,
    export.router,
    live.router,
    ingest.router,
    hosts.router,
    stats.router,
    trace.router,
)


class ApiService:
    """The process behind the API: its keys, and its ways to the store and the queue."""

    name = "api"

    def __init__(self, options: ApiOptions, lifecycle: Lifecycle, clock: Clock) -> None:
        self.lifecycle = lifecycle
        self.registry = CollectorRegistry()
        self.keys = open_keys(options)
        self.rates = Rates(options.rate_limit, options.rate_burst, clock)
        self.asking = Asking(
            open_store(options, writable=False),
            threads=options.store_threads,
            waiting=options.store_waiting,
            timeout_seconds=options.store_timeout_seconds,
            max_limit=options.max_limit,
        )
        self.exports = Exports(
            self.asking, options.max_exports, at_once=max(1, options.store_threads - 1)
        )
        self.queue = Queue(queue_address(options), options.topic, clock)
        self.feed = Feed(
            self.asking,
            lifecycle,
            clock,
            interval_seconds=options.live_interval_seconds,
            max_streams=options.max_streams,
        )
        lifecycle.on_stop(lambda: self.feed.finish(Unavailable("the API is stopping")))
        streams = Gauge("live_streams", "Live streams that are open.", registry=self.registry)
        streams.set_function(lambda: len(self.feed))
        self._store = options.store

    async def start(self) -> None:
        """Open no store: the first question does, and the API outlives its absence."""
        await self.queue.start()

    async def stop(self) -> None:
        """See ``Service``."""
        await self.queue.stop()
        self.asking.close()

    def stats(self) -> Mapping[str, Any]:
        """See ``Service``."""
        return {
            "service": self.name,
            "store": self._store,
            "keys": len(self.keys),
            "live_streams": len(self.feed),
        }

    def authenticate(self, scope: Scope) -> None:
        """Let in who shows a key that reaches as far as the method does, and not too often."""
        key = self.keys.authenticate(scope)
        self.rates.spend(key.id)
        require(key, "read" if scope["method"] in READING else "write")
        scope["api_key"] = key

    async def ready(self, request: Request) -> Response:
        """``GET /ready``: fit for work only if the store answers now."""
        reasons = self.lifecycle.not_ready_reasons()
        problem = await self.asking.problem()
        if problem is not None:
            reasons = [*reasons, f"store: {problem}"]
        body = {"ready": not reasons, "reasons": reasons}
        return JSONResponse(body, status_code=503 if reasons else 200)

    def routes(self) -> list[BaseRoute]:
        """The routes every service has, with readiness of the API's own, the docs, the API."""
        own = Route("/ready", self.ready)
        standard = [own if getattr(r, "path", "") == own.path else r for r in standard_routes(self)]
        asked = [route for router in ROUTERS for route in router.routes]
        return [*asked, *standard, *docs.docs_routes()]


def open_keys(options: ApiOptions) -> KeyRing:
    """Read the keys; without one the process says so and leaves with the code for bad options."""
    try:
        return KeyRing(options.api_keys_file)
    except KeysUnusable as error:
        refuse([f"API_KEYS_FILE: {error}; the API does not start without a key"])


def create_app(options: ApiOptions, lifecycle: Lifecycle, clock: Clock | None = None) -> FastAPI:
    """The API. Leaves the process with exit code 2 when no key is configured."""
    clock = clock or SystemClock()
    service = ApiService(options, lifecycle, clock)
    edge = Middleware(
        Edge,
        authenticate=service.authenticate,
        metrics=HttpMetrics(service.registry),
        open_paths=OPEN_PATHS | docs.OPEN_PATHS,
    )
    app = FastAPI(
        version=VERSION,
        openapi_url=None,  # served by api.docs, with shapes and security that FastAPI cannot see
        routes=service.routes(),
        middleware=[*cors(options.cors_origins), edge, Middleware(EscapedPaths)],
        exception_handlers={HTTPException: reraise, RequestValidationError: refuse_parameters},
        lifespan=lifespan(service),
        redirect_slashes=False,
    )
    app.state.asking = service.asking
    app.state.keys = service.keys
    app.state.queue = service.queue
    app.state.exports = service.exports
    app.state.feed = service.feed
    app.state.clock = clock
    app.state.options = options
    return app
