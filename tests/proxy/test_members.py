"""Membership: what can be written, and what is refused."""

import os
from typing import Any

import pytest
from pydantic import SecretStr

from common.options import EXIT_BAD_OPTIONS
from proxy.members import Members, read_membership
from proxy.options import ProxyOptions
from tests.support.clock import ManualClock

TOKEN = "a-token-that-only-tests-know"


def members(**given: Any) -> list[tuple[str, str]]:
    options = ProxyOptions(service_token=SecretStr(TOKEN), **given)
    return [(member.name, member.url) for member in Members(options, ManualClock())]


def test_a_broker_is_written_as_name_and_url() -> None:
    given = "a=http://h1:7070, b=https://h2:7071/"
    assert members(brokers=given) == [("a", "http://h1:7070"), ("b", "https://h2:7071")]


def test_a_broker_without_a_name_is_called_by_host_and_port() -> None:
    assert members(brokers="http://127.0.0.1:7070") == [("127.0.0.1-7070", "http://127.0.0.1:7070")]


def test_a_stateful_set_gives_stable_names() -> None:
    given = {"broker_service": "broker", "broker_count": 2, "broker_port": 7075}
    assert members(**given) == [
        ("broker-0", "http://broker-0.broker:7075"),
        ("broker-1", "http://broker-1.broker:7075"),
    ]


def test_a_stateful_set_of_another_namespace_is_found_there() -> None:
    given = {"broker_service": "broker", "broker_count": 1, "namespace": "queue"}
    assert members(**given) == [("broker-0", "http://broker-0.broker.queue.svc:7070")]


@pytest.mark.parametrize(
    "text",
    [
        "h1:7070",
        "a=h1:7070",
        "a=ftp://h1",
        "bad name=http://h1",
        "../a=http://h1",
        "=http://h1",
        "http://",
        "a=http://",
        "a=http://:7070",
        "a=http://h1:port",
        "a=http://h1:70707",
        "http://h1:7070/path",
        "a=http://h1?x=http://h2",
        "a=http://user:secret@h1",
        "a=http://h1,a=http://h2",
        "http://h1,http://h1/",
        "a=http://h1,b=http://h1",
        "a=http://h 1",
    ],
)
def test_nonsense_is_refused_by_the_options_name(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refusal:
        members(brokers=text)
    assert refusal.value.code == EXIT_BAD_OPTIONS
    assert capsys.readouterr().err.startswith("error: BROKERS")


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"broker_service": "b"},
        {"broker_count": 2},
        {"brokers": "http://h", "broker_service": "b"},
    ],
)
def test_no_brokers_and_brokers_twice_are_refused(
    given: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refusal:
        members(**given)
    assert refusal.value.code == EXIT_BAD_OPTIONS
    assert "BROKER_SERVICE" in capsys.readouterr().err


def test_a_service_that_is_no_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        members(broker_service="a/b", broker_count=1)
    assert "BROKER_SERVICE" in capsys.readouterr().err


def test_the_environment_says_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ.keys() & {"BROKER_SERVICE", "BROKER_COUNT"}:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SERVICE_TOKEN", TOKEN)
    monkeypatch.setenv("BROKERS", "a=http://h1:1,b=http://h2:2")
    found = read_membership(ProxyOptions.load({}))
    assert [name for name, _ in found] == ["a", "b"]
