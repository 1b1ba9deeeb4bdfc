"""Membership: what can be written, and what is refused."""

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from common.lifecycle import Lifecycle
from common.options import EXIT_BAD_OPTIONS
from proxy.membership import Address, Membership, UnknownError, membership, resolves
from proxy.options import ProxyOptions
from proxy.proxy import Proxy
from tests.support.waiting import until

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


class Names:
    """A DNS that knows some hosts, or cannot say."""

    def __init__(self, *hosts: str) -> None:
        self.hosts = set(hosts)
        self.away = False

    async def resolve(self, host: str) -> bool:
        """See ``Resolve``."""
        if self.away:
            raise UnknownError("no server could be reached")
        return host in self.hosts


def stateful_set(names: Names, **given: Any) -> Membership:
    options = ProxyOptions(service_token=SecretStr(TOKEN), broker_service="b", **given)
    return membership(options, names.resolve)


async def listed(source: Membership) -> list[str]:
    return [name for name, _ in await source.read()]


async def test_replicas_are_found_by_their_names_and_followed() -> None:
    names = Names("b-0.b")
    source = stateful_set(names)
    assert await listed(source) == ["b-0"]
    names.hosts |= {"b-1.b", "b-2.b"}
    assert await listed(source) == ["b-0", "b-1", "b-2"]
    names.hosts -= {"b-2.b"}
    assert await listed(source) == ["b-0", "b-1"]


async def test_a_replica_below_another_is_one_even_while_its_name_is_gone() -> None:
    assert await listed(stateful_set(Names("b-0.b", "b-2.b"))) == ["b-0", "b-1", "b-2"]


async def test_replicas_counted_are_there_whatever_dns_says() -> None:
    names = Names()
    source = stateful_set(names, broker_count=2)
    assert await listed(source) == ["b-0", "b-1"]
    names.hosts.add("b-2.b")
    assert await listed(source) == ["b-0", "b-1", "b-2"]


async def test_replicas_counted_are_served_while_dns_is_away_and_others_once_it_is_back() -> None:
    names = Names("b-2.b")
    names.away = True
    options = ProxyOptions(
        service_token=SecretStr(TOKEN),
        broker_service="b",
        broker_count=2,
        port=0,
        connect_seconds=0.2,
        probe_timeout_seconds=0.2,
        membership_seconds=0.02,
    )
    lifecycle = Lifecycle()
    proxy = Proxy(options, lifecycle, resolve=names.resolve)
    await proxy.start()
    try:
        assert [member.name for member in proxy.members] == ["b-0", "b-1"]
        assert proxy.membership_problem
        names.away = False
        await until(lambda: len(proxy.members) == 3)
        names.away = True
        await until(lambda: bool(proxy.membership_problem))
        assert len(proxy.members.listed()) == 3
    finally:
        lifecycle.stop()
        await proxy.stop()


async def test_a_dns_that_knows_every_name_says_nothing() -> None:
    async def knows_all(host: str) -> bool:
        return True

    options = ProxyOptions(service_token=SecretStr(TOKEN), broker_service="b", broker_count=2)
    source = membership(options, knows_all)
    assert [name for name, _ in source.certain] == ["b-0", "b-1"]
    with pytest.raises(UnknownError, match="every name"):
        await source.read()


async def test_no_name_and_no_answer_are_no_list() -> None:
    names = Names()
    source = stateful_set(names)
    with pytest.raises(UnknownError, match="no name"):
        await source.read()
    names.away = True
    with pytest.raises(UnknownError, match="no server"):
        await source.read()


async def test_a_name_that_nobody_has_does_not_resolve() -> None:
    assert await resolves("localhost")
    assert not await resolves("nobody-has-this.invalid")


async def test_a_file_lists_brokers_by_line_or_comma(tmp_path: Path) -> None:
    path = tmp_path / "brokers"
    path.write_text("# the cluster\na=http://h1:1, b=http://h2:2\n\nhttp://h3:3  # new\n")
    found = await members(brokers_file=path)
    assert [name for name, _ in found] == ["a", "b", "h3-3"]


async def test_a_file_that_is_no_list_is_refused_at_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty"
    empty.write_text("# nothing\n")
    for path in (empty, tmp_path / "missing"):
        with pytest.raises(SystemExit) as refusal:
            await members(brokers_file=path)
        assert refusal.value.code == EXIT_BAD_OPTIONS
        assert "BROKERS_FILE" in capsys.readouterr().err
