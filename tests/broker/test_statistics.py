"""What a broker counts, in GET /topics, /groups, /stats and /metrics alike."""

from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.support.broker import running_broker
from tests.support.client import BrokerClient
from tests.support.clock import EPOCH, ManualClock
from tests.support.waiting import until

ONE: Any = {"topics": ("t:1",)}


async def metric(client: BrokerClient, name: str, **labels: str) -> float:
    """The one sample of a name that has these labels."""
    text = (await client.request("GET", "/metrics")).body.decode()
    (found,) = [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    return float(found)


async def partition(client: BrokerClient) -> dict[str, Any]:
    (topic,) = (await client.request("GET", "/topics")).json["topics"]
    found: dict[str, Any] = topic["partitions"][0]
    return found


async def test_spilled_is_what_a_group_still_needs_and_memory_has_not(tmp_path: Path) -> None:
    async with running_broker(tmp_path, queue_size=3, **ONE) as broker:
        client = broker.client
        for _ in range(10):
            await client.produce("t", b"x")
        async with client.consume("t") as events:
            assert (await partition(client))["spilled"] == 7
            receipts = [message["receipt"] for message in await events.messages(10)]
            await client.settle("t", *receipts[:4])
            found = await partition(client)
            assert (found["spilled"], found["depth"], found["subscribers"]) == (3, 6, 1)
            assert await metric(client, "partition_spilled_messages") == 3
            assert await metric(client, "partition_subscribers") == 1
            await client.settle("t", *receipts[4:])
            assert (await partition(client))["spilled"] == 0


async def test_the_age_of_the_oldest_message_grows_until_it_is_settled(tmp_path: Path) -> None:
    clock = ManualClock()
    given = ONE | {"queue_size": 1, "visibility_timeout_seconds": 3600.0}
    async with running_broker(tmp_path, clock, **given) as broker:
        client = broker.client
        for _ in range(3):
            await client.produce("t", b"x")
            clock.advance(10)
        async with client.consume("t") as events:
            receipts = [message["receipt"] for message in await events.messages(3)]
            place = broker.broker.topics.get("t").partition(0).groups.get("default")
            assert place is not None
            clock.advance(1)
            await until(lambda: place.oldest and place.oldest[0] == 0)
            assert (await client.books("t"))["oldest_age_seconds"] == 31
            assert await metric(client, "group_watermark_seconds") == EPOCH
            await client.settle("t", receipts[0])
            clock.advance(1)
            await until(lambda: place.oldest and place.oldest[0] == 1)
            assert await metric(client, "group_oldest_age_seconds", group="default") == 22
            await client.settle("t", *receipts[1:])
            assert (await client.books("t"))["oldest_age_seconds"] == 0
            assert await metric(client, "group_watermark_seconds") == EPOCH + 20


async def test_the_time_from_delivery_to_ack_is_counted_a_message_each(tmp_path: Path) -> None:
    clock = ManualClock()
    async with running_broker(tmp_path, clock, topics=("t:2",)) as broker:
        client = broker.client
        for number in range(2):
            await client.produce_lines("t", *[b"x"] * 5, partition=number)
        async with client.consume("t", batch=10) as events:
            heads = [(await events.batch())[0] for _ in range(2)]
            clock.advance(0.2)
            for head in heads:
                await client.settle("t", head["receipt"])
        name = "message_processing_duration_seconds"
        assert await metric(client, f"{name}_bucket", le="0.1") == 0
        assert await metric(client, f"{name}_bucket", le="0.5") == 10
        assert await metric(client, f"{name}_count", topic="t", group="default") == 10
        assert abs(await metric(client, f"{name}_sum") - 2.0) < 1e-6


async def test_commits_and_their_fsyncs_are_counted(tmp_path: Path) -> None:
    async with running_broker(tmp_path, **ONE) as broker:
        client = broker.client
        before = await metric(client, "fsync_duration_seconds_count")
        for _ in range(3):
            await client.produce("t", b"x")
        assert await metric(client, "commits_total", partition="0") == 3
        assert await metric(client, "commit_records_total", partition="0") == 3
        assert await metric(client, "fsync_duration_seconds_count") >= before + 3


async def test_stats_are_the_sums_of_the_books_in_all_and_by_topic(tmp_path: Path) -> None:
    async with running_broker(tmp_path, topics=("a:2", "b:1")) as broker:
        client = broker.client
        for number in range(2):
            await client.produce_lines("a", *[b"x"] * 3, partition=number)
        await client.produce("b", b"x")
        async with client.consume("a", max_in_flight=2) as events:
            for message in await events.messages(2):
                await client.settle("a", message["receipt"])
            await events.messages(2)
            stats = (await client.request("GET", "/stats")).json
            rows = (await client.request("GET", "/groups")).json["groups"]
    for name in ("ready", "in_flight", "acked", "delivered", "redelivered", "dead", "dropped"):
        assert stats[name] == stats["by_topic"]["a"][name] == sum(row[name] for row in rows)
    assert (stats["messages"], stats["depth"], stats["in_flight"], stats["acked"]) == (7, 5, 2, 2)
    assert stats["by_topic"]["b"]["depth"] == 1
    assert (stats["subscribers"], stats["streams"]) == (2, 1)
