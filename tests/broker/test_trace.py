"""What became of one message, asked by its id."""

from pathlib import Path
from typing import Any

from broker.burial import bury
from tests.support.broker import RunningBroker, running_broker
from tests.support.proxy import cluster


async def trace(broker: RunningBroker, offset: int = 0) -> Any:
    answer = await broker.client.request("GET", f"/trace/broker-0:0:{offset}?topic=t")
    assert answer.status == 200, answer.json
    return answer.json


async def state(broker: RunningBroker, offset: int = 0) -> Any:
    """The message's state for the one group there is."""
    (row,) = (await trace(broker, offset))["groups"]
    return row


async def test_a_message_is_followed_from_its_produce_to_its_ack(tmp_path: Path) -> None:
    async with running_broker(tmp_path, topics=("t:1",)) as broker:
        answer = await broker.client.produce_lines("t", b"one", b"four", key="k")
        found = await trace(broker, 1)
        assert found["id"] == "broker-0:0:1"
        assert found["groups"] == []
        assert {"bytes": 4, "together_with": 2, "key": "k"}.items() <= found["message"].items()
        assert answer.json["id"] == "broker-0:0:0"
        async with broker.client.consume("t", batch=10) as events:
            head, _ = await events.batch()
            held = await state(broker)
            assert held["state"] == "in_flight"
            assert held["attempts"] == 1
            assert 0 < held["deadline_seconds"] <= 30
            assert head["receipt"].endswith(held["delivery"])
            members = (await broker.client.groups("t"))[0]["members"]
            assert held["member"] == members[0]["id"]
            await broker.client.settle("t", f"broker-0:0:0:{held['delivery']}")
            assert (await state(broker))["state"] == "acked"
            assert (await state(broker, 1))["state"] == "in_flight"
            again = {"id": f"broker-0:0:1:{held['delivery']}", "delay_seconds": 60}
            await broker.client.request("POST", "/nack?topic=t", json=again)
            back = await state(broker, 1)
        assert (back["state"], back["attempts"]) == ("ready", 1)


async def test_a_dead_letter_says_why(tmp_path: Path) -> None:
    async with running_broker(tmp_path, topics=("t:1",)) as broker:
        await broker.client.produce_lines("t", b"bad", b"good")
        async with broker.client.consume("t") as events:
            bad, good = [(await events.next()).id for _ in range(2)]
            body = {"id": bad, "mode": "reject", "reason": "no such GPU"}
            await broker.client.request("POST", "/nack?topic=t", json=body)
            await broker.client.settle("t", good)
            await bury(broker.broker.topics.get("t"), broker.broker.clock)
        found = await state(broker)
        assert (found["state"], found["reason"], found["error"]) == (
            "dead",
            "REJECTED",
            "no such GPU",
        )
        assert (await state(broker, 1))["state"] == "settled"  # it is not kept which one died


async def test_letters_of_parts_do_not_make_a_message_dead(tmp_path: Path) -> None:
    async with running_broker(tmp_path, topics=("t:1",)) as broker:
        await broker.client.produce_lines("t", b"half bad", b"good")
        async with broker.client.consume("t", batch=2) as events:
            head, _ = await events.batch()
            written = [
                {"id": "broker-0:0:0/a", "offset": 0, "error": "bad_value", "payload": "x"},
                {"id": "as they like", "offset": 0, "error": "bad_time", "payload": "x"},
                {"id": "broker-1:0:0/a", "offset": 0, "error": "of a failover", "payload": "x"},
            ]
            body = {"letters": written}
            await broker.client.request("POST", "/dlq?topic=t&partition=0", json=body)
            await broker.client.settle("t", head["receipt"])
        found = await state(broker)
        assert found["state"] == "acked"
        assert [letter["error"] for letter in found["letters"]] == ["bad_value", "bad_time"]
        assert "letters" not in await state(broker, 1)


async def test_the_payload_comes_when_it_is_asked_for(tmp_path: Path) -> None:
    async with running_broker(tmp_path, topics=("t:1",)) as broker:
        await broker.client.produce_lines("t", b"text", b"\xff")
        for offset, said in enumerate([{"payload": "text"}, {"payload_base64": "/w=="}]):
            path = f"/trace/broker-0:0:{offset}?topic=t"
            answer = await broker.client.request("GET", f"{path}&payload=true")
            assert said.items() <= answer.json["message"].items()
            assert not {"payload", "payload_base64"} & (await trace(broker))["message"].keys()
        assert (await broker.client.request("GET", f"{path}&payload=1")).code == "INVALID_REQUEST"


async def test_what_a_group_began_after_was_never_its(tmp_path: Path) -> None:
    async with running_broker(tmp_path, topics=("t:1",)) as broker:
        await broker.client.produce("t", b"x")
        async with broker.client.consume("t", **{"from": "latest"}):
            assert (await state(broker))["state"] == "before"


async def test_nonsense_is_refused(tmp_path: Path) -> None:
    async with running_broker(tmp_path, topics=("t:1",)) as broker:
        for path, code in {
            "/trace/broker-0:0:0?topic=t": "NOT_FOUND",
            "/trace/broker-0:7:0?topic=t": "INVALID_REQUEST",
            "/trace/broker-9:0:0?topic=t": "NOT_FOUND",
            "/trace/broker-0:0:0": "INVALID_REQUEST",
            "/trace/broker-0:0?topic=t": "INVALID_REQUEST",
            "/trace/broker-0:0:0:ff?topic=t": "INVALID_REQUEST",
            "/trace/broker-0:0:0?topic=none": "NOT_FOUND",
        }.items():
            assert (await broker.client.request("GET", path)).code == code, path


async def test_the_proxy_asks_the_broker_that_the_id_names(tmp_path: Path) -> None:
    async with cluster(tmp_path, 2) as duo:
        for partition in range(8):
            await duo.client.produce("t", b"x", partition=partition)
        for name in duo.brokers:
            partition = await duo.partition_of(name)
            path = f"/trace/{name}:{partition}:0?topic=t"
            found = await duo.client.request("GET", path)
            assert (found.status, found.json["broker"]) == (200, name)
        gone = await duo.client.request("GET", "/trace/broker-7:0:0?topic=t")
        assert gone.code == "NOT_FOUND"
