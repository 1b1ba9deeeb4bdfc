"""Every route asks for the token, but those that are open."""

import pytest
from starlette.routing import Route

from common.http.edge import OPEN_PATHS
from common.lifecycle import Lifecycle
from proxy.app import create_app
from tests.support.client import BrokerClient
from tests.support.proxy import RunningProxy, proxy_options, running_proxy

NOWHERE = {"a": "http://127.0.0.1:1"}
APP = create_app(proxy_options(NOWHERE), Lifecycle())
ROUTES = [
    (method, route.path.replace("{topic}", "t"))
    for route in APP.routes
    if isinstance(route, Route)
    for method in sorted(route.methods or {"GET"})
]
TOKENS = [None, "wrong", "", "a-token-that-only-tests-know-", "A-TOKEN-THAT-ONLY-TESTS-KNOW"]


@pytest.mark.parametrize("token", TOKENS)
async def test_without_the_token_only_open_routes_answer(token: str | None) -> None:
    async with running_proxy(NOWHERE) as proxy, BrokerClient(proxy.url, token) as client:
        for method, path in ROUTES:
            answer = await client.request(method, path)
            assert (answer.status == 401) == (path not in OPEN_PATHS), (method, path)
            if answer.status == 401:
                assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_no_trick_with_the_path_opens_a_route() -> None:
    async with running_proxy(NOWHERE) as proxy, BrokerClient(proxy.url, None) as client:
        for path in ("/status/", "//status", "/health/../status", "/health%2F..%2Fstatus"):
            assert (await client.request("GET", path)).status == 401


async def test_the_open_routes_say_no_secret() -> None:
    async with running_proxy(NOWHERE) as proxy:
        bodies = [(await proxy.client.request("GET", path)).body for path in OPEN_PATHS]
    assert not any(b"a-token-that" in body for body in bodies)


async def test_what_is_not_there_is_said_in_the_one_shape() -> None:
    async with running_proxy(NOWHERE) as proxy:
        assert await code(proxy, "GET", "/nothing") == (404, "NOT_FOUND")
        assert await code(proxy, "DELETE", "/produce") == (405, "METHOD_NOT_ALLOWED")


async def code(proxy: RunningProxy, method: str, path: str) -> tuple[int, str]:
    answer = await proxy.client.request(method, path)
    return answer.status, answer.code
