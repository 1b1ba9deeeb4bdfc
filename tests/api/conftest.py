"""The API as users meet it: a real server on a free port, over real HTTP."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from yarl import URL

from api.app import create_app
from api.options import ApiOptions
from common.keys import create_key, save_keys
from common.lifecycle import Lifecycle
from common.models import Gpu, Sample
from common.storage.sqlite.store import SqliteStore
from tests.support.serving import running

T0 = 1_752_871_354_000
KEPT = "%/?&=:+,~"  # what a path of a test may hold as it is sent
METRICS = ("DCGM_FI_DEV_GPU_TEMP", "DCGM_FI_DEV_GPU_UTIL")


class Api:
    """A running API, the keys to it and the store behind it."""

    def __init__(
        self,
        app: FastAPI,
        url: str,
        client: aiohttp.ClientSession,
        keys: dict[str, str],
        keys_file: Path,
    ):
        self.app = app
        self.keys_file = keys_file
        self.url = url
        self.client = client
        self.keys = keys

    async def get(
        self,
        path: str,
        *,
        headers: dict[str, str] | None = None,
        method: str = "GET",
        data: Any = None,
    ) -> tuple[int, Any, aiohttp.ClientResponse]:
        """Status, JSON body and the whole answer of a request with the reading key."""
        shown = {"X-API-Key": self.keys["read"]} if headers is None else headers
        url = URL(self.url + quote(path, safe=KEPT), encoded=True)
        async with self.client.request(method, url, headers=shown, data=data) as answer:
            is_json = answer.content_type == "application/json"
            return answer.status, await answer.json() if is_json else await answer.text(), answer

    async def ok(self, path: str) -> Any:
        """The body of an answer that must be 200."""
        status, body, _ = await self.get(path)
        assert status == 200, body
        return body


StartApi = Callable[..., AbstractAsyncContextManager[Api]]


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture
def keys(keys_file: Path) -> dict[str, str]:
    """Keys in the file, by what they may."""
    made = {scope: create_key(f"{scope}er", [scope]) for scope in ("read", "write", "admin")}
    save_keys(keys_file, [key for _, key in made.values()])
    return {scope: text for scope, (text, _) in made.items()}


@pytest.fixture
def store_path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def fleet(store_path: Path) -> SqliteStore:
    """Twelve GPUs on three hosts, each with two metrics at ten moments."""
    store = SqliteStore(store_path)
    for i in range(12):
        about = Gpu(
            uuid=f"GPU-{i:02}",
            hostname=f"host-{i // 4}",
            model="A100" if i % 2 else "H100",
            namespace="train" if i < 3 else "",
        )
        store.write(
            [
                Sample(about, T0 + at * 1000, {METRICS[1]: i + at / 10, METRICS[0]: 40.0 + at})
                for at in range(10)
            ]
        )
    return store


@pytest.fixture
def start_api(keys_file: Path, store_path: Path, keys: dict[str, str]) -> StartApi:
    """Starts an API with options of the test's own."""

    @asynccontextmanager
    async def start(
        service_token_text: str = "0123456789abcdef", **given: Any
    ) -> AsyncIterator[Api]:
        options = ApiOptions(
            port=0,
            api_keys_file=keys_file,
            sqlite_path=store_path,
            service_token=SecretStr(service_token_text),
            **given,
        )
        lifecycle = Lifecycle()
        app = create_app(options, lifecycle)
        async with running(app, options, lifecycle) as url, aiohttp.ClientSession() as client:
            yield Api(app, url, client, keys, keys_file)

    return start


@pytest.fixture
async def api(start_api: StartApi, fleet: SqliteStore) -> AsyncIterator[Api]:
    """The API on the fleet's store."""
    async with start_api() as started:
        yield started
    fleet.close()
