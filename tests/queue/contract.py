"""What the streamer and the collector rely on, whichever engine carries their messages.

A module of an engine derives a class from ``Contract`` and has a fixture ``engine``. The server is
real, and one for the whole module.
"""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator

import pytest

from common.clock import SystemClock
from common.errors import BrokerUnreachable, TelemetryError, TooLarge, Unauthorized
from common.queue.base import DeadLetter, Letter, Produced, Producer, Subscription
from common.queue.factory import open_consumer, open_dead_letters, open_producer
from tests.queue.engine import (
    GROUP,
    SOON_SECONDS,
    Client,
    Engine,
    Message,
    Reader,
    holder,
    run_or_explain,
    send,
)
from tests.support.waiting import until_told

BYTES = [b"one", b'{"a": "\xc3\xa4"}', bytes(range(11, 256)) + b"\0\t", b"\r.", b"x" * 30_000]
HASTY = {  # tests that wait until a message is another's
    "test_a_consumer_that_dies_gives_its_share_to_another",
    "test_a_late_ack_is_refused_and_changes_nothing",
    "test_a_lease_that_is_extended_stays",
    "test_a_server_killed_and_started_loses_and_doubles_nothing",  # an ack may be lost with it
}
_topics = itertools.count()


@pytest.fixture
def topic(engine: Engine) -> str:
    return f"t{next(_topics)}-{engine.name}"


@pytest.fixture
async def client(
    engine: Engine, topic: str, request: pytest.FixtureRequest
) -> AsyncIterator[Client]:
    run_or_explain(engine, request)
    hasty = request.node.originalname in HASTY
    async with Client(engine, topic, hasty) as found:
        yield found


async def send_until_taken(
    producer: Producer, topic: str, payload: bytes, partition: int = 0
) -> Produced:
    """Send as the streamer does: again with the same key while the queue says that it may."""
    async with asyncio.timeout(SOON_SECONDS):
        while True:
            try:
                return await producer.send(topic, partition, [payload], payload.decode())
            except TelemetryError as error:
                if error.retry_after_seconds is None:
                    raise
                await asyncio.sleep(0.05)


async def ack_until_taken(reader: Reader, message: Message) -> None:
    """Ack as the collector does: again while the queue is away."""

    async def taken() -> bool:
        with contextlib.suppress(BrokerUnreachable):
            settled = await reader.consumer.ack([message.receipt])
            return "BROKER_UNREACHABLE" not in settled.refused.values()
        return False

    await until_told(taken, SOON_SECONDS)


async def lag_is(reader: Reader, wanted: int) -> None:

    async def is_it() -> bool:
        with contextlib.suppress(BrokerUnreachable):
            return await reader.consumer.lag() == wanted
        return False

    await until_told(is_it, SOON_SECONDS)


async def take_and_leave(client: Client) -> None:
    """Have one message delivered, and go without a word on it."""
    reader = client.reader(max_in_flight=1)
    await reader.take(1)
    await reader.stop()
    await reader.consumer.close()


async def letters_are(client: Client, count: int, group: str = GROUP) -> list[DeadLetter]:
    letters = client.letters(group)
    found: list[DeadLetter] = []

    async def are() -> bool:
        found[:] = await letters.page(100)
        return len(found) == count

    await until_told(are, SOON_SECONDS)
    return found


class Contract:
    """The tests."""

    async def test_a_topic_is_made_once_with_its_partitions(self, client: Client) -> None:
        counts = [await (await client.producer()).partitions(client.topic) for _ in range(2)]
        assert counts == [client.engine.partitions] * 2

    async def test_messages_come_byte_for_byte_and_in_the_order_of_their_partition(
        self, client: Client
    ) -> None:
        producer = await client.producer()
        sent = [b"%d" % number for number in range(30)]
        for partition in range(2):
            await send(producer, client.topic, *BYTES, partition=partition)
            for first in range(0, 30, 10):
                await send(producer, client.topic, *sent[first : first + 10], partition=partition)
        got = await client.reader().take(2 * (len(BYTES) + 30))
        for partition in range(2):
            ours = [message for message in got if message.partition == partition]
            assert [message.payload for message in ours] == BYTES + sent
            offsets = [message.offset for message in ours]
            assert offsets == sorted(set(offsets))
        assert {message.attempt for message in got} == {1}

    async def test_a_send_says_where_its_messages_are(self, client: Client) -> None:
        producer = await client.producer()
        await producer.send(client.topic, 1, [b"a"], "k1")
        told = await producer.send(client.topic, 1, [b"b", b"c"], "k2")
        got = await client.reader().take(3)
        assert (told.topic, told.partition, told.count) == (client.topic, 1, 2)
        assert told.offset == next(each.offset for each in got if each.payload == b"b")
        assert told.durability in ("fsync", "disk", "memory")
        assert not told.duplicate

    async def test_a_send_repeated_is_stored_once(self, client: Client) -> None:
        producer = await client.producer()
        first = await producer.send(client.topic, 0, [b"a", b"b"], "key")
        again = await producer.send(client.topic, 0, [b"a", b"b"], "key")
        await producer.send(client.topic, 0, [b"c"], "other")
        assert (again.offset, again.duplicate) == (first.offset, True)
        got = await client.reader().take(3)
        assert [message.payload for message in got] == [b"a", b"b", b"c"]

    async def test_no_more_is_out_than_was_asked_for(self, client: Client) -> None:
        producer = await client.producer()
        for partition in range(client.engine.partitions):
            payloads = [b"%d/%d" % (partition, number) for number in range(20)]
            await send(producer, client.topic, *payloads, partition=partition)
        reader = client.reader(max_in_flight=7, batch=3)
        left = 20 * client.engine.partitions
        while left:
            taken = await reader.take(min(7, left))
            await reader.consumer.lag()  # a moment in which more could come
            assert not reader.waiting
            left -= await reader.ack(taken)
        assert reader.most_out <= 7

    async def test_what_is_acked_does_not_come_again(self, client: Client) -> None:
        producer = await client.producer()
        await send(producer, client.topic, b"1", b"2", b"3")
        first = client.reader()
        got = await first.take(3)
        assert await first.ack(got[:2]) == 2
        await first.stop()
        await first.consumer.close()
        second = client.reader(name="two")
        (again,) = await second.take(1)
        assert again.payload == b"3"
        await second.ack([again])
        await lag_is(second, 0)
        assert not second.waiting

    async def test_acking_twice_is_harmless(self, client: Client) -> None:
        await send(await client.producer(), client.topic, b"1")
        reader = client.reader()
        (message,) = await reader.take(1)
        assert await reader.ack([message]) == 1
        again = await reader.consumer.ack([message.receipt])
        assert (again.acked, again.already + len(again.refused)) == (0, 1)

    async def test_a_consumer_that_dies_gives_its_share_to_another(self, client: Client) -> None:
        sent = [b"%d" % number for number in range(6)]
        await send(await client.producer(), client.topic, *sent)
        async with holder(client.engine, client.topic, GROUP, 6):
            pass  # it is killed with all six in its hands
        got = await client.reader(name="heir").take(6)
        assert sorted(message.payload for message in got) == sent

    async def test_an_attempt_is_counted(self, client: Client) -> None:
        await send(await client.producer(), client.topic, b"1")
        await take_and_leave(client)
        (again,) = await client.reader(name="heir").take(1)
        assert again.attempt == 2

    async def test_a_late_ack_is_refused_and_changes_nothing(self, client: Client) -> None:
        await send(await client.producer(), client.topic, b"1")
        late = client.reader(name="late")
        (mine,) = await late.take(1)
        await late.stop()
        other = client.reader(name="other")
        (theirs,) = await other.take(1)
        refused = await late.consumer.ack([mine.receipt])
        assert (refused.acked, list(refused.refused.values())) == (0, ["STALE"])
        assert await other.consumer.lag() == 1
        assert await other.ack([theirs]) == 1

    async def test_a_lease_that_is_extended_stays(self, client: Client) -> None:
        producer = await client.producer()
        await send(producer, client.topic, b"1")
        keeper = client.reader(name="keeper")
        (mine,) = await keeper.take(1)
        other = client.reader(name="other")
        until = asyncio.get_running_loop().time() + 1.2 * client.engine.visibility_seconds
        while asyncio.get_running_loop().time() < until:
            kept = await keeper.consumer.extend([mine.receipt], client.engine.visibility_seconds)
            assert (kept.acked, kept.refused) == (1, {})
            await asyncio.sleep(client.engine.visibility_seconds / 5)
        assert not (keeper.waiting or other.waiting)
        assert await keeper.ack([mine]) == 1

    async def test_two_consumers_share_the_work(self, client: Client) -> None:
        producer = await client.producer()
        readers = [client.reader(name=name, max_in_flight=2, batch=1) for name in ("a", "b")]
        sent, got = 0, [0, 0]

        async def work(index: int) -> None:
            while True:
                (message,) = await readers[index].take(1)
                settled = await readers[index].consumer.ack([message.receipt])
                got[index] += settled.acked  # not what moved to the other before its ack

        working = [asyncio.create_task(work(index)) for index in range(2)]
        try:
            async with asyncio.timeout(SOON_SECONDS):
                while not all(got) or sum(got) < sent:
                    if not all(got) and sum(got) == sent:
                        for partition in range(client.engine.partitions):
                            payloads = [b"%d" % (sent + each) for each in range(3)]
                            await send(producer, client.topic, *payloads, partition=partition)
                            sent += 3
                    await asyncio.sleep(0.02)
            await lag_is(readers[0], 0)
            assert sum(got) == sent
        finally:
            for task in working:
                task.cancel()
            await asyncio.gather(*working, return_exceptions=True)

    async def test_each_group_sees_everything(self, client: Client) -> None:
        first, second = client.reader(group="g1"), client.reader(group="g2")
        await lag_is(first, 0)
        await lag_is(second, 0)
        sent = [b"1", b"2", b"3"]
        await send(await client.producer(), client.topic, *sent)
        for reader in (first, second):
            got = await reader.take_and_ack(3)
            assert [message.payload for message in got] == sent

    async def test_the_lag_is_what_is_still_to_settle(self, client: Client) -> None:
        producer = await client.producer()
        for partition in range(2):
            await send(producer, client.topic, b"1", b"2", b"3", partition=partition)
        reader = client.reader()
        got = await reader.take(6)
        await lag_is(reader, 6)
        await reader.ack([message for message in got if message.partition == 0])
        await lag_is(reader, 3)

    async def test_what_is_rejected_is_a_letter_with_its_reason(self, client: Client) -> None:
        producer = await client.producer()
        await send(producer, client.topic, b"good", b"\xffbad", b"fine")
        reader = client.reader()
        got = await reader.take(3)
        done = await reader.consumer.reject([got[1].receipt], "no good")
        assert (done.acked, done.refused) == (1, {})
        await reader.ack([got[0], got[2]])
        (letter,) = await letters_are(client, 1)
        assert (letter.payload, letter.reason, letter.error) == (b"\xffbad", "REJECTED", "no good")
        assert (letter.partition, letter.offset, letter.attempts) == (0, got[1].offset, 1)
        await lag_is(reader, 0)
        assert await client.letters("another").page(10) == []

    async def test_a_poison_message_is_a_letter_after_its_deliveries(self, client: Client) -> None:
        producer = await client.producer()
        await send(producer, client.topic, b"poison")
        for _ in range(client.engine.max_deliveries):
            await take_and_leave(client)
        reader = client.reader()
        (letter,) = await letters_are(client, 1)
        assert (letter.payload, letter.reason) == (b"poison", "DELIVERY_LIMIT")
        await send(producer, client.topic, b"next")
        assert (await reader.take_and_ack(1))[0].payload == b"next"

    async def test_a_redriven_letter_comes_to_its_group_alone(self, client: Client) -> None:
        producer = await client.producer()
        reader, other = client.reader(), client.reader(group="other")
        await lag_is(other, 0)
        await send(producer, client.topic, b"bad")
        (message,) = await reader.take(1)
        await other.take_and_ack(1)
        await reader.consumer.reject([message.receipt], "no good")
        await letters_are(client, 1)
        assert await client.letters().redrive(1000) == 1
        (again,) = await reader.take_and_ack(1)
        assert again.payload == b"bad"
        await letters_are(client, 0)
        await send(producer, client.topic, b"after")
        assert (await other.take_and_ack(1))[0].payload == b"after"

    async def test_letters_of_a_consumer_are_kept_once_and_purged(self, client: Client) -> None:
        await client.producer()
        consumer = client.consumer()
        wrote = [Letter(f"l{n}", n % 2, 40 + n, 1, "why", b"\xff%d" % n) for n in range(5)]
        await consumer.bury(wrote)
        await consumer.bury(wrote[2:])
        found = await letters_are(client, 5)
        assert sorted(letter.id for letter in found) == [letter.id for letter in wrote]
        assert {(each.error, each.reason) for each in found} == {("why", "REJECTED")}
        assert sorted(each.payload for each in found) == [letter.payload for letter in wrote]
        assert len(await client.letters().page(2)) == 2
        assert await client.letters().purge() == 5
        assert await letters_are(client, 0) == []

    async def test_a_group_that_is_early_waits_for_its_topic(self, client: Client) -> None:
        reader = client.reader()
        await lag_is(reader, 0)
        await send(await client.producer(), client.topic, b"1", partition=1)
        assert (await reader.take_and_ack(1))[0].payload == b"1"

    async def test_a_message_too_large_is_refused_and_the_rest_flows(self, client: Client) -> None:
        producer = await client.producer()
        with pytest.raises(TooLarge):
            await producer.send(client.topic, 0, [b"x" * client.engine.too_large], "large")
        await send(producer, client.topic, b"small")
        assert (await client.reader().take(1))[0].payload == b"small"

    async def test_more_partitions_are_found_by_those_who_are_there(self, client: Client) -> None:
        producer = await client.producer()
        reader = client.reader()
        await lag_is(reader, 0)
        more = client.engine.partitions + 2
        await client.engine.grow(client.topic, more)
        assert await (await client.producer()).partitions(client.topic) == more
        await send(await client.producer(), client.topic, b"new", partition=more - 1)
        await send(producer, client.topic, b"old", partition=0)
        got = await reader.take_and_ack(2)
        assert {message.payload for message in got} == {b"new", b"old"}

    async def test_a_wrong_address_may_be_asked_again(self, client: Client) -> None:
        where = client.engine.wrong_address()
        producer = open_producer(where, SystemClock())
        letters = open_dead_letters(where, client.topic, GROUP, SystemClock())
        try:
            with pytest.raises(BrokerUnreachable):
                await producer.partitions(client.topic)
            with pytest.raises(BrokerUnreachable):
                await letters.page(10)
        finally:
            await producer.close()
            await letters.close()

    async def test_wrong_credentials_are_said_and_not_repeated(self, client: Client) -> None:
        where = client.engine.wrong_credentials()
        assert where is not None
        producer = open_producer(where, SystemClock())
        consumer = open_consumer(
            where, Subscription(client.topic, GROUP, 10, 5, "one"), SystemClock()
        )
        try:
            async with asyncio.timeout(SOON_SECONDS):
                with pytest.raises(Unauthorized) as said:
                    await producer.partitions(client.topic)
                with pytest.raises(Unauthorized):
                    async for _ in consumer.deliveries():
                        pass
        finally:
            await producer.close()
            await consumer.close()
        assert "wrong-password" not in f"{said.value}{said.value.details}"

    async def test_a_server_killed_and_started_loses_and_doubles_nothing(
        self, client: Client
    ) -> None:
        producer = await client.producer()
        reader = client.reader()
        first = await send_until_taken(producer, client.topic, b"before")
        await reader.take_and_ack(1)
        await send_until_taken(producer, client.topic, b"kept", 1)
        client.engine.kill()
        meanwhile = asyncio.create_task(send_until_taken(producer, client.topic, b"meanwhile"))
        client.engine.start()
        await meanwhile
        again = await send_until_taken(producer, client.topic, b"before")
        assert (again.offset, again.duplicate) == (first.offset, True)
        await send_until_taken(producer, client.topic, b"after")
        places: dict[bytes, set[tuple[int, int]]] = {b"before": set()}
        while not places.keys() >= {b"kept", b"meanwhile", b"after"}:
            (message,) = await reader.take(1)  # what was acked, or came, just before comes again
            places.setdefault(message.payload, set()).add((message.partition, message.offset))
            await ack_until_taken(reader, message)
        assert len(places) == 4
        assert max(map(len, places.values())) == 1
        await lag_is(reader, 0)
