"""Membership: what can be written, and what is refused."""

import os
from collections.abc import Collection
from typing import Any

import pytest
from pydantic import SecretStr

from common.options import EXIT_BAD_OPTIONS
from proxy.membership import Address, membership, resolves
from proxy.options import ProxyOptions

TOKEN = "a-token-that-only-tests-know"


async def members(known: Collection[str] = (), **given: Any) -> list[Address]:
    """What the options list; DNS knows the hosts ``known``."""

    async def resolve(host: str) -> bool:
        return host in known

    options = ProxyOptions(service_token=SecretStr(TOKEN), **given)
    return await membership(options, resolve).read()


async def test_a_broker_is_written_as_name_and_url() -> None:
    given = "a=http://h1:7070, b=https://h2:7071/"
    assert await members(brokers=given) == [("a", "http://h1:7070"), ("b", "https://h2:7071")]


async def test_a_broker_without_a_name_is_called_by_host_and_port() -> None:
    assert await members(brokers="http://127.0.0.1:7070") == [
        ("127.0.0.1-7070", "http://127.0.0.1:7070")
    ]


async def test_a_stateful_set_gives_stable_names() -> None:
    given: dict[str, Any] = {"broker_service": "broker", "broker_count": 2, "broker_port": 7075}
    assert await members(**given) == [
        ("broker-0", "http://broker-0.broker:7075"),
        ("broker-1", "http://broker-1.broker:7075"),
    ]


async def test_a_stateful_set_of_another_namespace_is_found_there() -> None:
    given: dict[str, Any] = {"broker_service": "broker", "broker_count": 1, "namespace": "queue"}
    assert await members(**given) == [("broker-0", "http://broker-0.broker.queue.svc:7070")]


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
async def test_nonsense_is_refused_by_the_options_name(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refusal:
        await members(brokers=text)
    assert refusal.value.code == EXIT_BAD_OPTIONS
    assert capsys.readouterr().err.startswith("error: BROKERS")


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"broker_count": 2},
        {"brokers": "http://h", "broker_service": "b"},
    ],
)
async def test_no_brokers_and_brokers_twice_are_refused(
    given: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refusal:
        await members(**given)
    assert refusal.value.code == EXIT_BAD_OPTIONS
    assert "BROKER_SERVICE" in capsys.readouterr().err


async def test_a_service_that_is_no_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        await members(broker_service="a/b", broker_count=1)
    assert "BROKER_SERVICE" in capsys.readouterr().err


async def test_the_environment_says_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ.keys() & {"BROKER_SERVICE", "BROKER_COUNT", "BROKERS_FILE"}:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SERVICE_TOKEN", TOKEN)
    monkeypatch.setenv("BROKERS", "a=http://h1:1,b=http://h2:2")
    found = await membership(ProxyOptions.load({}), resolves).read()
    assert [name for name, _ in found] == ["a", "b"]
