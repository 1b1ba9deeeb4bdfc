"""The operator's verbs through the proxy: to every broker, or to one."""

import msgspec

from tests.support.client import Answer
from tests.support.proxy import Cluster, until


async def post(trio: Cluster, path: str) -> Answer:
    return await trio.client.request("POST", path)


async def fill(trio: Cluster) -> None:
    """A message in every partition."""
    for partition in range(8):
        await trio.client.produce("t", b"x", partition=partition)


async def test_a_pause_holds_on_every_broker_until_the_resume(trio: Cluster) -> None:
    async with trio.client.consume("t") as events:
        answer = await post(trio, "/pause?topic=t&group=default")
        assert set(answer.json["brokers"]) == set(trio.brokers)
        await fill(trio)
        rows = await trio.client.groups("t")
        assert {row["paused"] for row in rows} == {True}
        assert {row["in_flight"] for row in rows} == {0}
        await post(trio, "/resume?topic=t")
        assert len(await events.messages(8)) == 8


async def test_a_purge_and_a_kick_reach_every_broker(trio: Cluster) -> None:
    await fill(trio)
    async with trio.client.consume("t", max_in_flight=3) as events:
        await events.messages(3)
        purged = (await post(trio, "/purge?topic=t")).json["brokers"]
        assert sum(answer["purged"] for answer in purged.values()) == 8
        kicked = (await post(trio, "/kick?topic=t&group=default")).json["brokers"]
        assert {answer["kicked"] for answer in kicked.values()} == {1}
        while (event := await events.next()).type != "goodbye":
            pass
        assert msgspec.json.decode(event.data[0])["code"] == "KICKED"
    assert (await post(trio, "/purge?topic=none")).code == "NOT_FOUND"


async def test_one_broker_is_drained_and_others_say_they_are_not(trio: Cluster) -> None:
    assert (await post(trio, "/drain")).code == "INVALID_REQUEST"
    assert (await post(trio, "/drain?broker=broker-1")).json["brokers"]["broker-1"]["draining"]
    states = (await trio.client.request("GET", "/drain")).json["brokers"]
    assert {name: state["draining"] for name, state in states.items()} == {
        "broker-0": False,
        "broker-1": True,
        "broker-2": False,
    }
    assert (await trio.client.request("HEAD", "/drain")).status == 200
    await post(trio, "/resume?broker=broker-1")
    states = (await trio.client.request("GET", "/drain?broker=broker-1")).json["brokers"]
    assert states["broker-1"]["draining"] is False


async def test_a_topic_is_deleted_on_every_broker_and_begins_anew(trio: Cluster) -> None:
    await fill(trio)
    answers = (await trio.client.request("DELETE", "/topics/t")).json["brokers"]
    assert sum(answer["deleted_messages"] for answer in answers.values()) == 8
    assert (await trio.client.request("DELETE", "/topics/t")).code == "NOT_FOUND"
    again = await trio.client.produce("t", b"x", partition=3)
    assert (again.status, again.json["offset"]) == (200, 0)


async def test_a_topic_grows_under_producers_and_consumers_of_two_proxies(trio: Cluster) -> None:
    async with trio.client.consume("t") as events:
        body = msgspec.json.encode({"partitions": 12})
        for broker in trio.brokers.values():  # as another proxy would
            assert (await broker.client.request("PUT", "/topics/t", data=body)).status == 200
        assert (await events.next()).type == "goodbye"
    trio.proxy.topics._counts["t"] = 8  # this one has not heard of it
    stored = await trio.client.produce("t", b"x", partition=7)
    assert stored.status == 200
    assert (await trio.client.produce("t", b"x", partition=11)).status == 200
    async with trio.client.consume("t") as events:
        assert {m["partition"] for m in await events.messages(2)} == {7, 11}


async def test_a_broker_that_missed_the_growth_hears_of_it_with_the_first_produce(
    trio: Cluster,
) -> None:
    await trio.gates["broker-1"].shut()
    await trio.until_ready_is("broker-1", False)
    body = msgspec.json.encode({"partitions": 12})
    assert (await trio.client.request("PUT", "/topics/t", data=body)).status == 503
    for name in ("broker-0", "broker-2"):  # nothing is under way any more
        assert len(trio.brokers[name].broker.topics.get("t").partitions) == 12
    await trio.gates["broker-1"].open()
    await trio.until_ready_is("broker-1", True)
    partition = await trio.partition_of("broker-1")
    taken = await trio.client.produce("t", b"x", partition=partition)
    assert taken.json["id"].startswith("broker-1:")
    assert len(trio.brokers["broker-1"].broker.topics.get("t").partitions) == 12
    async with trio.client.consume("t") as events:
        assert (await events.message())["partition"] == partition
    await until(lambda: not trio.brokers["broker-1"].broker.streams)
