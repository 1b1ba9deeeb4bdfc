"""Offsets, windows, and names that hold a slash."""

import pytest

from common.models import Gpu, Sample
from common.storage.sqlite.store import SqliteStore
from tests.api.conftest import METRICS, T0, Api

POINTS = "/api/v1/gpus/GPU-03/telemetry"


@pytest.mark.parametrize("offset", [0, 1, 7, 19, 20, 21])
@pytest.mark.parametrize("skipped_at_once", [3, 10_000])
async def test_an_offset_skips_points(
    api: Api, monkeypatch: pytest.MonkeyPatch, offset: int, skipped_at_once: int
) -> None:
    monkeypatch.setattr("api.telemetry.SKIPPED_AT_ONCE", skipped_at_once)
    whole = (await api.ok(POINTS))["points"]
    body = await api.ok(f"{POINTS}?limit=5&offset={offset}")
    assert body["points"] == whole[offset : offset + 5]
    assert (body["next_cursor"] is not None) == (offset + 5 < 20)


async def test_a_cursor_after_an_offset_goes_on(api: Api) -> None:
    whole = (await api.ok(POINTS))["points"]
    more = (await api.ok(f"{POINTS}?limit=5&offset=4"))["next_cursor"]
    assert (await api.ok(f"{POINTS}?limit=5&cursor={more}"))["points"] == whole[9:14]


@pytest.mark.parametrize(
    ("path", "field"),
    [("/api/v1/hosts", "hosts"), ("/api/v1/namespaces", "namespaces"), ("/api/v1/gpus", "gpus")],
)
async def test_an_offset_skips_entries(api: Api, path: str, field: str) -> None:
    whole = (await api.ok(path))[field]
    for offset in range(len(whole) + 2):
        assert (await api.ok(f"{path}?limit=1&offset={offset}"))[field] == whole[offset:][:1]


class TestSlashes:
    @pytest.fixture
    def name(self, fleet: SqliteStore) -> str:
        for uuid in ("rack/1/metrics", "rack", "100%2F"):
            fleet.write([Sample(Gpu(uuid=uuid, hostname="a/b"), T0, {uuid: 1.0})])
        return "rack%2F1%2Fmetrics"

    @pytest.mark.parametrize("tail", ["", "/metrics", "/telemetry", "/telemetry/export"])
    async def test_in_a_gpu(self, api: Api, name: str, tail: str) -> None:
        status, body, _ = await api.get(f"/api/v1/gpus/{name}{tail}")
        assert status == 200
        assert "rack/1/metrics" in str(body)

    async def test_in_a_host(self, api: Api, name: str) -> None:
        gpus = (await api.ok("/api/v1/hosts/a%2Fb/gpus"))["gpus"]
        assert [gpu["id"] for gpu in gpus] == ["100%2F", "rack", "rack/1/metrics"]

    async def test_a_slash_that_is_not_escaped_ends_a_name(self, api: Api, name: str) -> None:
        assert (await api.ok("/api/v1/gpus/rack/metrics"))["metrics"] == ["rack"]
        assert (await api.get("/api/v1/gpus/rack/1/metrics"))[0] == 404

    async def test_an_escape_is_undone_once(self, api: Api, name: str) -> None:
        assert (await api.ok("/api/v1/gpus/100%252F"))["id"] == "100%2F"

    async def test_other_escapes_mean_what_they_stand_for(self, api: Api) -> None:
        assert (await api.ok("/api/v1/%67pus/GPU%2D03"))["id"] == "GPU-03"

    async def test_a_name_that_is_no_text_is_refused(self, api: Api) -> None:
        status, body, _ = await api.get("/api/v1/gpus/%ff")
        assert (status, body["error"]["code"]) == (400, "INVALID_REQUEST")


class TestWindows:
    async def test_a_point_for_each_window(self, api: Api) -> None:
        body = await api.ok(f"{POINTS}?metric={METRICS[0]}&window=2s")
        assert [point["value"] for point in body["points"]] == [40.5, 42.5, 44.5, 46.5, 48.5]
        assert body["points"][0]["timestamp"] == "2025-07-18T20:42:34.000Z"

    @pytest.mark.parametrize(
        ("agg", "values"),
        [
            ("mean", [40.0, 43.0, 47.5]),
            ("min", [40.0, 41.0, 46.0]),
            ("max", [40.0, 45.0, 49.0]),
            ("last", [40.0, 45.0, 49.0]),
            ("p95", [40.0, 45.0, 49.0]),
        ],
    )
    async def test_aggregates(self, api: Api, agg: str, values: list[float]) -> None:
        body = await api.ok(f"{POINTS}?metric={METRICS[0]}&window=5s&agg={agg}")
        assert [point["value"] for point in body["points"]] == values

    @pytest.mark.parametrize("limit", [1, 2, 5])
    async def test_pages(self, api: Api, limit: int) -> None:
        whole = (await api.ok(f"{POINTS}?window=3s&agg=max"))["points"]
        found, more = [], ""
        while True:
            body = await api.ok(f"{POINTS}?window=3s&agg=max&limit={limit}{more}")
            found += body["points"]
            if body["next_cursor"] is None:
                break
            more = f"&cursor={body['next_cursor']}"
        assert found == whole

    @pytest.mark.parametrize(
        ("query", "status"),
        [
            ("window=0s", 422),
            ("window=1ms", 422),
            ("window=367d", 422),
            ("window=1.0005s", 422),
            ("window=-5m", 400),
            ("window=5y", 400),
            ("window=", 400),
            ("window=1e3", 400),
            ("agg=mean", 400),
            ("window=5m&agg=median", 422),
            ("window=5m&window=5m", 400),
        ],
    )
    async def test_what_is_no_window(self, api: Api, query: str, status: int) -> None:
        assert (await api.get(f"{POINTS}?{query}"))[0] == status

    async def test_a_cursor_is_of_its_windows(self, api: Api) -> None:
        more = (await api.ok(f"{POINTS}?limit=1"))["next_cursor"]
        assert (await api.get(f"{POINTS}?limit=1&window=2s&cursor={more}"))[0] == 400
