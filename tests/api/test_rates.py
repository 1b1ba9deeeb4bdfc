"""How often a key may ask, and which pages may."""

from pathlib import Path

import pytest

from api.rates import Rates
from common.errors import RateLimited
from common.storage.sqlite.store import SqliteStore
from tests.api.conftest import Api, StartApi
from tests.support.clock import ManualClock

PATH = "/api/v1/metrics"
PAGE = "https://ops.example"


def spent(rates: Rates, key: str, tries: int) -> int:
    """How many of so many requests at once are let through."""
    passed = 0
    for _ in range(tries):
        try:
            rates.spend(key)
        except RateLimited:
            continue
        passed += 1
    return passed


class TestRates:
    def test_a_burst_then_the_rate(self) -> None:
        clock = ManualClock()
        rates = Rates(10, 5, clock)
        assert spent(rates, "a", 100) == 5
        clock.advance(0.1)
        assert spent(rates, "a", 100) == 1
        clock.advance(3600)
        assert spent(rates, "a", 100) == 5

    def test_no_boundary_lets_a_second_burst_through(self) -> None:
        clock = ManualClock()
        rates = Rates(10, 10, clock)
        passed = 0
        for _ in range(1000):
            clock.advance(0.01)
            passed += spent(rates, "a", 3)
        assert passed <= 10 * 10 + 10

    def test_retry_after_is_when_the_next_one_passes(self) -> None:
        clock = ManualClock()
        rates = Rates(2, 1, clock)
        spent(rates, "a", 9)
        with pytest.raises(RateLimited) as refusal:
            rates.spend("a")
        wait_seconds = refusal.value.retry_after_seconds
        assert wait_seconds is not None
        clock.advance(wait_seconds * 0.99)
        with pytest.raises(RateLimited):
            rates.spend("a")
        clock.advance(wait_seconds * 0.02)
        rates.spend("a")

    def test_a_key_does_not_pay_for_another(self) -> None:
        rates = Rates(1, 1, ManualClock())
        assert spent(rates, "a", 50) == spent(rates, "b", 50) == 1

    def test_a_wall_clock_set_back_locks_nobody_out(self) -> None:
        clock = ManualClock()
        rates = Rates(10, 1, clock)
        spent(rates, "a", 10)
        clock.jump_wall(-86_400)
        clock.advance(1)
        assert spent(rates, "a", 1) == 1

    def test_keys_that_came_and_went_are_forgotten(self) -> None:
        clock = ManualClock()
        rates = Rates(10, 1, clock)
        for number in range(25_000):
            clock.advance(1)
            rates.spend(f"key-{number}")
        assert len(rates._free_at) <= 10_001

    def test_no_limit(self) -> None:
        assert spent(Rates(0, 1, ManualClock()), "a", 10_000) == 10_000


async def test_too_often_is_429_for_that_key_alone(start_api: StartApi, fleet: SqliteStore) -> None:
    async with start_api(rate_limit=1, rate_burst=2) as api:
        statuses = [(await api.get(PATH))[0] for _ in range(8)]
        assert statuses[:2] == [200] * 2
        status, body, answer = await api.get(PATH)
        assert (status, body["error"]["code"]) == (429, "RATE_LIMITED")
        assert int(answer.headers["retry-after"]) >= 1
        assert (await api.get(PATH, headers={"X-API-Key": api.keys["admin"]}))[0] == 200
        assert (await api.get("/health", headers={}))[0] == 200
        assert (await api.get("/metrics", headers={}))[0] == 200
    fleet.close()


async def test_where_a_request_says_it_comes_from_changes_nothing(
    start_api: StartApi, fleet: SqliteStore
) -> None:
    """A spoofed address neither renews a key's allowance nor opens anything."""
    async with start_api(rate_limit=1, rate_burst=1) as api:
        spoofs = ("X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Client-IP", "CF-Connecting-IP")
        statuses = []
        for number in range(12):
            headers = dict.fromkeys(spoofs, f"10.0.0.{number}, 127.0.0.1")
            assert (await api.get(PATH, headers=headers))[0] == 401
            headers |= {"X-API-Key": api.keys["read"]}
            statuses.append((await api.get(PATH, headers=headers))[0])
        assert statuses.count(429) >= 9
    fleet.close()


class TestCors:
    @pytest.fixture
    def preflight(self) -> dict[str, str]:
        return {
            "Origin": PAGE,
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "x-api-key",
        }

    async def test_a_listed_page_may_ask(
        self, start_api: StartApi, fleet: SqliteStore, preflight: dict[str, str]
    ) -> None:
        async with start_api(cors_origins=(PAGE,)) as api:
            status, _, answer = await api.get(PATH, method="OPTIONS", headers=preflight)
            assert status == 200
            assert answer.headers["access-control-allow-origin"] == PAGE
            assert "x-api-key" in answer.headers["access-control-allow-headers"].lower()
            assert "access-control-allow-credentials" not in answer.headers
            headers = {"Origin": PAGE, "X-API-Key": api.keys["read"]}
            status, _, answer = await api.get(PATH, headers=headers)
            assert status == 200
            assert answer.headers["access-control-allow-origin"] == PAGE
            status, _, answer = await api.get(PATH, headers={"Origin": PAGE})
            assert status == 401
            assert answer.headers["access-control-allow-origin"] == PAGE  # or it cannot be read
        fleet.close()

    @pytest.mark.parametrize(
        "origin", ["https://evil.example", "null", PAGE + ".evil.example", PAGE + ":8443", ""]
    )
    async def test_another_page_may_not(
        self, start_api: StartApi, fleet: SqliteStore, preflight: dict[str, str], origin: str
    ) -> None:
        async with start_api(cors_origins=(PAGE,)) as api:
            status, body, answer = await api.get(
                PATH, method="OPTIONS", headers=preflight | {"Origin": origin}
            )
            assert (status, body["error"]["code"]) == (401, "UNAUTHORIZED")
            assert not [name for name in answer.headers if name.lower().startswith("access-")]
        fleet.close()

    async def test_without_a_list_no_page_may(self, api: Api, preflight: dict[str, str]) -> None:
        status, _, answer = await api.get(PATH, method="OPTIONS", headers=preflight)
        assert status == 401
        assert "access-control-allow-origin" not in answer.headers


def test_the_limiter_is_told_nothing_of_addresses() -> None:
    text = (Path(__file__).parents[2] / "api/app.py").read_text().lower()
    assert "forwarded" not in text
    assert 'scope["client"]' not in text
