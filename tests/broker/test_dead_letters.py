"""Dead letters over the wire: in, looked at, driven again, thrown away."""

import asyncio
import base64
import errno
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from broker.topic import DEAD_DIRECTORY
from tests.support.broker import RunningBroker, broker_process, running_broker
from tests.support.client import Answer, BrokerClient, Events
from tests.support.clock import ManualClock
from tests.support.files import MemoryFiles
from tests.support.waiting import until

TICK_SECONDS = 0.1


async def reject(client: BrokerClient, events: Events, reason: str = "") -> dict[str, Any]:
    """Receive a message and reject it."""
    message = await events.message()
    body = {"id": message["receipt"], "mode": "reject", "reason": reason}
    answer = await client.request("POST", "/nack", params={"topic": "t"}, json=body)
    assert answer.status == 200
    return message


async def dlq(client: BrokerClient, method: str = "GET", path: str = "", **given: Any) -> Answer:
    """A request to ``/dlq`` for the topic t; ``start`` is the parameter ``from``."""
    if "start" in given:
        given["from"] = given.pop("start")
    parameters = {"topic": "t"} | {name: str(value) for name, value in given.items()}
    return await client.request(method, f"/dlq{path}", params=parameters)


async def letters(client: BrokerClient, count: int) -> list[dict[str, Any]]:
    """The dead letters, once there are ``count``."""
    await until_depth(client, count)
    rows: list[dict[str, Any]] = (await dlq(client)).json["dead_letters"]
    return rows


async def until_depth(client: BrokerClient, depth: int) -> None:
    async with asyncio.timeout(10):
        while (await dlq(client, limit=1)).json["depth"] != depth:  # noqa: ASYNC110  over a wire
            await asyncio.sleep(0.01)


async def redrive(client: BrokerClient, **body: Any) -> Answer:
    return await client.request("POST", "/dlq/redrive", params={"topic": "t"}, json=body)


async def metric(client: BrokerClient, name: str) -> float:
    """The sum of a metric's samples of the group default."""
    text = (await client.request("GET", "/metrics")).body.decode()
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and sample.labels.get("group") == "default"
    )


async def test_a_rejected_message_is_a_dead_letter_with_all_there_is_to_say(
    client: BrokerClient,
) -> None:
    headers = {"X-Message-Unit": "\u00b0C"}
    await client.produce("t", b"\xff\r\n\x00", partition=0, key="gpu", headers=headers)
    async with client.consume("t") as events:
        await reject(client, events, "no such GPU")
        (letter,) = await letters(client, 1)
        row = await client.books("t")
    assert base64.b64decode(letter["payload_base64"]) == b"\xff\r\n\x00"
    assert letter["payload"] is None
    assert (letter["key"], letter["headers"]) == ("gpu", {"unit": "\u00b0C"})
    assert (letter["partition"], letter["offset"], letter["attempts"]) == (0, 0, 1)
    assert (letter["reason"], letter["error"]) == ("REJECTED", "no such GPU")
    assert letter["dead_at"].endswith("Z")
    assert (row["dead"], row["lag"], row["in_flight"]) == (1, 0, 0)
    assert await metric(client, "messages_dead_lettered_total") == 1
    assert await metric(client, "dead_letters") == 1


async def test_a_message_that_always_expires_is_a_dead_letter_and_the_rest_flows(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    async with running_broker(tmp_path, clock, max_deliveries=3) as broker:
        client = broker.client
        await client.produce_lines("t", b"poison", b"good", partition=0)
        async with client.consume("t", max_in_flight=1) as events:
            for attempt in (1, 2, 3):
                assert (await events.message())["attempt"] == attempt
                clock.advance(30)
            good = await events.message()
            assert (good["payload"], good["attempt"]) == ("good", 1)
            await pass_time(broker, clock, dead=1)
            (letter,) = await letters(client, 1)
    assert (letter["reason"], letter["attempts"]) == ("DELIVERY_LIMIT", 3)


async def pass_time(running: RunningBroker, clock: ManualClock, dead: int) -> None:
    """Let the chores run until so many are buried."""
    topic = running.broker.topics.get("t")

    def enough() -> bool:
        clock.advance(TICK_SECONDS)
        return sum(queue.depth for queue in topic.dead.values()) >= dead

    await until(enough)


async def test_a_message_whose_consumers_all_drop_is_a_dead_letter(tmp_path: Path) -> None:
    async with running_broker(tmp_path, max_deliveries=2) as broker:
        await broker.client.produce("t", b"poison", partition=0)
        for attempt in (1, 2):
            async with broker.client.consume("t") as events:
                assert (await events.message())["attempt"] == attempt
        assert [row["attempts"] for row in await letters(broker.client, 1)] == [2]


async def test_a_redriven_message_comes_to_its_group_alone_and_leaves_the_queue(
    client: BrokerClient,
) -> None:
    await client.produce_lines("t", *[b"%d" % n for n in range(5)], partition=0)
    async with client.consume("t") as events, client.consume("t", group="other") as other:
        for _ in range(5):
            await reject(client, events)
        await other.messages(5)
        await letters(client, 5)
        assert (await redrive(client, rate=1000)).json == {"redriving": 5}
        again = await events.messages(5)
        assert await letters(client, 0) == []
        await client.produce("t", b"after", partition=0)
        assert (await other.message())["payload"] == "after"
    assert [message["payload"] for message in again] == ["0", "1", "2", "3", "4"]
    assert {message["attempt"] for message in again} == {1}


async def test_a_redrive_keeps_its_rate_and_is_alone(tmp_path: Path) -> None:
    clock = ManualClock()
    async with running_broker(tmp_path, clock) as broker:
        client = broker.client
        await client.produce_lines("t", *[b"%d" % n for n in range(3)], partition=0)
        async with client.consume("t") as events:
            for _ in range(3):
                await reject(client, events)
            await pass_time(broker, clock, dead=3)
            await redrive(client, rate=0.5)
            for left in (2, 1, 0):
                await events.message()
                await letters(client, left)
                again = await redrive(client)
                assert (again.status, again.code) == (429, "OVERLOADED")
                clock.advance(1.9)
                assert len(await letters(client, left)) == left
                clock.advance(0.2)


async def test_what_dies_again_while_it_is_redriven_stays(running: RunningBroker) -> None:
    client = running.client
    await client.produce_lines("t", b"bad", b"bad", partition=0)
    async with client.consume("t", max_in_flight=1) as events:
        for _ in range(2):
            await reject(client, events)
        await letters(client, 2)
        await redrive(client, rate=5)
        for _ in range(2):
            await reject(client, events)
        await until(lambda: not running.lifecycle.has("redrive t default"))
        rows = await letters(client, 2)
        assert [row["offset"] for row in rows] == [2, 3]


async def test_a_redrive_of_one_reason_leaves_the_others(tmp_path: Path) -> None:
    async with running_broker(tmp_path, max_deliveries=1) as broker:
        client = broker.client
        await client.produce_lines("t", b"dropped", b"rejected", partition=0)
        async with client.consume("t", max_in_flight=1) as events:
            await events.message()
        async with client.consume("t", max_in_flight=1) as events:
            await reject(client, events)
            await letters(client, 2)
            page = (await dlq(client, reason="REJECTED")).json
            assert [row["payload"] for row in page["dead_letters"]] == ["rejected"]
            await redrive(client, reason="DELIVERY_LIMIT")
            assert (await events.message())["payload"] == "dropped"
            assert [row["payload"] for row in await letters(client, 1)] == ["rejected"]


async def test_a_purge_empties_the_queue(client: BrokerClient) -> None:
    await client.produce_lines("t", b"a", b"b", partition=0)
    async with client.consume("t") as events:
        for _ in range(2):
            await reject(client, events)
        await letters(client, 2)
        assert (await dlq(client, "DELETE")).json == {"purged": 2}
        assert (await dlq(client, "DELETE")).json == {"purged": 0}
        assert await letters(client, 0) == []
    assert await metric(client, "dead_letters") == 0


async def test_the_queue_is_read_page_by_page(client: BrokerClient) -> None:
    await client.produce_lines("t", *[b"%d" % n for n in range(7)], partition=0)
    async with client.consume("t") as events:
        for _ in range(7):
            await reject(client, events)
        await letters(client, 7)
    found: list[str] = []
    number = 0
    while rows := (page := (await dlq(client, limit=3, start=number)).json)["dead_letters"]:
        assert len(rows) <= 3
        found += [row["payload"] for row in rows]
        number = page["next"]
    assert found == [str(n) for n in range(7)]


async def test_a_page_of_large_letters_is_bounded(client: BrokerClient) -> None:
    for _ in range(8):
        await client.produce("t", b"x" * 1_000_000, partition=0)
    async with client.consume("t") as events:
        for _ in range(8):
            await reject(client, events)
        await until_depth(client, 8)
        page = (await dlq(client)).json
    assert 4 <= len(page["dead_letters"]) <= 6
    assert page["next"] == len(page["dead_letters"])


async def test_who_asks_for_a_group_that_is_not_there_is_told(client: BrokerClient) -> None:
    await client.produce("t", b"x", partition=0)
    for method, path in (("GET", ""), ("POST", "/redrive"), ("DELETE", "")):
        answer = await dlq(client, method, path, group="none")
        assert (answer.status, answer.code) == (404, "NOT_FOUND")


async def test_dead_letters_survive_a_restart_and_what_was_taken_out_stays_out(
    tmp_path: Path,
) -> None:
    async with running_broker(tmp_path) as broker:
        client = broker.client
        await client.produce_lines("t", b"a", b"b", partition=0)
        async with client.consume("t", max_in_flight=1) as events:
            await reject(client, events)
            await letters(client, 1)
            await dlq(client, "DELETE")
            await reject(client, events)
            await letters(client, 1)
    async with running_broker(tmp_path) as broker:
        assert [row["payload"] for row in await letters(broker.client, 1)] == ["b"]
        assert (await broker.client.books("t"))["dead"] == 2


async def test_dead_letters_survive_kill_9(tmp_path: Path) -> None:
    async with broker_process(tmp_path / "data") as broker:
        async with BrokerClient(broker.url) as client:
            await client.produce("t", b"a", partition=0)
            async with client.consume("t") as events:
                await reject(client, events, "bad")
                await letters(client, 1)
        await broker.kill()
        await broker.start()
        await broker.until_ready()
        async with BrokerClient(broker.url) as client:
            assert "bad" in [row["error"] for row in (await dlq(client)).json["dead_letters"]]


async def test_a_full_disk_keeps_the_original_until_it_can_be_buried(tmp_path: Path) -> None:
    clock, files = ManualClock(), MemoryFiles()
    async with running_broker(tmp_path, clock) as broker:
        client = broker.client
        await client.produce_lines("t", b"bad", b"good", partition=0)
        async with client.consume("t") as events:
            await events.messages(0)
            await reject(client, events)
            good = await events.message()
            dead = await broker.broker.topics.get("t").dead_letters("default")
            dead._journal._files = files
            files.fail("append_to", errno.ENOSPC)
            await pass_until(clock, lambda: files.calls.get("append_to"))
            await client.settle("t", good["receipt"])
            row = await client.books("t")
            assert (row["ready"], row["dead"], row["acked"]) == (1, 0, 1)
            assert await broker.client.is_ready()
            clock.advance(6)
            again = await reject(client, events)
            assert (again["payload"], again["attempt"]) == ("bad", 1)
            await pass_time(broker, clock, dead=1)
            row = await client.books("t")
    assert (row["ready"], row["dead"], row["acked"]) == (0, 1, 1)


async def pass_until(clock: ManualClock, condition: Any) -> None:
    def holds() -> object:
        clock.advance(TICK_SECONDS)
        return condition()

    await until(holds)


async def test_a_redrive_into_a_full_disk_ends_and_the_broker_goes_on(
    running: RunningBroker,
) -> None:
    client = running.client
    await client.produce("t", b"x", partition=0)
    async with client.consume("t") as events:
        await reject(client, events)
        await letters(client, 1)
        partition = running.broker.topics.get("t").partition(0)
        files = MemoryFiles()
        files.fail("write", errno.ENOSPC)
        partition._journal._file = files.append_to(Path("/full"))
        await redrive(client)
        await until(lambda: not running.lifecycle.has("redrive t default"))
    assert len(await letters(client, 1)) == 1
    assert await client.is_ready()


async def test_burying_goes_on_while_groups_come_and_go(tmp_path: Path) -> None:
    async with running_broker(tmp_path) as broker:
        client = broker.client
        await client.produce_lines("t", *[b"x"] * 50, partition=0)
        async with client.consume("t") as events:
            for number in range(50):
                await reject(client, events)
                async with client.consume("t", group=f"g{number}"):
                    pass
            assert len(await letters(client, 50)) == 50
        assert await client.is_ready()


async def test_strangers_among_the_dead_do_not_hinder_a_start(tmp_path: Path) -> None:
    async with running_broker(tmp_path) as broker:
        await broker.client.produce("t", b"x", partition=0)
    dead = tmp_path / "topics" / "t" / DEAD_DIRECTORY
    (dead / "lost+found").mkdir()
    (dead / "notes").write_bytes(b"?")
    (dead / ".DS_Store").write_bytes(b"?")
    async with running_broker(tmp_path) as broker:
        assert await broker.client.is_ready()
        assert not broker.broker.topics.get("t").dead


async def test_a_message_nacked_again_and_again_is_a_dead_letter_and_the_rest_flows(
    tmp_path: Path,
) -> None:
    async with running_broker(tmp_path, max_deliveries=3) as broker:
        client = broker.client
        await client.produce_lines("t", b"poison", *[b"good"] * 5, partition=0)
        attempts, good = [], 0
        async with client.consume("t", max_in_flight=1) as events:
            while good < 5:
                message = await events.message()
                if message["payload"] == "poison":
                    attempts.append(message["attempt"])
                    again = {"id": message["receipt"], "delay_seconds": 0}
                    await client.request("POST", "/nack", params={"topic": "t"}, json=again)
                else:
                    good += 1
                    await client.settle("t", message["receipt"])
            (letter,) = await letters(client, 1)
            row = await client.books("t", partition=0)
    assert attempts == [1, 2, 3]
    assert (letter["payload"], letter["reason"]) == ("poison", "DELIVERY_LIMIT")
    assert (row["acked"], row["dead"], row["lag"]) == (5, 1, 0)
