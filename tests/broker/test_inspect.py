"""Topics, groups, messages, metrics: what an operator sees."""

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.broker import RunningBroker, running_broker
from tests.support.client import BrokerClient

Samples = dict[tuple[str, str], float]


async def put(client: BrokerClient, topic: str, body: bytes = b"") -> tuple[int, object]:
    answer = await client.request("PUT", f"/topics/{topic}", data=body)
    return answer.status, answer.json if answer.status == 200 else answer.code


async def test_a_topic_is_made_with_the_partitions_asked_for(client: BrokerClient) -> None:
    for body in (b'{"partitions": 2}', b'{"partitions": 2}', b"{}", b""):
        status, topic = await put(client, "t", body)
        assert status == 200
        assert isinstance(topic, dict)
        assert [part["partition"] for part in topic["partitions"]] == [0, 1]


async def test_the_partition_count_never_shrinks(client: BrokerClient) -> None:
    await put(client, "t", b'{"partitions": 2}')
    assert await put(client, "t", b'{"partitions": 1}') == (409, "TOPIC_CONFLICT")
    assert (await client.produce("t", b"x", partition=1)).status == 200


@pytest.mark.parametrize(
    "body",
    [b'{"partitions": 0}', b'{"partitions": 257}', b'{"partitions": "2"}', b'{"x": 1}', b"["],
)
async def test_settings_that_make_no_sense_are_refused(client: BrokerClient, body: bytes) -> None:
    assert await put(client, "t", body) == (400, "INVALID_REQUEST")
    assert (await client.request("GET", "/topics")).json == {"topics": []}


async def test_there_are_only_so_many_topics(tmp_path: Path) -> None:
    async with running_broker(tmp_path, max_topics=2) as broker:
        client = broker.client
        for topic in ("a", "b"):
            assert (await client.produce(topic, b"x")).status == 200
        refused = await client.produce("c", b"x")
        assert (refused.status, refused.code) == (429, "OVERLOADED")
        assert "Retry-After" in refused.headers
        assert (await client.request("GET", "/consume", params={"topic": "c"})).status == 429
        assert (await client.produce("a", b"x")).status == 200


async def test_topics_from_the_options_are_there_at_the_start(tmp_path: Path) -> None:
    async with running_broker(tmp_path, topics=("a:2", "b")) as broker:
        topics = (await broker.client.request("GET", "/topics")).json["topics"]
    assert [(topic["topic"], len(topic["partitions"])) for topic in topics] == [("a", 2), ("b", 4)]


async def test_a_topic_shows_offsets_depth_and_bytes(client: BrokerClient) -> None:
    await client.produce_lines("t", b"a", b"b", partition=1)
    (topic,) = (await client.request("GET", "/topics")).json["topics"]
    part = topic["partitions"][1]
    assert (part["first_offset"], part["next_offset"], part["depth"]) == (0, 2, 2)
    assert part["bytes"] > 0
    assert part["read_only"] == ""


async def test_a_peek_reads_without_consuming(client: BrokerClient) -> None:
    for first in range(0, 30, 3):
        await client.produce_lines("t", *[b"%d" % n for n in range(first, first + 3)], partition=0)

    async def peek(**given: int) -> list[int]:
        parameters = {"topic": "t"} | {name: str(value) for name, value in given.items()}
        answer = await client.request("GET", "/messages", params=parameters)
        return [int(message["payload"]) for message in answer.json["messages"]]

    assert await peek() == list(range(10))
    assert await peek(offset=4, limit=5) == [4, 5, 6, 7, 8]
    assert await peek(offset=28, limit=1000) == [28, 29]
    assert await peek(offset=30) == await peek(partition=1) == []
    assert await client.groups("t") == []


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"limit": "0"}, 400),
        ({"limit": "1001"}, 400),
        ({"offset": "-1"}, 400),
        ({"partition": "9"}, 400),
        ({"topic": "none"}, 404),
    ],
)
async def test_a_peek_outside_the_bounds_is_refused(
    client: BrokerClient, given: dict[str, str], status: int
) -> None:
    await client.produce("t", b"x")
    answer = await client.request("GET", "/messages", params={"topic": "t"} | given)
    assert answer.status == status


async def test_the_books_of_a_group_add_up(client: BrokerClient) -> None:
    await client.produce_lines("t", *[b"x"] * 10, partition=0)
    async with client.consume("t", max_in_flight=6) as events:
        receipts = [message["receipt"] for message in await events.messages(6)]
        await client.settle("t", receipts[1], receipts[4])
        await events.messages(2)
        row = await client.books("t")
    assert (row["ready"], row["in_flight"], row["acked"], row["lag"]) == (2, 6, 2, 8)
    assert row["delivered"] == 8


async def samples(client: BrokerClient) -> Samples:
    """The value of every series of partition 0, or of none, by name and group."""
    text = (await client.request("GET", "/metrics")).body.decode()
    return {
        (sample.name, sample.labels.get("group", "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.labels.get("partition", "0") == "0"
    }


async def test_metrics_say_what_the_books_say(running: RunningBroker) -> None:
    client = running.client
    await client.produce_lines("t", *[b"x"] * 10, partition=0)
    async with client.consume("t", group="g", max_in_flight=4) as events:
        await client.settle("t", (await events.message())["receipt"], group="g")
        await events.messages(4)
        row = await client.books("t", group="g")
        found = await samples(client)
    assert found["messages_produced_total", ""] == 10
    assert found["message_queue_size", ""] == 9
    assert found["partition_read_only", ""] == 0
    assert found["messages_consumed_total", "g"] == row["acked"] == 1
    assert found["group_in_flight", "g"] == row["in_flight"] == 4
    assert found["group_ready", "g"] == row["ready"] == 5
    assert found["group_lag", "g"] == row["lag"] == 9
    assert found["messages_delivered_total", "g"] == row["delivered"] == 5


async def test_stats_count_what_there_is(client: BrokerClient) -> None:
    await client.produce_lines("t", b"a", b"b")
    async with client.consume("t") as events:
        await events.messages(2)
        stats = (await client.request("GET", "/stats")).json
    assert (stats["topics"], stats["messages"], stats["streams"]) == (1, 2, 1)
    assert stats["read_only"] == {}
