"""All brokers of a cluster count a topic's partitions alike, whoever was away when it was made."""

from pathlib import Path

from tests.support.proxy import cluster, running_proxy, until


async def test_a_broker_that_was_away_learns_the_count_with_the_first_message(
    tmp_path: Path,
) -> None:
    async with cluster(tmp_path, 2) as duo:
        await duo.gates["broker-1"].shut()
        await duo.until_ready_is("broker-1", False)
        made = await duo.client.request("PUT", "/topics/late", data=b'{"partitions": 8}')
        assert made.status == 503
        await duo.gates["broker-1"].open()
        await duo.until_ready_is("broker-1", True)
        answers = [await duo.client.produce("late", b"x", partition=n) for n in range(8)]
        assert {answer.status for answer in answers} == {200}
        counts = {len(b.broker.topics.get("late").partitions) for b in duo.brokers.values()}
        assert counts == {8}


async def test_a_second_proxy_learns_the_count_from_who_knows(tmp_path: Path) -> None:
    async with cluster(tmp_path, 2) as duo:
        url = duo.brokers["broker-1"].url
        await duo.brokers["broker-0"].client.request("PUT", "/topics/one", data=b'{"partitions":8}')
        urls = {"broker-0": duo.brokers["broker-0"].url, "broker-1": url}
        async with running_proxy(urls) as second:
            assert await second.proxy.topics.count("one") == 8
            await until(lambda: bool(second.proxy.members.well()))


async def test_a_request_that_counts_otherwise_is_a_conflict(tmp_path: Path) -> None:
    async with cluster(tmp_path, 1) as one:
        answer = await one.brokers["broker-0"].client.produce("t", b"x", partitions=5)
        assert (answer.status, answer.json["error"]["code"]) == (409, "TOPIC_CONFLICT")
