"""The edge that every service has: ids, errors in one shape, probes, lifecycle."""

import asyncio
import contextlib
import errno
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from common.auth import ServiceToken
from common.errors import all_errors
from common.http.service import create_service_app
from common.lifecycle import Lifecycle
from common.options import ServiceOptions
from tests.support.client import TOKEN, BrokerClient
from tests.support.serving import running


class Sample:
    """A service with a route for every error there is."""

    name = "sample"

    def __init__(self) -> None:
        self.lifecycle = Lifecycle()
        self.registry = CollectorRegistry()
        self.stops = 0

    async def start(self) -> None:
        """Nothing to open."""

    async def stop(self) -> None:
        """Count it."""
        self.stops += 1

    def stats(self) -> dict[str, Any]:
        """No numbers."""
        return {}


async def echo(request: Request) -> Response:
    return JSONResponse({"request_id": request.scope["request_id"]})


async def use_disk(request: Request) -> Response:
    raise OSError(int(request.query_params["errno"]), "on purpose")


async def fail(request: Request) -> Response:
    code = request.query_params["code"]
    kind = next((error for error in all_errors() if error.code == code), None)
    raise kind("on purpose") if kind else ValueError("a secret of the inside")


ROUTES = (Route("/echo", echo), Route("/fail", fail), Route("/disk", use_disk))


@contextlib.asynccontextmanager
async def serving(
    service: Sample, routes: Sequence[Route] = ROUTES, **given: Any
) -> AsyncIterator[str]:
    options = ServiceOptions(service_token=SecretStr(TOKEN), **given)
    app = create_service_app(service, routes, ServiceToken(options.service_token))
    async with running(app, options, service.lifecycle) as url:
        yield url


@pytest.fixture
async def client() -> AsyncIterator[BrokerClient]:
    async with serving(Sample()) as url, BrokerClient(url) as found:
        yield found


@pytest.mark.parametrize("kind", all_errors())
async def test_every_error_of_the_tree_has_the_one_shape(client: BrokerClient, kind: Any) -> None:
    answer = await client.request("GET", "/fail", params={"code": kind.code})
    assert answer.status == kind.status
    assert answer.json["error"] == {"code": kind.code, "message": "on purpose", "details": None}
    assert answer.json["request_id"] == answer.headers["X-Request-ID"]
    assert ("Retry-After" in answer.headers) == (kind.retry_after_seconds is not None)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "DISK_FULL"),
        (errno.EMFILE, "UNAVAILABLE"),
        (errno.EROFS, "UNAVAILABLE"),
        (errno.EIO, "INTERNAL"),
    ],
)
async def test_a_disk_that_does_not_serve_a_request_is_told_by_code(
    client: BrokerClient, number: int, code: str
) -> None:
    answer = await client.request("GET", "/disk", params={"errno": str(number)})
    assert answer.code == code
    assert ("Retry-After" in answer.headers) == (answer.status == 503)


async def test_an_unexpected_error_tells_nothing_of_the_inside(client: BrokerClient) -> None:
    answer = await client.request("GET", "/fail", params={"code": "none"})
    assert (answer.status, answer.code) == (500, "INTERNAL")
    assert b"secret" not in answer.body


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "NOT_FOUND"),
        ("GET", "/echo/", 404, "NOT_FOUND"),
        ("GET", "//echo", 404, "NOT_FOUND"),
        ("POST", "/echo", 405, "METHOD_NOT_ALLOWED"),
        ("OPTIONS", "/echo", 405, "METHOD_NOT_ALLOWED"),
    ],
)
async def test_what_the_router_refuses_has_the_one_shape(
    client: BrokerClient, method: str, path: str, status: int, code: str
) -> None:
    answer = await client.request(method, path)
    assert (answer.status, answer.code) == (status, code)


@pytest.mark.parametrize(
    ("shown", "kept"),
    [("abc-1.2_3", True), ("a b", False), ("x" * 65, False), ('"}', False), ("", False)],
)
async def test_a_harmless_request_id_is_kept(client: BrokerClient, shown: str, kept: bool) -> None:
    answer = await client.request("GET", "/echo", headers={"X-Request-ID": shown})
    assert (answer.json["request_id"] == shown) == kept
    assert answer.headers["X-Request-ID"] == answer.json["request_id"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": "Bearer " + "x" * 8000},
        {"Authorization": "Bearer \u00e9"},
        {"X-API-Key": TOKEN},
    ],
)
async def test_without_the_token_nothing_is_told(headers: dict[str, str]) -> None:
    async with serving(Sample()) as url, BrokerClient(url, token=None) as client:
        for path in ("/echo", "/nowhere", "/health/", "//health", "/health%2f", "/x/../health"):
            answer = await client.request("GET", path, headers=headers)
            assert (answer.status, answer.code) == (401, "UNAUTHORIZED")
            assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_two_credentials_are_none(client: BrokerClient) -> None:
    headers = [("Authorization", f"Bearer {TOKEN}"), ("Authorization", "Bearer other")]
    answer = await client.request("GET", "/echo", headers=headers)
    assert (answer.status, answer.code) == (400, "INVALID_REQUEST")


@pytest.mark.parametrize("path", ["/health", "/ready", "/stats", "/metrics"])
async def test_probes_need_no_token(path: str) -> None:
    async with serving(Sample()) as url, BrokerClient(url, token=None) as client:
        assert (await client.request("GET", path)).status == 200


async def test_a_task_that_died_makes_the_service_unready() -> None:
    async def die() -> None:
        raise ValueError("no more")

    service = Sample()
    async with serving(service) as url, BrokerClient(url) as client:
        await asyncio.wait([service.lifecycle.spawn("worker", die())])
        answer = await client.request("GET", "/ready")
        assert (await client.request("GET", "/health")).status == 200
    assert answer.status == 503
    assert "worker" in answer.json["reasons"][0]


async def test_a_stop_is_the_services_to_finish() -> None:
    service = Sample()
    async with serving(service):
        assert service.stops == 0
    assert service.stops == 1
    assert service.lifecycle.not_ready_reasons() == ["stopping"]


async def test_metrics_name_routes_and_never_paths(client: BrokerClient) -> None:
    await client.request("GET", "/nowhere/at/all")
    await client.request("GET", "/echo")
    text = (await client.request("GET", "/metrics")).body.decode()
    assert 'http_requests_total{method="GET",route="/echo",status="200"} 1.0' in text
    assert 'route="unmatched",status="404"' in text
    assert "at/all" not in text
