"""What the API does not answer, and how it says so."""

import subprocess
import sys
from pathlib import Path

import pytest

from common.errors import all_errors
from common.storage.sqlite.store import SqliteStore
from tests.api.conftest import Api, StartApi
from tests.api.test_access import closed_paths

GPU = "/api/v1/gpus/GPU-03/telemetry"
CODES = {error.code: error.status for error in all_errors()}

BAD = [
    ("/api/v1/gpus?nothing=1", 400),
    ("/api/v1/gpus?limit=1&limit=2", 400),
    ("/api/v1/gpus?limit=ten", 400),
    ("/api/v1/gpus?limit=1e2", 400),
    ("/api/v1/gpus?limit=", 400),
    ("/api/v1/gpus?limit=0", 422),
    ("/api/v1/gpus?limit=-1", 422),
    ("/api/v1/gpus?limit=10001", 422),
    ("/api/v1/gpus?limit=99999999999999999999999999", 422),
    ("/api/v1/gpus?offset=-1", 422),
    ("/api/v1/gpus?offset=99999999999999999999999999", 422),
    ("/api/v1/gpus?host=" + "x" * 513, 422),
    ("/api/v1/gpus?host=%ff", 400),
    ("/api/v1/gpus?cursor=nonsense", 400),
    ("/api/v1/gpus?cursor=%C3%A9", 400),
    ("/api/v1/gpus?cursor=WyJob3N0cyIsImgxIl0", 400),
    ("/api/v1/gpus?cursor=WyJncHVzIiwxXQ", 400),
    ("/api/v1/gpus?cursor=WyJncHVzIiwiYSJd&offset=1", 400),
    ("/api/v1/gpus?" + "&".join(f"a{i}=1" for i in range(60)), 400),
    ("/api/v1/stats?limit=1", 400),
    (GPU + "?limit=10001", 422),
    (GPU + "?order=sideways", 422),
    (GPU + "?start=yesterday", 400),
    (GPU + "?start=2025-07-18", 400),
    (GPU + "?start=2025-07-18T20:42:34", 400),
    (GPU + "?start=2025-13-18T20:42:34Z", 400),
    (GPU + "?start=2025-07-18T20:42:60Z", 400),
    (GPU + "?start=2025-07-18T20:42:34%2B99:00", 400),
    (GPU + "?start=1752871354", 400),
    (GPU + "?start=2025-07-18T20:42:34Z&start_time=2025-07-18T20:42:34Z", 400),
    (GPU + "?start=2025-07-18T20:42:34.001Z&end=2025-07-18T20:42:34Z", 422),
    (GPU + "?start=2025-07-18T20:42:35Z&end=2025-07-18T20:42:34Z", 422),
    (GPU + "?metric=", 400),
    (GPU + "?metric=a&metric_name=b", 400),
    (GPU + "?metric=" + "x" * 513, 422),
    (GPU + "?metric=" + ",".join(f"m{i}" for i in range(257)), 422),
    (GPU + "?cursor=WyJkZXNjIixbMSwiYSJdXQ&order=asc", 400),
]


@pytest.mark.parametrize(("path", "status"), BAD, ids=[path[:70] for path, _ in BAD])
async def test_bad_input(api: Api, path: str, status: int) -> None:
    found, body, answer = await api.get(path)
    assert found == status, body
    assert set(body) == {"error", "request_id"}
    assert set(body["error"]) == {"code", "message", "details"}
    assert CODES[body["error"]["code"]] == status
    assert body["request_id"] == answer.headers["x-request-id"]


async def test_injection_finds_nothing_and_breaks_nothing(api: Api) -> None:
    for text in ("' OR 1=1 --", '"; DROP TABLE gpu; --', "%00", "..%2f..%2fetc", "%0d%0aX-Evil: 1"):
        assert (await api.ok(f"/api/v1/gpus?host={text}"))["gpus"] == []
        assert (await api.ok(f"{GPU}?metric=x{text}"))["points"] == []
        status, _, answer = await api.get(f"/api/v1/gpus/{text}")
        assert status == 404
        assert "X-Evil" not in answer.headers
    assert (await api.ok("/api/v1/stats"))["points"] == 240


async def test_no_store_yet_is_503_everywhere_and_unready(
    start_api: StartApi, store_path: Path
) -> None:
    async with start_api() as api:
        for method, path in closed_paths(api.app):
            if method == "POST" or "/trace/" in path:
                continue  # goes to the queue
            status, body, answer = await api.get(path, method=method)
            assert (status, body["error"]["code"]) == (503, "STORE_UNAVAILABLE"), path
            assert answer.headers["retry-after"] == "2"
        status, body, _ = await api.get("/ready", headers={})
        assert status == 503
        assert "no store at" in body["reasons"][0]
        assert (await api.get("/health", headers={}))[0] == 200
        assert not exists(store_path)
        SqliteStore(store_path).close()
        assert (await api.get("/ready", headers={}))[:2] == (200, {"ready": True, "reasons": []})
        assert (await api.ok("/api/v1/gpus"))["gpus"] == []


def exists(path: Path) -> bool:
    return path.exists()


def spoil(path: Path) -> None:
    """Put something else in a file's place."""
    path.unlink()
    path.write_bytes(b"not a database at all" * 1_000)


async def test_a_store_that_breaks_is_503_and_not_empty(
    start_api: StartApi, fleet: SqliteStore, store_path: Path
) -> None:
    fleet.close()
    async with start_api() as api:
        assert (await api.get("/ready"))[0] == 200
        spoil(store_path)
        assert (await api.get("/ready"))[0] == 503
        assert (await api.get("/api/v1/gpus"))[0] == 503


async def test_too_many_questions_are_turned_away(start_api: StartApi, fleet: SqliteStore) -> None:
    async with start_api(store_waiting=1) as api:
        asking = api.app.state.asking
        asking._under_way = 1
        status, body, answer = await api.get("/api/v1/gpus")
        assert (status, body["error"]["code"]) == (429, "OVERLOADED")
        assert answer.headers["retry-after"] == "1"
        asking._under_way = 0
        await api.ok("/api/v1/gpus")
    fleet.close()


@pytest.mark.parametrize("text", [None, "[]", "{"])
def test_without_a_key_it_does_not_start(tmp_path: Path, text: str | None) -> None:
    keys = tmp_path / "keys.json"
    if text is not None:
        keys.write_text(text)
    program = (
        "from api.app import create_app; from api.options import ApiOptions;"
        "from common.lifecycle import Lifecycle; create_app(ApiOptions.load({}), Lifecycle())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"API_KEYS_FILE": str(keys), "SERVICE_TOKEN": "0123456789abcdef"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "API_KEYS_FILE" in done.stderr
    assert "does not start without a key" in done.stderr
