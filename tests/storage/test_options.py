"""The options of a store: what belongs together, and what is refused by name."""

import pytest
from pydantic import SecretStr, ValidationError

from common.errors import StoreUnavailable
from common.storage.factory import open_store
from common.storage.options import StoreOptions
from tests.support.ports import free_port

WHERE = {
    "influxdb_url": "http://influx.example:8086",
    "influxdb_token": SecretStr("canary-token"),
    "influxdb_org": "fleet",
    "influxdb_bucket": "telemetry",
}
NAMES = ("INFLUXDB_URL", "INFLUXDB_TOKEN", "INFLUXDB_ORG", "INFLUXDB_BUCKET")


def options(**given: object) -> StoreOptions:
    return StoreOptions(service_token=SecretStr("s" * 32), **given)  # type: ignore[arg-type] # spread


@pytest.mark.parametrize(("field", "name"), [*zip(WHERE, NAMES, strict=True)])
def test_influxdb_needs_to_be_told_where(field: str, name: str) -> None:
    given = {key: value for key, value in WHERE.items() if key != field}
    with pytest.raises(ValidationError, match=f"STORE=influxdb needs {name}") as raised:
        options(store="influxdb", **given)
    assert "canary-token" not in str(raised.value)


def test_sqlite_needs_none_of_it() -> None:
    assert options().store == "sqlite"


@pytest.mark.parametrize(
    "url",
    ["influx:8086", "ftp://h", "http://user:word@h:1", "http://h/?a=b", "http://h\n", "http://"],
)
def test_an_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        options(store="influxdb", **{**WHERE, "influxdb_url": url})


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8086", "https://h.example/influx", "http://[::1]:1"]
)
def test_urls_that_are_some(url: str) -> None:
    assert options(store="influxdb", **{**WHERE, "influxdb_url": url}).place().endswith(url)


@pytest.mark.parametrize(("seconds", "good"), [(0.0, True), (3_599.0, False), (3_600.0, True)])
def test_a_retention_that_the_server_cannot_keep_is_refused(seconds: float, good: bool) -> None:
    if good:
        assert options(store="influxdb", retention_seconds=seconds, **WHERE)
        return
    with pytest.raises(ValidationError, match="STORE_RETENTION must be 0, or 1h or more"):
        options(store="influxdb", retention_seconds=seconds, **WHERE)


def test_a_store_for_writing_says_at_once_that_its_server_is_away() -> None:
    away = options(store="influxdb", **{**WHERE, "influxdb_url": f"http://127.0.0.1:{free_port()}"})
    with pytest.raises(StoreUnavailable, match="does not answer"):
        open_store(away, writable=True)
    open_store(away, writable=False).close()


INSERT = "http://vminsert:8480/insert/0:7/prometheus"
SELECT = "http://vmselect:8481/select/0:7/prometheus"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "needs VICTORIAMETRICS_URL, or both"),
        ({"insert_url": INSERT}, "both VICTORIAMETRICS_INSERT_URL and VICTORIAMETRICS_SELECT_URL"),
        ({"url": "http://h:1", "select_url": SELECT}, "needs VICTORIAMETRICS_URL, or both"),
        ({"insert_url": INSERT, "select_url": SELECT}, "VICTORIAMETRICS_DURABILITY=accepted"),
        (
            {"url": "http://h:1", "token": SecretStr("canary"), "username": "fleet"},
            "VICTORIAMETRICS_TOKEN and VICTORIAMETRICS_USERNAME exclude each other",
        ),
    ],
)
def test_victoriametrics_needs_to_be_told_where(given: dict[str, object], words: str) -> None:
    named = {f"victoriametrics_{name}": value for name, value in given.items()}
    with pytest.raises(ValidationError, match=words) as raised:
        options(store="victoriametrics", **named)
    assert "canary" not in str(raised.value)


def test_a_cluster_that_is_told_of_in_full_is_taken() -> None:
    given = {"victoriametrics_insert_url": INSERT, "victoriametrics_select_url": SELECT}
    found = options(store="victoriametrics", victoriametrics_durability="accepted", **given)
    assert SELECT in found.place()
