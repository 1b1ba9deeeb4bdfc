"""What the API answers."""

from typing import Any

import pytest

from common.models import Gpu, Sample
from common.storage.sqlite.store import SqliteStore
from tests.api.conftest import METRICS, T0, Api

GPU = "/api/v1/gpus/GPU-03"
POINTS = GPU + "/telemetry"


def at(second: int) -> str:
    return f"2025-07-18T20:42:{34 + second:02}.000Z"


async def walk(api: Api, path: str, field: str) -> list[Any]:
    """All entries of a list, page by page."""
    found: list[Any] = []
    more = ""
    while True:
        body = await api.ok(path + more)
        found += body[field]
        if body["next_cursor"] is None:
            return found
        more = f"&cursor={body['next_cursor']}"


class TestGpus:
    async def test_one(self, api: Api) -> None:
        assert await api.ok(GPU) == {
            "id": "GPU-03",
            "uuid": "GPU-03",
            "hostname": "host-0",
            "gpu_id": "",
            "device": "",
            "model": "A100",
            "namespace": "",
            "pod": "",
            "container": "",
            "labels": {},
            "first_seen": at(0),
            "last_seen": at(9),
            "points": 20,
        }

    async def test_its_metrics(self, api: Api) -> None:
        assert await api.ok(GPU + "/metrics") == {"gpu_id": "GPU-03", "metrics": list(METRICS)}

    async def test_all(self, api: Api) -> None:
        body = await api.ok("/api/v1/gpus")
        assert [gpu["id"] for gpu in body["gpus"]] == [f"GPU-{i:02}" for i in range(12)]
        assert body["next_cursor"] is None

    @pytest.mark.parametrize("limit", [1, 5, 11, 12])
    async def test_pages(self, api: Api, limit: int) -> None:
        found = await walk(api, f"/api/v1/gpus?limit={limit}", "gpus")
        assert [gpu["id"] for gpu in found] == [f"GPU-{i:02}" for i in range(12)]
        skipped = await api.ok(f"/api/v1/gpus?limit={limit}&offset=4")
        assert [gpu["id"] for gpu in skipped["gpus"]] == [f"GPU-{i:02}" for i in range(4, 12)][
            :limit
        ]

    async def test_filters(self, api: Api) -> None:
        body = await api.ok("/api/v1/gpus?host=host-0&model=A100&namespace=train")
        assert [gpu["id"] for gpu in body["gpus"]] == ["GPU-01"]
        assert (await api.ok("/api/v1/gpus?host=host-9"))["gpus"] == []

    @pytest.mark.parametrize("tail", ["", "/metrics", "/telemetry"])
    async def test_unknown(self, api: Api, tail: str) -> None:
        status, body, _ = await api.get("/api/v1/gpus/GPU-99" + tail)
        assert (status, body["error"]["code"]) == (404, "NOT_FOUND")


class TestTelemetry:
    async def test_all_points(self, api: Api) -> None:
        body = await api.ok(POINTS)
        assert body["gpu_id"] == "GPU-03"
        assert body["next_cursor"] is None
        assert len(body["points"]) == 20
        assert body["points"][:2] == [
            {"timestamp": at(0), "metric": METRICS[0], "value": 40.0},
            {"timestamp": at(0), "metric": METRICS[1], "value": 3.0},
        ]

    @pytest.mark.parametrize("limit", [1, 3, 19, 20])
    @pytest.mark.parametrize("order", ["asc", "desc"])
    async def test_pages(self, api: Api, limit: int, order: str) -> None:
        whole = (await api.ok(f"{POINTS}?order={order}"))["points"]
        assert await walk(api, f"{POINTS}?order={order}&limit={limit}", "points") == whole
        assert whole[0]["timestamp"] == (at(0) if order == "asc" else at(9))

    @pytest.mark.parametrize(
        ("start", "end"), [("start", "end"), ("start_time", "end_time"), ("start", "end_time")]
    )
    async def test_a_range_includes_its_ends(self, api: Api, start: str, end: str) -> None:
        body = await api.ok(f"{POINTS}?{start}={at(2)}&{end}={at(4)}")
        assert {point["timestamp"] for point in body["points"]} == {at(2), at(3), at(4)}

    @pytest.mark.parametrize(
        "moment",
        [
            "2025-07-18T20:42:34Z",
            "2025-07-18t20:42:34z",
            "2025-07-18T22:42:34%2B02:00",
            "2025-07-18T22:42:34+02:00",
            "2025-07-18T20:42:33.9999-00:00",
        ],
    )
    async def test_ways_to_say_a_time(self, api: Api, moment: str) -> None:
        body = await api.ok(f"{POINTS}?start={moment}&end={at(0)}")
        assert [point["timestamp"] for point in body["points"]] == [at(0)] * 2

    @pytest.mark.parametrize(
        "query",
        [
            f"metric={METRICS[1]}",
            f"metric_name={METRICS[1]}",
            f"metric={METRICS[1]},none",
            f"metric=none&metric={METRICS[1]}",
        ],
    )
    async def test_some_metrics(self, api: Api, query: str) -> None:
        body = await api.ok(f"{POINTS}?{query}")
        assert [point["metric"] for point in body["points"]] == [METRICS[1]] * 10

    async def test_a_metric_it_has_not(self, api: Api) -> None:
        assert (await api.ok(f"{POINTS}?metric=none"))["points"] == []

    async def test_every_digit_comes_through(self, api: Api, fleet: SqliteStore) -> None:
        values = {"a": 0.1 + 0.2, "b": 5e-324, "c": 1.7976931348623157e308, "d": 1e15 + 0.3}
        fleet.write([Sample(Gpu(uuid="GPU-x"), T0, values)])
        body = await api.ok("/api/v1/gpus/GPU-x/telemetry")
        assert {point["metric"]: point["value"] for point in body["points"]} == values


class TestPlaces:
    async def test_hosts(self, api: Api) -> None:
        found = await walk(api, "/api/v1/hosts?limit=2", "hosts")
        assert found == [{"host": f"host-{i}", "gpus": 4, "last_seen": at(9)} for i in range(3)]

    async def test_gpus_of_a_host(self, api: Api) -> None:
        found = await walk(api, "/api/v1/hosts/host-1/gpus?limit=3", "gpus")
        assert [gpu["id"] for gpu in found] == ["GPU-04", "GPU-05", "GPU-06", "GPU-07"]
        assert (await api.ok("/api/v1/hosts/host-1/gpus?offset=9"))["gpus"] == []
        status, body, _ = await api.get("/api/v1/hosts/nowhere/gpus")
        assert (status, body["error"]["code"]) == (404, "NOT_FOUND")

    async def test_namespaces(self, api: Api) -> None:
        body = await api.ok("/api/v1/namespaces")
        assert body["namespaces"] == [{"namespace": "train", "gpus": 3, "last_seen": at(9)}]

    async def test_metrics(self, api: Api) -> None:
        assert await api.ok("/api/v1/metrics") == {"metrics": list(METRICS)}

    async def test_stats(self, api: Api) -> None:
        assert await api.ok("/api/v1/stats") == {
            "gpus": 12,
            "hosts": 3,
            "metrics": 2,
            "points": 240,
            "samples": 120,
            "oldest": at(0),
            "newest": at(9),
            "queue": None,
        }
