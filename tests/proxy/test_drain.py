"""Emptying a broker before it is taken away."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from proxy.member import Member
from proxy.members import Members
from proxy.probe import Found, Prober
from tests.support.client import payload
from tests.support.proxy import Cluster, cluster, until


@contextlib.asynccontextmanager
async def listed_in_file(tmp_path: Path, **given: Any) -> AsyncIterator[tuple[Cluster, Path]]:
    path = tmp_path / "brokers"
    async with cluster(tmp_path, 3, brokers_file=path, membership_seconds=0.02, **given) as running:
        yield running, path


def take_off(running: Cluster, path: Path, name: str) -> None:
    """Take one broker off the list."""
    new = path.with_suffix(".new")
    kept = [(other, gate.url) for other, gate in running.gates.items() if other != name]
    new.write_text("\n".join(f"{other}={url}" for other, url in kept))
    new.replace(path)


async def drain(running: Cluster, name: str) -> None:
    answer = await running.client.request("POST", f"/drain?broker={name}")
    assert answer.json["brokers"][name]["draining"]


async def row(running: Cluster, name: str) -> dict[str, Any]:
    rows = {row["broker"]: row for row in (await running.status())["brokers"]}
    return dict(rows[name])


async def test_a_probe_that_was_answered_before_does_not_undo_the_drain(
    trio: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask, found = Prober._ask, Members.found
    seen: list[bool] = []

    async def ask_then_drain(prober: Prober, member: Member) -> Found:
        answer = await ask(prober, member)
        if member.name == "broker-1" and not seen:
            seen.append(answer.draining)
            await drain(trio, "broker-1")
        return answer

    def note(members: Members, member: Member, answer: Found) -> None:
        found(members, member, answer)
        if member.name == "broker-1" and seen:
            seen.append(member.draining)

    monkeypatch.setattr(Prober, "_ask", ask_then_drain)
    monkeypatch.setattr(Members, "found", note)
    await until(lambda: len(seen) > 1)
    assert seen[:2] == [False, True]


async def test_a_broker_that_drains_gets_no_produce_and_serves_its_backlog(trio: Cluster) -> None:
    partition = await trio.partition_of("broker-1")
    await trio.client.produce("t", b"backlog", partition=partition)
    await drain(trio, "broker-1")
    status = await trio.status()
    assert "broker-1" not in status["owners"]["t"]
    taken = await trio.client.produce("t", b"later", partition=partition)
    assert taken.json["id"].split(":")[0] == status["owners"]["t"][partition] != "broker-1"
    (stray,) = status["strays"]
    assert (stray["broker"], stray["partition"], stray["messages"]) == ("broker-1", partition, 1)
    assert not (await row(trio, "broker-1"))["empty"]
    async with trio.client.consume("t") as events:
        rows = await events.messages(2)
        assert {payload(one) for one in rows} == {b"backlog", b"later"}
        done = await trio.client.settle("t", *(one["receipt"] for one in rows))
        assert done.json["acked"] == 2
    await until(lambda: trio.proxy.members.get("broker-1").empty)
    found = await row(trio, "broker-1")
    assert (found["draining"], found["empty"], found["ready"]) == (True, True, True)


async def test_a_produce_on_its_way_to_a_broker_that_begins_to_drain_goes_on_to_the_next(
    tmp_path: Path,
) -> None:
    async with cluster(tmp_path, 3, probe_seconds=60.0) as trio:
        partition = await trio.partition_of("broker-1")
        await trio.brokers["broker-1"].client.request("POST", "/drain")  # nobody tells the proxy
        taken = await trio.client.produce("t", b"x", partition=partition)
        assert taken.status == 200
        assert not taken.json["id"].startswith("broker-1:")
        assert trio.proxy.members.get("broker-1").draining


async def test_a_drain_that_is_called_off_gives_everything_back(trio: Cluster) -> None:
    before = (await trio.status())["owners"]
    await drain(trio, "broker-1")
    await trio.client.request("POST", "/resume?broker=broker-1")
    await until(lambda: not trio.proxy.members.get("broker-1").draining)
    assert (await trio.status())["owners"] == before


async def test_every_broker_draining_is_said_so(trio: Cluster) -> None:
    for name in trio.brokers:
        await drain(trio, name)
    answer = await trio.client.produce("t", b"x")
    assert (answer.status, answer.code) == (503, "DRAINING")
    assert answer.headers["Retry-After"]
    async with trio.client.consume("t"):
        pass


async def test_an_empty_broker_is_let_go_and_nothing_moves_again(tmp_path: Path) -> None:
    async with listed_in_file(tmp_path) as (trio, path):
        partition = await trio.partition_of("broker-1")
        await trio.client.produce("t", b"backlog", partition=partition)
        await drain(trio, "broker-1")
        owners = (await trio.status())["owners"]
        take_off(trio, path, "broker-1")
        member = trio.proxy.members.get("broker-1")
        await until(lambda: member.left_at is not None)
        async with trio.client.consume("t") as events:
            receipt = (await events.message())["receipt"]
            assert member in trio.proxy.members
            assert (await trio.client.settle("t", receipt)).json["acked"] == 1
            await until(lambda: member not in trio.proxy.members)
            again = await trio.client.settle("t", receipt)
            assert again.json["error"]["details"] == {receipt: "UNKNOWN_BROKER"}
            assert (await trio.status())["owners"] == owners
            await trio.client.produce("t", b"goes on", partition=partition)
            assert payload(await events.message()) == b"goes on"


async def test_one_taken_off_before_it_is_empty_is_served_until_it_is(tmp_path: Path) -> None:
    async with listed_in_file(tmp_path, member_expiry_seconds=0.1) as (trio, path):
        partition = await trio.partition_of("broker-1")
        await trio.client.produce("t", b"backlog", partition=partition)
        take_off(trio, path, "broker-1")
        member = trio.proxy.members.get("broker-1")
        await until(lambda: member.left_at is not None)
        async with trio.client.consume("t") as events:
            receipt = (await events.message())["receipt"]
            assert (await trio.client.settle("t", receipt)).json["acked"] == 1
        await until(lambda: member not in trio.proxy.members)
        everywhere = (await trio.client.request("GET", "/topics")).json["topics"][0]["partitions"]
        assert sum(part["depth"] for part in everywhere) == 0


async def test_gauges_tell_of_drain_and_breaker(tmp_path: Path) -> None:
    async with cluster(tmp_path, 3, breaker_seconds=60.0) as trio:
        await drain(trio, "broker-1")
        trio.proxy.members.get("broker-2").breaker.failed(at_once=True)
        text = (await trio.client.request("GET", "/metrics")).body.decode()
    assert 'broker_draining{broker="broker-1"} 1.0' in text
    assert 'broker_draining{broker="broker-0"} 0.0' in text
    assert 'broker_breaker_open{broker="broker-2"} 1.0' in text
    assert 'broker_leaving{broker="broker-1"} 0.0' in text
