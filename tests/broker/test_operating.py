"""What an operator does to a running broker: pause, purge, kick, drain."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.broker.test_drop_oldest import total
from tests.broker.test_inspect import samples
from tests.support.broker import RunningBroker, running_broker
from tests.support.client import Answer, BrokerClient
from tests.support.waiting import until


async def post(client: BrokerClient, verb: str, **given: object) -> Answer:
    parameters = {name: str(value) for name, value in given.items()}
    return await client.request("POST", f"/{verb}", params=parameters)


async def drain_state(client: BrokerClient) -> Any:
    return (await client.request("GET", "/drain")).json


async def goodbye_of(events: Any) -> str:
    """Read to the last event; return its code."""
    while (event := await events.next()).type != "goodbye":
        pass
    return str(msgspec.json.decode(event.data[0])["code"])


async def test_a_paused_group_gets_nothing_and_others_go_on(client: BrokerClient) -> None:
    await client.produce("t", b"0", partition=0)
    async with client.consume("t", group="a") as paused, client.consume("t", group="b") as going:
        receipt = (await paused.message())["receipt"]
        answer = await post(client, "pause", topic="t", group="a")
        assert answer.json == {"topic": "t", "paused": False, "paused_groups": ["a"]}
        await client.produce("t", b"1", partition=0)
        assert [m["payload"] for m in await going.messages(2)] == ["0", "1"]
        assert (await client.settle("t", receipt, group="a")).json["acked"] == 1
        row = await client.books("t", group="a")
        assert (row["paused"], row["ready"], row["in_flight"]) == (True, 1, 0)
        assert (await client.books("t", group="b"))["paused"] is False
        assert (await samples(client))["group_paused", "a"] == 1
        await post(client, "resume", topic="t", group="a")
        assert (await paused.message())["payload"] == "1"


async def test_a_paused_topic_pauses_groups_that_come_and_stays_so_over_a_restart(
    tmp_path: Path,
) -> None:
    async with running_broker(tmp_path, topics=("t:1",)) as broker:
        assert (await post(broker.client, "pause", topic="t")).json["paused"] is True
        await broker.client.produce("t", b"0")
    async with (
        running_broker(tmp_path, heartbeat_seconds=0.05) as broker,
        broker.client.consume("t", group="new") as events,
    ):
        assert (await events.chunk()).startswith(b":")
        assert (await broker.client.books("t", group="new"))["paused"] is True
        await post(broker.client, "resume", topic="t", group="new")
        assert (await broker.client.books("t", group="new"))["paused"] is True
        await post(broker.client, "resume", topic="t")
        assert (await events.message())["payload"] == "0"


async def test_resuming_a_topic_ends_the_pauses_of_its_groups_too(client: BrokerClient) -> None:
    await client.produce("t", b"0")
    for group in ("b", "a", "b"):
        await post(client, "pause", topic="t", group=group)
    (topic,) = (await client.request("GET", "/topics")).json["topics"]
    assert topic["paused_groups"] == ["a", "b"]
    assert (await post(client, "resume", topic="t")).json["paused_groups"] == []


async def test_the_leases_of_a_paused_group_run_out_as_ever(tmp_path: Path) -> None:
    async with running_broker(tmp_path, visibility_timeout_seconds=0.05) as broker:
        await broker.client.produce("t", b"0", partition=0)
        async with broker.client.consume("t") as events:
            await events.message()
            await post(broker.client, "pause", topic="t")
            place = broker.broker.topics.get("t").partition(0).groups.get("default")
            assert place is not None
            await until(lambda: not place.leases.messages)
            await post(broker.client, "resume", topic="t")
            assert (await events.message())["attempt"] >= 2


@pytest.mark.parametrize("verb", ["pause", "purge", "kick"])
async def test_verbs_need_a_topic_that_is_there(client: BrokerClient, verb: str) -> None:
    assert (await post(client, verb)).code == "INVALID_REQUEST"
    assert (await post(client, verb, topic="none", group="g")).code == "NOT_FOUND"
    assert (await post(client, verb, topic="../x", group="g")).status == 400


async def test_a_purge_lets_go_of_what_is_ready_out_and_delayed(client: BrokerClient) -> None:
    await client.produce_lines("t", *[b"%d" % n for n in range(6)], partition=0)
    async with client.consume("t", group="g", max_in_flight=3) as events:
        receipts = [message["receipt"] for message in await events.messages(3)]
        await client.settle("t", receipts[0], group="g")
        body = {"id": receipts[1], "delay_seconds": 3600}
        await client.request("POST", "/nack", params={"topic": "t", "group": "g"}, json=body)
        await events.messages(2)
        assert (await post(client, "purge", topic="t", group="g")).json == {"purged": 5}
        row = await client.books("t", group="g")
        assert (row["acked"], row["ready"], row["in_flight"]) == (1, 0, 0)
        assert row["dropped_by_reason"] == {"purged": 5}
        assert total(row) == 6
        assert (await client.settle("t", receipts[2], group="g")).json["acked"] == 0
        await client.produce("t", b"new", partition=0)
        assert (await events.message())["payload"] == "new"


async def test_a_purge_is_for_the_group_and_partition_that_are_named(
    client: BrokerClient,
) -> None:
    for number in range(4):
        await client.produce("t", b"x", partition=number)
    for group in ("a", "b"):
        async with client.consume("t", group=group) as events:
            await events.messages(4)
    assert (await post(client, "purge", topic="t", group="a", partition=1)).json["purged"] == 1
    assert (await post(client, "purge", topic="t", group="none")).code == "NOT_FOUND"
    assert (await post(client, "purge", topic="t", partition=9)).status == 400
    assert (await post(client, "purge", topic="t")).json["purged"] == 7
    assert (await post(client, "purge", topic="t")).json["purged"] == 0


async def test_a_purge_survives_kill_9_of_its_broker(tmp_path: Path) -> None:
    async with running_broker(tmp_path / "a", checkpoint_seconds=60.0) as broker:
        await broker.client.produce_lines("t", b"0", b"1", partition=0)
        async with broker.client.consume("t"):
            pass
        await post(broker.client, "purge", topic="t")
        kept = (tmp_path / "a/topics/t/0/groups").read_bytes()
    assert b'"purged":2' in kept


async def test_members_are_shown_and_one_of_them_is_kicked(running: RunningBroker) -> None:
    client = running.client
    await client.produce_lines("t", b"0", b"1", partition=0)
    async with client.consume("t", max_in_flight=1) as one:
        first = await one.message()
        async with client.consume("t", max_in_flight=1) as other:
            second = await other.message()
            row = await client.books("t")
            assert row["subscribers"] == 2
            assert [member["in_flight"] for member in row["members"]] == [1, 1]
            assert [member["max_in_flight"] for member in row["members"]] == [1, 1]
            member = min(row["members"], key=lambda member: member["id"])
            assert member["client"].startswith("127.0.0.1:")
            assert member["connected_since"].endswith("Z")
            assert (await post(client, "kick", topic="t", group="default", member="x")).json == {
                "kicked": 0
            }
            answer = await post(client, "kick", topic="t", group="default", member=member["id"])
            assert answer.json == {"kicked": 1}
            assert await goodbye_of(one) == "KICKED"
            assert (await client.settle("t", first["receipt"])).code == "RECEIPT_STALE"
            assert (await client.settle("t", second["receipt"])).json["acked"] == 1
            assert (await other.message())["payload"] == first["payload"]


async def test_a_kick_gives_leases_back_at_once_even_of_a_client_that_does_not_read(
    running: RunningBroker,
) -> None:
    client = running.client
    for _ in range(100):
        await client.produce("t", b"x" * 100_000, partition=0, durability="disk")
    async with client.consume("t", max_in_flight=100):
        place = running.broker.topics.get("t").partition(0).groups
        await until(lambda: (found := place.get("default")) and found.leases.messages > 10)
        assert (await post(client, "kick", topic="t", group="default")).json == {"kicked": 1}
        row = await client.books("t")
        assert (row["in_flight"], row["subscribers"]) == (0, 0)


async def test_a_drained_broker_takes_no_produce_serves_its_backlog_and_says_when_it_is_empty(
    tmp_path: Path,
) -> None:
    async with running_broker(tmp_path, topics=("t:1",), max_deliveries=1) as broker:
        client = broker.client
        await client.produce_lines("t", b"0", b"1")
        answer = await post(client, "drain")
        assert answer.json == {"draining": True, "empty": False, "messages": 2, "dead_letters": 0}
        refused = await client.produce("t", b"2")
        assert (refused.status, refused.code) == (503, "DRAINING")
        assert int(refused.headers["Retry-After"]) > 0
        async with client.consume("t") as events:
            receipts = [message["receipt"] for message in await events.messages(2)]
            await client.settle("t", receipts[0])
        await until(lambda: broker.broker.topics.get("t").dead)
    async with running_broker(tmp_path) as broker:
        client = broker.client
        ready = await client.request("GET", "/ready")
        assert (ready.status, ready.json["draining"]) == (200, True)
        assert (await client.produce("t", b"2")).code == "DRAINING"
        assert await drain_state(client) == {
            "draining": True,
            "empty": False,
            "messages": 0,
            "dead_letters": 1,
        }
        await client.request("POST", "/dlq/redrive?topic=t")
        async with client.consume("t") as events:
            await client.settle("t", (await events.message())["receipt"])
        dead = broker.broker.topics.get("t").dead["default"]
        await until(lambda: dead.depth == 0)  # a letter goes once its message is stored again
        assert (await drain_state(client))["empty"] is True
        assert (await samples(client))["broker_draining", ""] == 1
        assert (await post(client, "resume", group="g")).status == 400
        assert (await post(client, "resume")).json["draining"] is False
        assert (await client.request("GET", "/ready")).json["draining"] is False
        assert (await client.produce("t", b"2")).status == 200


async def test_a_produce_let_in_before_the_drain_keeps_the_broker_from_being_empty(
    tmp_path: Path,
) -> None:
    async with running_broker(tmp_path, topics=("t:1",)) as broker:
        rest = asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield b"first half, "
            await rest.wait()
            yield b"second half"

        sending = asyncio.create_task(broker.client.produce("t", slow()))  # type: ignore[arg-type]
        await until(lambda: broker.broker.producing)
        state = (await post(broker.client, "drain")).json
        assert (state["draining"], state["messages"], state["empty"]) == (True, 0, False)
        rest.set()
        assert (await sending).status == 200
        state = await drain_state(broker.client)
        assert (state["messages"], state["empty"]) == (1, False)
        assert (await broker.client.produce("t", b"x")).code == "DRAINING"
        assert broker.broker.producing == 0


async def test_what_no_group_has_claimed_keeps_a_drained_broker_from_being_empty(
    client: BrokerClient,
) -> None:
    assert (await drain_state(client))["empty"] is True
    await client.produce("t", b"x")
    assert await drain_state(client) == {
        "draining": False,
        "empty": False,
        "messages": 1,
        "dead_letters": 0,
    }


async def test_dead_letters_of_one_reason_are_thrown_away(running: RunningBroker) -> None:
    client = running.client
    await client.produce_lines("t", b"0", b"1", partition=0)
    async with client.consume("t") as events:
        for message in await events.messages(2):
            body = {"id": message["receipt"], "mode": "reject", "reason": "bad"}
            await client.request("POST", "/nack", params={"topic": "t"}, json=body)
    topic = running.broker.topics.get("t")
    await until(lambda: topic.dead and topic.dead["default"].depth == 2)

    async def throw_away(reason: str) -> int:
        path = f"/dlq?topic=t&reason={reason}"
        return int((await client.request("DELETE", path)).json["purged"])

    assert [await throw_away(reason) for reason in ("DELIVERY_LIMIT", "REJECTED")] == [0, 2]
