"""What is Kafka's own: its URL, its membership, its topics, a server that is killed."""

import asyncio
import math
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from confluent_kafka import Producer as Client
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from common.clock import SystemClock
from common.errors import (
    BrokerUnreachable,
    Forbidden,
    InvalidParameter,
    TelemetryError,
    TooLarge,
)
from common.queue.base import Subscription
from common.queue.kafka import KafkaConsumer, KafkaDeadLetters, KafkaProducer
from common.queue.kafka.client import KafkaMember
from common.queue.kafka.settings import read_kafka_url
from tests.queue.engine import SOON_SECONDS, Reader
from tests.support.certificates import Certificates
from tests.support.kafka import LIMITED, PASSWORD, SESSION, USER, KafkaServer, running_kafka
from tests.support.waiting import until, until_told


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[KafkaServer]:
    directory = tmp_path_factory.mktemp("kafka")
    keystore = directory.with_name("keystore.pem")
    key = load_pem_private_key(certificates.key_file.read_bytes(), None)
    pkcs8 = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    keystore.write_bytes(pkcs8 + certificates.cert_file.read_bytes())
    with running_kafka(directory, keystore) as found:
        yield found


def give_rights(server: KafkaServer, topic: str, group: str) -> None:
    """What docs/engines.md says that we need, and no more."""
    of_topic, of_group, dead = ResourceType.TOPIC, ResourceType.GROUP, f"{topic}.dead.{group}"
    does = AclOperation
    rights = [(of_group, group, does.READ), (of_topic, dead, does.DELETE)]
    for name in (topic, dead):
        rights += [(of_topic, name, each) for each in (does.READ, does.WRITE, does.CREATE)]
    acls = [
        AclBinding(
            *(kind, name, ResourcePatternType.LITERAL, f"User:{LIMITED}", "*"),
            *(operation, AclPermissionType.ALLOW),
        )
        for kind, name, operation in rights
    ]
    admin = AdminClient({"bootstrap.servers": server.address})
    for done in admin.create_acls(acls).values():
        done.result()


_opened: list[KafkaConsumer] = []


@pytest.fixture(autouse=True)
async def _closed() -> AsyncIterator[None]:
    """Close what a test that failed left open: librdkafka may hang when Python drops it."""
    yield
    while _opened:
        await _opened.pop().close()


def consumer(url: str, topic: str, group: str = "g", most: int = 10) -> KafkaConsumer:
    wanted = Subscription(topic, group, most, 5, "one")
    _opened.append(KafkaConsumer(url, wanted, None, SystemClock()))
    return _opened[-1]


async def send(url: str, topic: str, *payloads: bytes) -> None:
    """Send as the streamer does: again while the queue says that it may."""
    producer = KafkaProducer(url, None, SystemClock())
    try:
        async with asyncio.timeout(SOON_SECONDS):
            while True:
                try:
                    await producer.partitions(topic)
                    await producer.send(topic, 0, payloads)
                    return
                except TelemetryError as error:
                    assert error.retry_after_seconds is not None
                    await asyncio.sleep(0.05)
    finally:
        await producer.close()


async def test_a_server_killed_and_started_loses_nothing(server: KafkaServer) -> None:
    reader = Reader(consumer(server.url, "killed"))
    await send(server.url, "killed", b"1")
    await reader.take_and_ack(1)
    await send(server.url, "killed", b"2", b"3")
    server.kill()
    sending = asyncio.create_task(send(server.url, "killed", b"4"))
    server.start()
    await sending
    found: set[bytes] = set()
    while not found >= {b"2", b"3", b"4"}:
        (message,) = await reader.take(1)
        found.add(message.payload)
        await reader.consumer.ack([message.receipt])
    await reader.stop()
    await reader.consumer.close()


async def test_one_that_settles_nothing_for_long_is_still_a_member(server: KafkaServer) -> None:
    url = f"{server.url}&max.poll.interval.ms=3000&partitions=1"
    await send(url, "slow", b"1", b"2", b"3")
    reader = Reader(consumer(url, "slow", most=2))
    held = await reader.take(2)
    other = Reader(consumer(url, "slow"))
    try:
        with pytest.raises(TimeoutError):
            await other.take(1, seconds=4.5)  # longer than a member may go without asking
        assert await reader.ack(held) == 2
        assert [message.payload for message in await reader.take_and_ack(1)] == [b"3"]
    finally:
        for each in (reader, other):
            await each.stop()
            await each.consumer.close()


async def ack_some(member: KafkaConsumer, count: float, acked: Counter[str]) -> None:
    """Ack ``count`` messages or a few more, one at a time; count each by its place."""
    async for delivery in member.deliveries():
        for receipt in delivery.receipts():
            if (await member.ack([receipt])).acked:
                acked[receipt.rpartition(":")[0]] += 1
                count -= 1
        if count <= 0:
            break


async def settled(member: KafkaConsumer) -> bool:
    return await member.lag() == 0


async def test_members_that_come_and_go_ack_each_message_once(server: KafkaServer) -> None:
    url, acked, sent = f"{server.url}&partitions=4", Counter[str](), 0
    stays = consumer(url, "coming")
    reading = asyncio.create_task(ack_some(stays, math.inf, acked))

    async def come_and_go() -> None:
        for _ in range(5):
            comes = consumer(url, "coming")
            await ack_some(comes, 50, acked)
            await comes.close()

    producer = KafkaProducer(url, None, SystemClock())
    assert await producer.partitions("coming") == 4
    coming = asyncio.create_task(come_and_go())
    async with asyncio.timeout(2 * SOON_SECONDS):
        while not coming.done():
            await producer.send("coming", sent % 4, [b"%d" % sent])
            sent += 1
        await coming
    await until_told(lambda: settled(stays), SOON_SECONDS)
    reading.cancel()
    for each in (stays, producer):
        await each.close()
    assert (len(acked), acked.total()) == (sent, sent)


async def test_one_that_is_closed_while_it_joins_leaves_no_member_behind(
    server: KafkaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A member that nobody polls would keep its partitions from the others for minutes."""
    begun, made, closed = threading.Event(), list[KafkaMember](), list[KafkaMember]()
    init, close = KafkaMember.__init__, KafkaMember.close

    def slow(member: KafkaMember, *given: Any) -> None:
        begun.set()
        time.sleep(0.3)
        init(member, *given)
        made.append(member)

    def noted(member: KafkaMember) -> None:
        closed.append(member)
        close(member)

    monkeypatch.setattr(KafkaMember, "__init__", slow)
    monkeypatch.setattr(KafkaMember, "close", noted)
    joins = consumer(server.url, "joins")
    reading = asyncio.create_task(ack_some(joins, 1, Counter[str]()))
    await until(begun.is_set, SOON_SECONDS)
    reading.cancel()
    await joins.close()
    assert len(made) == 1
    assert closed == made


async def test_a_topic_that_was_deleted_is_made_again(server: KafkaServer) -> None:
    url = f"{server.url}&topic.metadata.refresh.interval.ms=500&partitions=1"
    reader = Reader(consumer(url, "deleted"))
    await send(url, "deleted", b"1")
    await reader.take_and_ack(1)
    admin = AdminClient({"bootstrap.servers": server.address})
    for done in admin.delete_topics(["deleted"]).values():
        done.result()

    async def is_there() -> bool:
        return "deleted" in (await asyncio.to_thread(admin.list_topics)).topics

    await until_told(is_there, SOON_SECONDS)  # nobody sends: it is the reader that missed it
    await send(url, "deleted", b"2")
    (message,) = await reader.take(1)
    assert message.payload == b"2"
    await reader.stop()
    await reader.consumer.close()


async def test_credentials_with_any_letters_open_the_door(server: KafkaServer) -> None:
    url = f"{server.guarded_url(USER, quote(PASSWORD, safe=''))}?{SESSION}"
    await send(url, "guarded", b"1")
    reader = Reader(consumer(url, "guarded"))
    assert (await reader.take_and_ack(1))[0].payload == b"1"
    await reader.stop()
    await reader.consumer.close()


async def test_the_rights_that_the_page_names_are_enough(server: KafkaServer) -> None:
    give_rights(server, "limited", "g")
    url = f"{server.guarded_url(LIMITED, quote(PASSWORD, safe=''))}?{SESSION}"
    await send(url, "limited", b"1")
    reader = Reader(consumer(url, "limited"))
    (message,) = await reader.take(1)
    assert (await reader.consumer.reject([message.receipt], "no")).acked == 1
    letters = KafkaDeadLetters(url, "limited", "g", None, SystemClock())
    assert await letters.redrive(100) == 1
    assert (await reader.take_and_ack(1))[0].payload == b"1"
    assert await reader.consumer.lag() == 0
    await letters.close()
    await reader.stop()
    await reader.consumer.close()


async def test_what_we_may_not_do_is_said(server: KafkaServer) -> None:
    url = f"{server.guarded_url(LIMITED, quote(PASSWORD, safe=''))}?{SESSION}"
    producer = KafkaProducer(url, None, SystemClock())
    with pytest.raises(Forbidden):
        await producer.partitions("others")
    await producer.close()
    give_rights(server, "mine", "allowed")
    reader = Reader(consumer(url, "mine", group="forbidden"))
    with pytest.raises(Forbidden):
        await reader.take(1)
    await reader.consumer.close()


async def test_tls_all_the_way_and_only_to_whom_we_believe(
    server: KafkaServer, certificates: Certificates
) -> None:
    url = f"kafka://{server.tls_address}"
    producer = KafkaProducer(url, certificates.ca_file, SystemClock())
    await producer.partitions("secret")
    assert (await producer.send("secret", 0, [b"1"])).offset == 0
    await producer.close()
    stranger = KafkaProducer(f"{url}?security.protocol=SSL", None, SystemClock())
    with pytest.raises(BrokerUnreachable, match="certificate"):
        await stranger.partitions("secret")
    await stranger.close()


async def test_what_others_wrote_is_read_and_a_letter_of_theirs_is_shown(
    server: KafkaServer,
) -> None:
    for topic in ("foreign", "foreign.dead.g"):
        producer = KafkaProducer(f"{server.url}&partitions=1", None, SystemClock())
        await producer.partitions(topic)
        await producer.close()
    theirs = Client({"bootstrap.servers": server.address})
    theirs.produce("foreign", b"line\nend", key=b"k", headers=[("h", b"v")])
    theirs.produce("foreign.dead.g", b"dead", headers=[("offset", b"x"), ("error", b"\xff")])
    assert theirs.flush(SOON_SECONDS) == 0
    reader = Reader(consumer(server.url, "foreign"))
    assert (await reader.take_and_ack(1))[0].payload == b"line\nend"
    await reader.stop()
    await reader.consumer.close()
    letters = KafkaDeadLetters(server.url, "foreign", "g", None, SystemClock())
    (letter,) = await letters.page(5)
    assert (letter.payload, letter.offset, letter.reason) == (b"dead", 0, "REJECTED")
    assert await letters.purge() == 1
    await letters.close()


async def test_nothing_of_a_send_with_one_too_large_is_stored(server: KafkaServer) -> None:
    url = f"{server.url}&message.max.bytes=50000"
    producer = KafkaProducer(url, None, SystemClock())
    await producer.partitions("large")
    with pytest.raises(TooLarge):
        await producer.send("large", 0, [b"small", b"x" * 50_001])
    told = await producer.send("large", 0, [b"first"])
    assert told.offset == 0
    await producer.close()


def test_a_url_says_where_who_and_how() -> None:
    found = read_kafka_url(
        "kafka://me:p%40%3Aw@a,b:9093,[::1]:9094?partitions=7&replicas=3&linger.ms=50", None
    )
    assert (found.partitions, found.replicas) == (7, 3)
    assert found.settings["bootstrap.servers"] == "a:9092,b:9093,[::1]:9094"
    assert (found.settings["sasl.username"], found.settings["sasl.password"]) == ("me", "p@:w")
    assert found.settings["security.protocol"] == "SASL_PLAINTEXT"
    assert found.settings["linger.ms"] == "50"


def test_a_ca_asks_for_tls_and_the_url_has_the_last_word() -> None:
    ca = Path("/ca.pem")
    assert read_kafka_url("kafka://a", ca).settings["security.protocol"] == "SSL"
    assert read_kafka_url("kafka://u:p@a", ca).settings["security.protocol"] == "SASL_SSL"
    said = read_kafka_url("kafka://u:p@a?security.protocol=SASL_PLAINTEXT", ca)
    assert said.settings["security.protocol"] == "SASL_PLAINTEXT"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("kafka://u:secret@a?acks=1", "cannot set acks"),
        ("kafka://u:secret@a?group.id=x&enable.idempotence=false", "enable.idempotence, group.id"),
        ("kafka://u:secret@a?partitions=none", "partitions in the queue's URL must be 1 to 256"),
        ("kafka://u:secret@", "names no host"),
    ],
)
def test_what_would_break_a_promise_is_refused_by_name(url: str, words: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        read_kafka_url(url, None)
    assert words in refused.value.message
    assert "secret" not in refused.value.message


async def test_a_property_that_is_none_is_named(server: KafkaServer) -> None:
    producer = KafkaProducer(f"{server.url}&no.such=1", None, SystemClock())
    with pytest.raises(InvalidParameter) as refused:
        await producer.partitions("t")
    assert "no.such" in refused.value.message
