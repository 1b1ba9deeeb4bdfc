"""Who gets in. Cases are made from the app's own routes: a new one is covered as it is added."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.routing import BaseRoute

from api.docs import OPEN_PATHS as DOCS_PATHS
from common.http.edge import OPEN_PATHS
from common.keys import create_key, load_keys, save_keys
from tests.api.conftest import Api, StartApi

OPEN = OPEN_PATHS | DOCS_PATHS


def all_routes(routes: Iterable[BaseRoute]) -> list[BaseRoute]:
    """Routes with those of included routers in the place of the router."""
    found: list[BaseRoute] = []
    for route in routes:
        router = getattr(route, "original_router", None)
        found += [route] if router is None else all_routes(router.routes)
    return found


def closed_paths(app: FastAPI) -> list[tuple[str, str]]:
    """Method and path of every route that must ask for a key, parameters filled in."""
    found = []
    for route in all_routes(app.routes):
        path = str(getattr(route, "path_format", ""))
        assert path, f"a route of a kind this test cannot call: {route}"
        filled = path.replace("{gpu_id}", "GPU-00").replace("{host}", "host-0")
        filled = filled.replace("{message_id}", "broker-0:0:0")
        assert "{" not in filled, f"fill in the parameters of {path} here"
        if path not in OPEN:
            found += [(method, filled) for method in getattr(route, "methods", None) or ["GET"]]
    return found


def reach(method: str) -> str:
    """The scope that a method needs."""
    return "read" if method in ("GET", "HEAD") else "write"


async def status_of(api: Api, method: str, path: str, headers: dict[str, str]) -> int:
    """The status alone: a stream has no end."""
    async with api.client.request(method, api.url + path, headers=headers) as answer:
        return answer.status


def broken_keys(good: str) -> dict[str, dict[str, str]]:
    """Headers that must not open anything."""
    prefix, key_id, secret = good.split("_", 2)
    return {
        "none": {},
        "empty": {"X-API-Key": ""},
        "wrong": {"X-API-Key": f"{prefix}_{key_id}_{secret[::-1]}"},
        "wrong id": {"X-API-Key": f"{prefix}_other_{secret}"},
        "cut": {"X-API-Key": good[:-1]},
        "longer": {"X-API-Key": good + "A"},
        "upper case": {"X-API-Key": good.upper()},
        "long": {"X-API-Key": good + "x" * 7_000},
        "not ASCII": {"X-API-Key": good[:-1] + "é"},
        "other scheme": {"Authorization": f"Basic {good}"},
        "no scheme": {"Authorization": good},
        "service token": {"Authorization": "Bearer 0123456789abcdef"},
        "the hash": {"X-API-Key": "0" * 64},
    }


async def test_every_route_but_the_open_ones_asks_for_a_key(api: Api) -> None:
    closed = closed_paths(api.app)
    assert len(closed) == 14
    answers = set()
    for method, path in closed:
        for case, headers in broken_keys(api.keys["read"]).items():
            status, body, answer = await api.get(path, headers=headers, method=method)
            assert status == 401, f"{method} {path} with {case} key"
            assert answer.headers["www-authenticate"] == "Bearer"
            answers.add(json.dumps(body["error"]))
    assert len(answers) == 1, "what is wrong with a key must not show"


async def test_every_route_refuses_keys_that_were_good_once(start_api: StartApi) -> None:
    async with start_api() as api:
        over, record = create_key("over", ["admin"], datetime.now(UTC) - timedelta(seconds=1))
        revoked, _ = create_key("revoked", ["admin"])
        save_keys(api.keys_file, [*load_keys(api.keys_file), record])
        for method, path in closed_paths(api.app):
            for key in (over, revoked):
                for headers in ({"X-API-Key": key}, {"Authorization": f"Bearer {key}"}):
                    assert await status_of(api, method, path, headers) == 401, path


async def test_every_route_refuses_what_is_too_much_of_a_key(api: Api) -> None:
    key = api.keys["admin"]
    for method, path in closed_paths(api.app):
        doubled: Any = [("X-API-Key", key), ("X-API-Key", key)]
        assert await status_of(api, method, path, doubled) == 400, path
        long = {"X-API-Key": key + "x" * (1 << 20)}
        assert await status_of(api, method, path, long) == 431, path


async def test_every_route_takes_a_good_key_by_either_header(api: Api) -> None:
    for method, path in closed_paths(api.app):
        key = api.keys[reach(method)]
        for headers in (
            {"X-API-Key": key},
            {"Authorization": f"Bearer {key}"},
            {"authorization": f"bearer {api.keys['admin']}"},
        ):
            status = await status_of(api, method, path, headers)
            # what is posted has no body here, and there is no queue to look for a message in
            unheard = 400 if method == "POST" else 503 if "/trace/" in path else 200
            assert status == unheard, path


async def test_every_route_refuses_a_key_of_another_scope(api: Api) -> None:
    for method, path in closed_paths(api.app):
        other = {"read": "write", "write": "read"}[reach(method)]
        status, body, _ = await api.get(path, headers={"X-API-Key": api.keys[other]}, method=method)
        assert (status, body["error"]["code"]) == (403, "FORBIDDEN")


async def test_two_keys_are_one_too_many(api: Api) -> None:
    key = api.keys["read"]
    for headers in (
        [("X-API-Key", key), ("X-API-Key", key)],
        [("Authorization", f"Bearer {key}"), ("Authorization", f"Bearer {key}")],
        [("X-API-Key", key), ("Authorization", f"Bearer {key}")],
    ):
        async with api.client.get(api.url + "/api/v1/gpus", headers=headers) as answer:
            assert answer.status == 400
            assert (await answer.json())["error"]["code"] == "INVALID_REQUEST"


@pytest.mark.parametrize("path", ["/api/v1/gpus/", "//api/v1/gpus", "/docs/../api/v1/gpus", "/no"])
async def test_paths_that_are_none_ask_for_a_key_too(api: Api, path: str) -> None:
    status, _, _ = await api.get(path, headers={})
    assert status == 401


async def test_open_paths_need_no_key(api: Api) -> None:
    for path in OPEN:
        status, _, _ = await api.get(path, headers={})
        assert status == 200, path


async def test_a_method_that_writes_needs_more_than_read(api: Api) -> None:
    status, _, _ = await api.get("/api/v1/gpus", method="POST")
    assert status == 403
    status, body, _ = await api.get(
        "/api/v1/gpus", method="POST", headers={"X-API-Key": api.keys["admin"]}
    )
    assert (status, body["error"]["code"]) == (405, "METHOD_NOT_ALLOWED")


async def test_keys_change_without_a_restart(start_api: StartApi) -> None:
    async with start_api() as api:
        path = api.keys_file
        old, kept = api.keys["read"], load_keys(path)
        new, record = create_key("new", ["read"])
        save_keys(path, [*kept, record])
        for key in (old, new):
            assert (await api.get("/api/v1/no", headers={"X-API-Key": key}))[0] == 404
        save_keys(path, [record])
        assert (await api.get("/api/v1/no", headers={"X-API-Key": old}))[0] == 401
        assert (await api.get("/api/v1/no", headers={"X-API-Key": new}))[0] == 404


async def test_a_key_past_its_end_is_unknown(start_api: StartApi) -> None:
    async with start_api() as api:
        path = api.keys_file
        over, record = create_key("over", ["read"], datetime.now(UTC) - timedelta(seconds=1))
        save_keys(path, [*load_keys(path), record])
        status, body, _ = await api.get("/api/v1/gpus", headers={"X-API-Key": over})
        unknown = (await api.get("/api/v1/gpus", headers={}))[1]
        assert status == 401
        assert body["error"] == unknown["error"]
