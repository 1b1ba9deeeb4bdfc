"""Topics, groups, messages and placement, through the proxy."""

from pathlib import Path

from tests.support.proxy import Cluster, cluster, running_proxy


async def test_a_topic_is_put_on_every_broker(trio: Cluster) -> None:
    answer = await trio.client.request("PUT", "/topics/new", data=b'{"partitions": 3}')
    assert answer.status == 200
    assert len(answer.json["partitions"]) == 9
    for broker in trio.brokers.values():
        assert len(broker.broker.topics.get("new").partitions) == 3


async def test_settings_that_miss_a_broker_are_an_error(trio: Cluster) -> None:
    await trio.gates["broker-1"].shut()
    answer = await trio.client.request("PUT", "/topics/new", data=b'{"partitions": 3}')
    assert (answer.status, answer.code) == (503, "BROKER_UNREACHABLE")


async def test_asking_for_a_topic_needs_no_broker_that_is_away(trio: Cluster) -> None:
    await trio.gates["broker-1"].shut()
    await trio.until_ready_is("broker-1", False)
    answer = await trio.client.request("PUT", "/topics/new", data=b"{}")
    assert (answer.status, answer.json["partition_count"]) == (200, 4)
    assert {row["broker"] for row in answer.json["partitions"]} == {"broker-0", "broker-2"}


async def test_fewer_partitions_are_a_conflict(trio: Cluster) -> None:
    answer = await trio.client.request("PUT", "/topics/t", data=b'{"partitions": 7}')
    assert (answer.status, answer.code) == (409, "TOPIC_CONFLICT")


async def test_lists_hold_the_rows_of_all_brokers(trio: Cluster) -> None:
    async with trio.client.consume("t", group="g"):
        topics = (await trio.client.request("GET", "/topics")).json
        groups = (await trio.client.request("GET", "/groups?topic=t")).json
    assert [(row["topic"], len(row["partitions"])) for row in topics["topics"]] == [("t", 24)]
    assert {row["broker"] for row in groups["groups"]} == set(trio.brokers)
    assert topics["missing"] == groups["missing"] == []


async def test_lists_name_the_broker_they_lack(trio: Cluster) -> None:
    await trio.gates["broker-1"].shut()
    for path in ("/topics", "/groups?topic=t"):
        answer = await trio.client.request("GET", path)
        assert (answer.status, answer.json["missing"]) == (200, ["broker-1"])


async def test_messages_are_read_from_the_broker_that_is_asked_for(trio: Cluster) -> None:
    partition = await trio.partition_of("broker-1")
    await trio.client.produce("t", b"x", partition=partition)
    path = f"/messages?topic=t&partition={partition}"
    assert len((await trio.client.request("GET", path)).json["messages"]) == 1
    other = await trio.client.request("GET", f"{path}&broker=broker-2")
    assert other.json["messages"] == []
    nowhere = await trio.client.request("GET", f"{path}&broker=nobody")
    assert nowhere.status == 503


async def test_status_says_who_is_well(trio: Cluster) -> None:
    await trio.gates["broker-1"].shut()
    await trio.until_ready_is("broker-1", False)
    rows = {row["broker"]: row for row in (await trio.status())["brokers"]}
    assert [row["ready"] for row in rows.values()] == [True, False, True]
    assert rows["broker-1"]["reason"]
    assert rows["broker-2"]["instance"] == "broker-2"


async def test_metrics_tell_health_and_failovers(trio: Cluster) -> None:
    partition = await trio.partition_of("broker-1")
    await trio.gates["broker-1"].shut()
    await trio.until_ready_is("broker-1", False)
    await trio.client.produce("t", b"x", partition=partition)
    text = (await trio.client.request("GET", "/metrics")).body.decode()
    assert 'broker_health_status{broker="broker-1"} 0.0' in text
    assert 'broker_health_status{broker="broker-2"} 1.0' in text
    assert "produce_failovers_total 1.0" in text


async def test_the_brokers_name_in_receipts_may_differ_from_its_place(tmp_path: Path) -> None:
    async with cluster(tmp_path, 2) as pair:
        urls = {"left": pair.gates["broker-0"].url, "right": pair.gates["broker-1"].url}
        async with running_proxy(urls) as proxy:
            await proxy.client.produce("t", b"x", partition=1)
            async with proxy.client.consume("t") as events:
                receipt = (await events.message())["receipt"]
                assert (await proxy.client.settle("t", receipt)).json["acked"] == 1


async def test_statistics_count_what_was_asked_of_each_broker(tmp_path: Path) -> None:
    async with cluster(tmp_path, probe_seconds=60.0) as trio:
        partition = await trio.partition_of("broker-1")
        before = (await trio.client.request("GET", "/stats")).json
        for _ in range(3):
            await trio.client.produce("t", b"x", partition=partition)
        await trio.gates["broker-1"].shut()
        await trio.client.produce("t", b"x", partition=partition)
        stats = (await trio.client.request("GET", "/stats")).json
    one = {name: stats["brokers"][name]["requests"] for name in trio.brokers}
    assert one["broker-1"] - before["brokers"]["broker-1"]["requests"] == 4
    assert stats["requests"] == sum(one.values())
    assert stats["failures"] == stats["brokers"]["broker-1"]["failures"] == 1
    assert stats["success_rate"] == round(1 - 1 / stats["requests"], 6)
    assert stats["requests_by_verb"]["produce"] == 5
    assert stats["uptime_seconds"] > 0
    assert stats["brokers"]["broker-1"]["mean_seconds"] > 0
    assert stats["failovers"] == 1


async def test_status_names_the_owner_that_a_produce_then_reaches(trio: Cluster) -> None:
    for topic, partitions in (("t", 8), ("wide", 100)):
        body = b'{"partitions": %d}' % partitions
        assert (await trio.client.request("PUT", f"/topics/{topic}", data=body)).status == 200
        owners = (await trio.status())["owners"][topic]
        one = (await trio.client.request("GET", f"/status?topic={topic}")).json["owners"][topic]
        reached = [
            (await trio.client.produce(topic, b"x", partition=number)).json["id"].split(":")[0]
            for number in range(partitions)
        ]
        assert reached == owners == one


async def test_status_of_a_topic_that_is_not_there_is_said(trio: Cluster) -> None:
    assert (await trio.client.request("GET", "/status?topic=none")).code == "NOT_FOUND"
    assert (await trio.client.request("GET", "/status?topic=a/b")).code == "INVALID_REQUEST"
