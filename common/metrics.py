"""What every service measures of its process and its HTTP face, and how it is exposed."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class HttpMetrics:
    """Requests by method, route template and status, never by raw path; and the process itself."""

    def __init__(self, registry: CollectorRegistry) -> None:
        ProcessCollector(registry=registry)  # memory, CPU, descriptors, by Prometheus's own names
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._requests = Counter(
            "http_requests_total",
            "Requests answered.",
            ["method", "route", "status"],
            registry=registry,
        )
        self._duration = Histogram(
            "http_request_duration_seconds",
            "Time to the end of the answer; of an event stream, to its start.",
            ["method", "route"],
            buckets=_BUCKETS,
            registry=registry,
        )

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        found = self._children.get((method, route, status))
        if found is None:
            counter = self._requests.labels(method, route, str(status))
            found = counter, self._duration.labels(method, route)
            self._children[method, route, status] = found
        found[0].inc()
        found[1].observe(seconds)


def exposition(registry: CollectorRegistry) -> Response:
    """The Prometheus text of a registry."""
    return Response(generate_latest(registry), headers={"content-type": CONTENT_TYPE_LATEST})


class MetricsEndpoint:
    """``GET /metrics``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    async def __call__(self, request: Request) -> Response:
        return exposition(self._registry)
