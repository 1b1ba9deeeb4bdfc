"""Dead letters that a consumer writes, through the proxy: to the partition's owner."""

from typing import Any

from tests.support.client import Answer
from tests.support.proxy import Cluster


async def write(cluster: Cluster, partition: int, *ids: str) -> Answer:
    letters = [{"id": id_, "payload": "x"} for id_ in ids]
    parameters = {"topic": "t", "partition": str(partition)}
    return await cluster.client.request(
        "POST", "/dlq", params=parameters, json={"letters": letters}
    )


async def read(cluster: Cluster) -> list[Any]:
    answer = await cluster.client.request("GET", "/dlq", params={"topic": "t"})
    return [(row["broker"], row["id"]) for row in answer.json["dead_letters"]]


async def test_they_go_to_the_owner_and_a_repeat_meets_them(trio: Cluster) -> None:
    partition = await trio.partition_of("broker-1")
    assert (await write(trio, partition, "a")).json == {"kept": 1, "already": 0}
    assert (await write(trio, partition, "a", "b")).json == {"kept": 1, "already": 1}
    assert await read(trio) == [("broker-1", "a"), ("broker-1", "b")]


async def test_while_the_owner_is_away_another_keeps_them(trio: Cluster) -> None:
    partition = await trio.partition_of("broker-1")
    await trio.gates["broker-1"].shut()
    assert (await write(trio, partition, "a")).json == {"kept": 1, "already": 0}
    ((broker, id_),) = await read(trio)
    assert (broker != "broker-1", id_) == (True, "a")


async def test_a_broker_that_drains_is_passed_over(trio: Cluster) -> None:
    partition = await trio.partition_of("broker-1")
    await trio.brokers["broker-1"].client.request("POST", "/drain")
    assert (await write(trio, partition, "a")).status == 200
    assert [broker for broker, _ in await read(trio)] != ["broker-1"]
