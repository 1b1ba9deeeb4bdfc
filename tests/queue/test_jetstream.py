"""What is JetStream's own: bounds, trimming, what was deleted, TLS, rights, its URL."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import nats
import pytest
from nats.js import JetStreamContext

from common.clock import SystemClock
from common.errors import BrokerUnreachable, Forbidden, InvalidParameter, PartitionFull, Unavailable
from common.queue.base import Subscription
from common.queue.jetstream import NatsConsumer, NatsDeadLetters, NatsProducer
from common.queue.jetstream.consumer import TRIM_SECONDS
from common.queue.jetstream.settings import read_nats_url
from tests.queue.engine import SOON_SECONDS, Reader
from tests.support.certificates import Certificates
from tests.support.clock import ManualClock
from tests.support.collector import collector_process
from tests.support.nats import NatsServer, running_nats
from tests.support.waiting import until_told

BULK = b"x" * 60_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with running_nats(tmp_path_factory.mktemp("nats")) as found:
        yield found


@contextlib.asynccontextmanager
async def producer(url: str, ca_file: Path | None = None) -> AsyncIterator[NatsProducer]:
    found = NatsProducer(url, ca_file, SystemClock())
    try:
        yield found
    finally:
        await found.close()


@contextlib.asynccontextmanager
async def reader(
    url: str, topic: str, clock: SystemClock | ManualClock | None = None
) -> AsyncIterator[Reader]:
    consumer = NatsConsumer(
        url, Subscription(topic, "g", 100, 5, "one"), None, clock or SystemClock()
    )
    found = Reader(consumer)
    try:
        yield found
    finally:
        await found.stop()
        await consumer.close()


@contextlib.asynccontextmanager
async def operator(server: NatsServer) -> AsyncIterator[JetStreamContext]:
    connection = await nats.connect(server.plain_url)
    try:
        yield connection.jetstream()
    finally:
        await connection.close()


async def test_a_full_stream_refuses_drops_nothing_and_takes_again(server: NatsServer) -> None:
    clock = ManualClock()
    url = f"{server.url}?max_bytes=1048576&keep=0"
    async with producer(url) as sender, reader(url, "full", clock) as found:
        await sender.partitions("full")
        count = 0
        with pytest.raises(PartitionFull):
            for count in range(100):
                await sender.send("full", 0, [b"%d" % count + BULK], f"k{count}")
        got = await found.take_and_ack(count)
        assert [message.payload for message in got] == [b"%d" % n + BULK for n in range(count)]
        async with operator(server) as js:
            async with asyncio.timeout(SOON_SECONDS):
                while (await js.stream_info("full")).state.messages:
                    clock.advance(TRIM_SECONDS)
                    await asyncio.sleep(0.02)
        await sender.send("full", 0, [b"again"], "again")
        assert (await found.take(1))[0].payload == b"again"


async def test_nothing_is_let_go_that_a_group_has_not_settled(server: NatsServer) -> None:
    clock = ManualClock()
    url = f"{server.url}?keep=0"
    async with producer(url) as sender, reader(url, "kept", clock) as found:
        await sender.partitions("kept")
        for number in range(4):
            await sender.send("kept", 0, [b"%d" % number])
        got = await found.take(4)
        await found.ack([got[0], got[2]])
        async with operator(server) as js:
            async with asyncio.timeout(SOON_SECONDS):
                while (state := (await js.stream_info("kept")).state).first_seq == 1:
                    clock.advance(TRIM_SECONDS)
                    await asyncio.sleep(0.02)
        assert (state.first_seq, state.messages) == (2, 3)


async def test_what_was_deleted_is_made_again(server: NatsServer) -> None:
    async with producer(server.url) as sender, reader(server.url, "gone") as found:
        await sender.partitions("gone")
        await sender.send("gone", 0, [b"1"])
        await found.take_and_ack(1)
        async with operator(server) as js:
            await js.delete_consumer("gone", "g")
            await sender.send("gone", 0, [b"2"])
            again = await found.take_and_ack(2)  # the new group begins at the first message
            assert [message.payload for message in again] == [b"1", b"2"]
            await js.delete_stream("gone")
        async with asyncio.timeout(SOON_SECONDS):
            while True:
                try:
                    await sender.send("gone", 0, [b"3"])
                    break
                except Unavailable:
                    await asyncio.sleep(0.02)
        assert (await found.take_and_ack(1))[0].payload == b"3"


async def test_a_topic_with_dots_and_a_group_with_dots_are_one_stream(server: NatsServer) -> None:
    async with producer(server.url) as sender, reader(server.url, "a.b.") as found:
        await sender.partitions("a.b.")
        await sender.send("a.b.", 3, [b"1"])
        (message,) = await found.take_and_ack(1)
        assert (message.partition, message.payload) == (3, b"1")
        async with operator(server) as js:
            assert (await js.stream_info("a~b~")).config.subjects == ["a~b~.*"]


async def test_a_collector_settles_all_however_many_workers_were_asked_for(
    server: NatsServer, tmp_path: Path
) -> None:
    url = f"{server.plain_url}?ack_wait=600"  # what is never acked does not come again here
    looking = NatsConsumer(url, Subscription("workers", "g", 1, 1, "looks"), None, SystemClock())
    async with producer(url) as sender:
        await sender.partitions("workers")
        for number in range(20):
            await sender.send("workers", number % 4, [b"no telemetry"])
        given = {"MSG_QUEUE_TOPIC": "workers", "CONSUMER_GROUP": "g", "QUEUE_WORKERS": "3"}
        async with collector_process(tmp_path, url, **given):

            async def nothing_is_left() -> bool:
                return await looking.lag() == 0

            await until_told(nothing_is_left, SOON_SECONDS)
    await looking.close()


async def test_tls_all_the_way_and_no_password_for_who_does_not_encrypt(
    server: NatsServer, tmp_path: Path
) -> None:
    made = Certificates(tmp_path / "tls")
    files = (made.cert_file, made.key_file)
    with running_nats(tmp_path / "nats", guarded=True, tls=files) as guarded:
        url = guarded.url.replace("nats://", "tls://")
        async with producer(url, made.ca_file) as sender:
            assert await sender.partitions("t") == 4
        async with producer(url) as stranger:
            with pytest.raises(BrokerUnreachable, match="certificate"):
                await stranger.partitions("t")
    plain = server.with_credentials("me", "secret").replace("nats://", "tls://")
    async with producer(plain) as sender:
        with pytest.raises(BrokerUnreachable, match="secure"):
            await sender.partitions("t")


async def test_what_we_may_not_do_is_said_at_once(tmp_path: Path) -> None:
    rights = '{ publish: ["$JS.API.>", "_INBOX.>"], subscribe: ">" }'
    users = f'authorization {{ users: [ {{ user: "u", password: "p", permissions: {rights} }} ] }}'
    with running_nats(tmp_path / "nats", extra=users) as server:
        async with producer(server.with_credentials("u", "p")) as sender:
            await sender.partitions("t")
            with pytest.raises(Forbidden):
                await sender.send("t", 0, [b"1"])


async def test_the_rights_that_the_page_names_are_enough(tmp_path: Path) -> None:
    publish = '["t.>", "t~dead~g.>", "$JS.API.>", "$JS.ACK.>"]'
    rights = f'{{ publish: {publish}, subscribe: "_INBOX.>" }}'
    users = f'authorization {{ users: [ {{ user: "u", password: "p", permissions: {rights} }} ] }}'
    with running_nats(tmp_path / "nats", extra=users) as server:
        url = server.with_credentials("u", "p")
        letters = NatsDeadLetters(url, "t", "g", None, SystemClock())
        async with producer(url) as sender, reader(url, "t") as found:
            await sender.partitions("t")
            await sender.send("t", 0, [b"1"], "key")
            (message,) = await found.take(1)
            assert (await found.consumer.extend([message.receipt], 5)).acked == 1
            assert (await found.consumer.reject([message.receipt], "no")).acked == 1
            assert await letters.redrive(100) == 1
            assert (await found.take_and_ack(1))[0].payload == b"1"
            assert await letters.purge() == 0
        await letters.close()


async def test_a_server_without_jetstream_is_said_to_be_one(tmp_path: Path) -> None:
    with running_nats(tmp_path / "nats", jetstream=False) as server:
        async with producer(server.url) as sender:
            with pytest.raises(Unavailable, match="is JetStream enabled"):
                await sender.partitions("t")


async def test_a_stream_of_another_with_our_subjects_is_said(server: NatsServer) -> None:
    async with operator(server) as js:
        await js.add_stream(name="theirs", subjects=["taken.>"])
    async with producer(server.url) as sender:
        with pytest.raises(Exception, match="overlap"):
            await sender.partitions("taken")


def test_a_url_says_where_who_and_how() -> None:
    found = read_nats_url("nats://me:p%40%3Aw@a,b:4223,[::1]:5?replicas=3&keep=0", None)
    assert found.servers == ["nats://a:4222", "nats://b:4223", "nats://[::1]:5"]
    assert found.who == {"user": "me", "password": "p@:w"}
    assert (found.replicas, found.keep_seconds, found.tls) == (3, 0, False)
    assert read_nats_url("nats://to%2Fken@a", None).who == {"token": "to/ken"}
    assert read_nats_url("tls://a", None).tls
    assert read_nats_url("nats://a", Path("/ca.pem")).tls


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nats://u:secret@a?partitions=0", "partitions in the queue's URL must be 1 to 256"),
        ("nats://u:secret@a?max_bytes=5", "max_bytes"),
        ("nats://u:secret@a?colour=red", "no parameter colour"),
        ("nats://u:secret@", "names no host"),
    ],
)
def test_a_url_that_says_nonsense_is_refused_by_name(url: str, words: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        read_nats_url(url, None)
    assert words in refused.value.message
    assert "secret" not in refused.value.message
