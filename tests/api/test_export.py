"""A GPU's points as a file."""

import asyncio
import csv
import io
import threading
from typing import Any

import pytest

import api.export
from common.keys import load_keys, save_keys
from common.models import Gpu, Sample
from common.storage.sqlite.store import SqliteStore
from tests.api.conftest import T0, Api, StartApi
from tests.support.proxy import until

EXPORT = "/api/v1/gpus/GPU-03/telemetry/export"
HEADER = ["timestamp", "gpu_id", "metric", "value"]
FORMULAS = ["=cmd()", "+1", "-1", "@x", "\tx", "\rx", 'say "x"', "a,b", "two\nlines"]


async def rows(api: Api, path: str) -> list[list[str]]:
    """The rows of a CSV answer, read as a stranger would."""
    status, text, answer = await api.get(path)
    assert (status, answer.content_type) == (200, "text/csv")
    return list(csv.reader(io.StringIO(text, newline="")))


async def test_csv_holds_what_the_pages_hold(api: Api) -> None:
    points = (await api.ok("/api/v1/gpus/GPU-03/telemetry"))["points"]
    header, *found = await rows(api, EXPORT)
    assert header == HEADER
    assert [(r[0], r[2], float(r[3])) for r in found] == [
        (point["timestamp"], point["metric"], point["value"]) for point in points
    ]
    assert {row[1] for row in found} == {"GPU-03"}


async def test_json_is_one_page_of_everything(api: Api) -> None:
    whole = await api.ok("/api/v1/gpus/GPU-03/telemetry")
    del whole["next_cursor"]
    assert await api.ok(EXPORT + "?format=json") == whole


@pytest.mark.parametrize("page_points", [1, 3, 20, 21])
@pytest.mark.parametrize("query", ["", "&order=desc", "&start=2025-07-18T20:42:36Z", "&metric=no"])
async def test_pages_leave_no_seam(
    api: Api, monkeypatch: pytest.MonkeyPatch, page_points: int, query: str
) -> None:
    whole = await api.ok(f"{EXPORT}?format=json{query}")
    table = await rows(api, f"{EXPORT}?format=csv{query}")
    monkeypatch.setattr(api_export(), "PAGE_POINTS", page_points)
    assert await api.ok(f"{EXPORT}?format=json{query}") == whole
    assert await rows(api, f"{EXPORT}?format=csv{query}") == table


def api_export() -> Any:
    return api.export


async def test_every_digit_and_no_formula(api: Api, fleet: SqliteStore) -> None:
    values = dict.fromkeys(FORMULAS, -(0.1 + 0.2)) | {"b": 5e-324, "c": -1.7976931348623157e308}
    fleet.write([Sample(Gpu(uuid="=1+1"), T0, values)])
    _, *found = await rows(api, "/api/v1/gpus/%3D1%2B1/telemetry/export")
    assert {row[1] for row in found} == {"'=1+1"}
    assert {row[2].removeprefix("'"): float(row[3]) for row in found} == values
    for row in found:
        assert not row[2].startswith(("=", "+", "-", "@", "\t", "\r"))


async def test_its_name_is_safe_in_a_header(api: Api, fleet: SqliteStore) -> None:
    fleet.write([Sample(Gpu(uuid='x"\r\nEvil: 1/..'), T0, {"m": 1.0})])
    status, _, answer = await api.get("/api/v1/gpus/x%22%0D%0AEvil:%201%2F../telemetry/export")
    assert status == 200
    assert "Evil" not in answer.headers
    assert (
        answer.headers["content-disposition"]
        == 'attachment; filename="telemetry-x___Evil__1_...csv"'
    )


@pytest.mark.parametrize(
    ("query", "status"),
    [("?format=xml", 422), ("?limit=1", 400), ("?start=yesterday", 400), ("?agg=mean", 400)],
)
async def test_a_bad_question_is_no_file(api: Api, query: str, status: int) -> None:
    assert (await api.get(EXPORT + query))[0] == status


async def test_an_unknown_gpu_is_no_file(api: Api) -> None:
    status, body, _ = await api.get("/api/v1/gpus/GPU-99/telemetry/export")
    assert (status, body["error"]["code"]) == (404, "NOT_FOUND")


async def test_a_key_revoked_meanwhile_breaks_it_off(
    start_api: StartApi, fleet: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of the key is met between two pages; the file must not look whole."""
    monkeypatch.setattr(api_export(), "PAGE_POINTS", 1)
    async with start_api() as api:
        path = api.keys_file
        kept = [key for key in load_keys(path) if key.id != "reader"]
        page = api.app.state.asking.store.telemetry

        def revoke_then_read(query: Any) -> Any:
            save_keys(path, kept)
            return page(query)

        monkeypatch.setattr(api.app.state.asking.store, "telemetry", revoke_then_read)
        with pytest.raises(Exception, match="payload"):
            await api.get(EXPORT)
    fleet.close()


async def test_a_client_that_leaves_ends_the_reading(
    start_api: StartApi, fleet: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is read for nobody: the export of a million points stops with its client."""
    monkeypatch.setattr(api_export(), "PAGE_POINTS", 1)
    fleet.write([Sample(Gpu(uuid="GPU-big"), T0 + n, {"m": 1.0}) for n in range(30_000)])
    async with start_api() as api:
        asking, pages = api.app.state.asking, 0
        telemetry = asking.store.telemetry

        def count(query: Any) -> Any:
            nonlocal pages
            pages += 1
            return telemetry(query)

        monkeypatch.setattr(asking.store, "telemetry", count)
        headers = {"X-API-Key": api.keys["read"]}
        url = api.url + "/api/v1/gpus/GPU-big/telemetry/export"
        async with api.client.get(url, headers=headers) as answer:
            await answer.content.readany()
        await until(lambda: asking._under_way == 0)
        before = pages
        await api.ok("/api/v1/metrics")
        assert pages == before < 30_000
    fleet.close()


class Gate:
    """Holds up whoever asks for points until ``opened``; ``held`` are those that came."""

    def __init__(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened = threading.Event()
        self.held = 0
        store = api.app.state.asking.store
        self._telemetry = store.telemetry
        monkeypatch.setattr(store, "telemetry", self._wait)

    def _wait(self, query: Any) -> Any:
        self.held += 1
        self.opened.wait()
        return self._telemetry(query)


async def test_only_so_many_exports_are_under_way(
    start_api: StartApi, fleet: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start_api(max_exports=1) as api:
        assert (await api.get("/api/v1/gpus/GPU-99/telemetry/export"))[0] == 404
        gate = Gate(api, monkeypatch)
        first = asyncio.create_task(api.get(EXPORT))
        try:
            await until(lambda: gate.held == 1)
            status, body, answer = await api.get(EXPORT)
        finally:
            gate.opened.set()
        assert (status, body["error"]["code"]) == (429, "OVERLOADED")
        assert "Retry-After" in answer.headers
        assert (await first)[0] == 200
        await until(lambda: len(api.app.state.exports) == 0)
        assert (await api.get(EXPORT))[0] == 200
    fleet.close()


async def test_nobody_waits_behind_exports(
    start_api: StartApi, fleet: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start_api(store_threads=2) as api:
        gate = Gate(api, monkeypatch)
        exports = [asyncio.create_task(api.get(EXPORT)) for _ in range(5)]
        try:
            await until(lambda: len(api.app.state.exports) == 5)
            await api.ok("/api/v1/metrics")
            assert gate.held == 1
        finally:
            gate.opened.set()
        assert [status for status, _, _ in await asyncio.gather(*exports)] == [200] * 5
    fleet.close()
