"""Dead letters that a consumer writes itself: each id once, driven again like any other."""

import base64
from pathlib import Path
from typing import Any

import pytest

from broker import deadletters
from tests.broker.test_bounds import RESERVE, shrink
from tests.support.broker import RunningBroker, running_broker
from tests.support.client import Answer, BrokerClient


def letter(id_: str, **given: Any) -> dict[str, Any]:
    return {"id": id_, "payload": f"payload of {id_}"} | given


async def write(client: BrokerClient, *letters: Any, **given: Any) -> Answer:
    """``POST /dlq`` for the topic t."""
    parameters = {"topic": "t", "partition": 0} | given
    parameters = {name: str(value) for name, value in parameters.items()}
    return await client.request("POST", "/dlq", params=parameters, json={"letters": letters})


async def read(client: BrokerClient, **given: str) -> Any:
    return (await client.request("GET", "/dlq", params={"topic": "t"} | given)).json


async def test_a_letter_is_kept_with_all_there_is_to_say(client: BrokerClient) -> None:
    said = {"offset": 42, "attempts": 3, "error": "no such field"}
    raw = {"payload": None, "payload_base64": base64.b64encode(b"\xff\n").decode()}
    answer = await write(client, letter("a", **said), letter("b", **raw), partition=1)
    assert answer.json == {"kept": 2, "already": 0}
    page = await read(client)
    first, second = page["dead_letters"]
    assert (first["id"], first["partition"], first["offset"], first["attempts"]) == ("a", 1, 42, 3)
    assert (first["reason"], first["error"]) == ("REJECTED", "no such field")
    assert first["payload"] == "payload of a"
    assert base64.b64decode(second["payload_base64"]) == b"\xff\n"
    assert page["depth"] == 2


async def test_a_repeat_changes_nothing_also_after_a_restart(tmp_path: Path) -> None:
    async with running_broker(tmp_path) as broker:
        await write(broker.client, letter("a"), letter("b"), letter("a", payload="another"))
        answer = await write(broker.client, letter("b"), letter("c"))
        assert answer.json == {"kept": 1, "already": 1}
    async with running_broker(tmp_path) as broker:
        answer = await write(broker.client, letter("a"), letter("c"), letter("d"))
        assert answer.json == {"kept": 1, "already": 2}
        ids = [row["id"] for row in (await read(broker.client))["dead_letters"]]
    assert sorted(ids) == ["a", "b", "c", "d"]


async def test_one_that_was_driven_again_is_not_kept_anew(client: BrokerClient) -> None:
    await write(client, letter("a"), partition=2)
    await client.request("POST", "/dlq/redrive", params={"topic": "t"}, json={})
    async with client.consume("t") as events, client.consume("t", group="other") as other:
        message = await events.message()
        await client.produce("t", b"after", partition=2)
        assert (await other.message())["payload"] == "after"
    assert (message["payload"], message["partition"]) == ("payload of a", 2)
    assert (await write(client, letter("a"), partition=2)).json["already"] == 1
    assert (await read(client))["depth"] == 0


async def test_only_the_newest_ids_are_known(
    client: BrokerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadletters, "IDS_KNOWN", 2)
    await write(client, *(letter(name) for name in "abc"))
    assert (await write(client, letter("c"), letter("b"))).json["already"] == 2
    assert (await write(client, letter("a"))).json["kept"] == 1


@pytest.mark.parametrize(
    "wrong",
    [
        letter(""),
        letter("x" * 257),
        letter("a\n"),
        letter("a", error="x" * 1025),
        letter("a", offset=-1),
        letter("a", payload=None),
        letter("a", payload_base64="YQ=="),
        letter("a", payload=None, payload_base64="?"),
        letter("a", colour="red"),
        {"payload": "no id"},
        "text",
    ],
)
async def test_what_is_no_letter_is_refused_and_nothing_kept(
    client: BrokerClient, wrong: Any
) -> None:
    answer = await write(client, letter("good"), wrong)
    assert (answer.status, answer.code) == (400, "INVALID_REQUEST")
    assert (await client.request("GET", "/topics")).json["topics"] == [] or (
        await read(client, group="default")
    ).get("depth", 0) == 0


async def test_letters_leave_the_reserve_free(running: RunningBroker) -> None:
    await write(running.client, letter("a"))
    disk = shrink(running)
    disk.left = RESERVE + 10
    answer = await write(running.client, letter("b", payload="x" * 100))
    assert (answer.status, answer.code) == (503, "DISK_FULL")
    assert (await write(running.client, letter("a"))).json == {"kept": 0, "already": 1}
    disk.left = RESERVE * 2
    assert (await write(running.client, letter("b"))).json == {"kept": 1, "already": 0}


async def test_a_broker_that_drains_takes_none(client: BrokerClient) -> None:
    await write(client, letter("a"))
    await client.request("POST", "/drain")
    answer = await write(client, letter("b"))
    assert (answer.status, answer.code) == (503, "DRAINING")
    assert (await client.request("GET", "/drain")).json["dead_letters"] == 1


async def test_a_topic_has_only_so_many_queues(tmp_path: Path) -> None:
    async with running_broker(tmp_path, max_groups=2) as broker:
        for group in "ab":
            assert (await write(broker.client, letter("1"), group=group)).status == 200
        assert (await write(broker.client, letter("1"), group="c")).code == "OVERLOADED"
        assert (await write(broker.client, letter("2"), group="a")).json["kept"] == 1
