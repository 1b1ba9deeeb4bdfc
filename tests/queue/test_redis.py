"""What is Redis's own: how it is set, its memory, its rights, what an operator does to it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from common.clock import SystemClock
from common.errors import (
    BrokerUnreachable,
    Forbidden,
    InvalidRequest,
    Overloaded,
    TelemetryError,
    Unauthorized,
    Unavailable,
)
from common.queue.address import QueueAddress
from common.queue.base import Consumer, Producer, Subscription
from common.queue.factory import open_consumer, open_producer
from common.queue.redis.place import read_place
from tests.queue.contract import lag_is
from tests.queue.engine import Reader
from tests.support.certificates import Certificates
from tests.support.redis import RedisServer, running_redis
from tests.support.waiting import until_told

DOCS = Path(__file__).parents[2] / "docs/engines.md"
GROUP = "g"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running_redis(tmp_path_factory.mktemp("redis")) as found:
        yield found


@pytest.fixture
def operator(server: RedisServer) -> Iterator[Any]:
    """An operator, whose database is empty at first and whose settings are the usual at the end."""
    with server.operator() as found:
        found.flushall()
        yield found
        found.config_set("maxmemory", "0")
        found.config_set("maxmemory-policy", "noeviction")
        found.config_set("appendfsync", "always")


@contextlib.asynccontextmanager
async def producing(where: QueueAddress) -> AsyncIterator[Producer]:
    producer = open_producer(where, SystemClock())
    try:
        yield producer
    finally:
        await producer.close()


@contextlib.asynccontextmanager
async def reading(where: QueueAddress, group: str = GROUP, most: int = 10) -> AsyncIterator[Reader]:
    reader = Reader(open_consumer(where, Subscription("t", group, most, 5, "one"), SystemClock()))
    try:
        yield reader
    finally:
        await reader.stop()
        await reader.consumer.close()


async def refusal(where: QueueAddress) -> TelemetryError:
    """What a producer is told that asks for its topic."""
    async with producing(where) as producer:
        with pytest.raises(TelemetryError) as said:
            await producer.partitions("t")
    return said.value


class TestAddress:
    def test_everything_in_it_is_understood(self) -> None:
        place = read_place("rediss://me:p%40%3A@h:1/3?partitions=8&visibility=5s&max_deliveries=2")
        assert place == ("h", 1, 3, "me", "p@:", True, 8, 5000, 2)
        assert read_place("redis://h") == ("h", 6379, 0, None, None, False, 4, 30_000, 10)

    @pytest.mark.parametrize(
        "url",
        [
            "redis://:hunter2@h:port",
            "redis://:hunter2@h/one",
            "redis://:hunter2@h?partition=3",
            "redis://:hunter2@h?partitions=0",
            "redis://:hunter2@h?partitions=257",
            "redis://:hunter2@h?visibility=soon",
            "redis://:hunter2@h?visibility",
            "redis://:hunter2@",
        ],
    )
    def test_nonsense_is_refused_without_showing_it(self, url: str) -> None:
        with pytest.raises(InvalidRequest) as said:
            read_place(url)
        assert "hunter2" not in str(said.value)


class TestSettings:
    @pytest.mark.parametrize(
        ("appendfsync", "told"), [("always", "fsync"), ("no", "disk"), ("everysec", "memory")]
    )
    async def test_an_answer_says_no_more_than_the_server_promises(
        self, server: RedisServer, operator: Any, appendfsync: str, told: str
    ) -> None:
        operator.config_set("appendfsync", appendfsync)
        async with producing(server.address()) as producer:
            assert (await producer.send("t", 0, [b"x"])).durability == told

    async def test_one_that_does_not_sync_while_it_rewrites_its_log_promises_no_sync(
        self, server: RedisServer, operator: Any
    ) -> None:
        operator.config_set("no-appendfsync-on-rewrite", "yes")
        try:
            async with producing(server.address()) as producer:
                assert (await producer.send("t", 0, [b"x"])).durability == "disk"
        finally:
            operator.config_set("no-appendfsync-on-rewrite", "no")

    async def test_without_a_log_it_promises_nothing(self, tmp_path: Path) -> None:
        with running_redis(tmp_path, settings=["--appendonly", "no"]) as server:
            async with producing(server.address()) as producer:
                assert (await producer.send("t", 0, [b"x"])).durability == "memory"

    async def test_a_server_that_throws_messages_away_is_refused(
        self, server: RedisServer, operator: Any
    ) -> None:
        operator.config_set("maxmemory-policy", "allkeys-lru")
        said = await refusal(server.address())
        assert isinstance(said, InvalidRequest)
        assert "set noeviction" in said.message
        operator.config_set("maxmemory-policy", "volatile-ttl")
        async with producing(server.address()) as producer:
            assert await producer.partitions("t") == 4

    async def test_a_full_server_takes_nothing_and_takes_again(
        self, server: RedisServer, operator: Any
    ) -> None:
        async with producing(server.address()) as producer:
            await producer.send("t", 0, [b"1"])
            operator.config_set("maxmemory", "1")
            with pytest.raises(Overloaded) as said:
                await producer.send("t", 0, [b"2"], "key")
            assert said.value.retry_after_seconds
            operator.config_set("maxmemory", "0")
            assert not (await producer.send("t", 0, [b"2"], "key")).duplicate

    async def test_a_replica_is_waited_for(self, server: RedisServer, operator: Any) -> None:
        async with producing(server.address()) as producer:
            await producer.partitions("t")
            operator.replicaof("127.0.0.1", server.port)  # of itself: never in sync
            try:
                with pytest.raises((Unavailable, BrokerUnreachable)) as said:
                    await producer.send("t", 0, [b"1"])
                assert said.value.retry_after_seconds
            finally:
                operator.replicaof("NO", "ONE")

    async def test_what_a_later_version_wrote_is_refused_and_left(
        self, server: RedisServer, operator: Any
    ) -> None:
        operator.hset("telemetry-stack:t", mapping={"format": 2, "partitions": 9})
        said = await refusal(server.address())
        assert "format 2" in said.message
        assert operator.hgetall("telemetry-stack:t") == {b"format": b"2", b"partitions": b"9"}


class TestRights:
    @staticmethod
    def documented() -> list[str]:
        """The rule that docs/engines.md gives to a user."""
        text = DOCS.read_text()
        line = next(line for line in text.splitlines() if line.startswith("ACL SETUSER telemetry"))
        return line.split()[3:]

    async def test_a_user_with_the_rights_of_the_documentation_can_do_everything(
        self, server: RedisServer, operator: Any
    ) -> None:
        rule = [word.replace(">PASSWORD", ">secret") for word in self.documented()]
        operator.execute_command("ACL", "SETUSER", "telemetry", "reset", *rule)
        where = as_user(server, "telemetry", "visibility=1s")
        async with producing(where) as producer, reading(where) as reader:
            await producer.send("t", 0, [b"1", b"2"], "key")
            first, second = await reader.take(2)
            await reader.consumer.extend([first.receipt], 1)
            await reader.consumer.reject([second.receipt], "no")
            await reader.ack([first])
            await lag_is(reader, 0)

    async def test_one_who_may_not_is_told_so(self, server: RedisServer, operator: Any) -> None:
        operator.execute_command(
            *("ACL", "SETUSER", "guest", "reset", "on", ">secret", "+info", "~other:*")
        )
        said = await refusal(as_user(server, "guest"))
        assert isinstance(said, Forbidden)
        assert "secret" not in said.message

    async def test_a_password_that_is_changed_is_said(
        self, server: RedisServer, operator: Any
    ) -> None:
        rule = ("ACL", "SETUSER", "moved", "reset", "on", ">secret", "+@all", "~*")
        operator.execute_command(*rule)
        async with producing(as_user(server, "moved")) as producer:
            await producer.send("t", 0, [b"1"])
            operator.execute_command("ACL", "SETUSER", "moved", "<secret", ">another")
            operator.execute_command("CLIENT", "KILL", "USER", "moved")
            with pytest.raises(Unauthorized):
                async with asyncio.timeout(10):
                    while True:
                        with contextlib.suppress(BrokerUnreachable):  # the connection that was cut
                            await producer.send("t", 0, [b"2"])

    async def test_the_wire_is_encrypted_and_a_stranger_is_not_believed(
        self, tmp_path: Path
    ) -> None:
        ours, theirs = Certificates(tmp_path / "ours"), Certificates(tmp_path / "theirs")
        with running_redis(tmp_path / "redis", ours) as server:
            where = server.address()
            async with producing(where) as producer:
                assert (await producer.send("t", 0, [b"x"])).count == 1
            said = await refusal(where._replace(tls_ca_file=theirs.ca_file))
            assert isinstance(said, BrokerUnreachable)
            plain = where._replace(url=where.url.replace("rediss:", "redis:"))
            assert isinstance(await refusal(plain), BrokerUnreachable)


def as_user(server: RedisServer, name: str, parameters: str = "") -> QueueAddress:
    return QueueAddress(
        f"redis://{name}:secret@127.0.0.1:{server.port}/0?{parameters}", SecretStr("")
    )


class TestGroups:
    async def test_all_who_find_new_partitions_together_find_each_once(
        self, server: RedisServer, operator: Any
    ) -> None:
        consumer = open_consumer(
            server.address(), Subscription("t", GROUP, 10, 5, "one"), SystemClock()
        )
        try:
            async with producing(server.address()) as producer:
                await producer.send("t", 0, [b"1"])
                await asyncio.gather(*(consumer.lag() for _ in range(5)))
                operator.hset("telemetry-stack:t", "partitions", 8)
                await producer.send("t", 7, [b"2"])
                lags = await asyncio.gather(*(consumer.lag() for _ in range(5)))
                assert (await asyncio.gather(*(consumer.lag() for _ in range(5)))) == [2] * 5
        finally:
            await consumer.close()
        assert lags == [2] * 5


class TestMemory:
    async def test_what_every_group_has_settled_is_let_go(
        self, server: RedisServer, operator: Any
    ) -> None:
        stream = "telemetry-stack:{t:0}"
        large = [b"%d" % number + b"x" * 5000 for number in range(30)]
        async with producing(server.address()) as producer:
            async with reading(server.address()) as quick:
                async with reading(server.address(), "slow") as slow:
                    await lag_is(slow, 0)
                    await producer.send("t", 0, large)
                    await quick.take_and_ack(30)
                    waiting = await slow.take(5)
                    await slow.ack(waiting)
                await lag_is(quick, 0)
                assert operator.xlen(stream) >= 25
            async with reading(server.address(), "slow") as slow:
                await slow.take_and_ack(25)

                async def gone() -> bool:
                    return int(operator.xlen(stream)) == 0

                await until_told(gone)
                assert (await producer.send("t", 0, [b"next"])).offset == 31
                assert (await slow.take_and_ack(1))[0].payload == b"next"

    async def test_a_consumer_that_is_closed_gives_back_at_once_and_is_forgotten(
        self, server: RedisServer, operator: Any
    ) -> None:
        where = server.address(parameters="visibility=1h&partitions=1")
        async with producing(where) as producer:
            await producer.send("t", 0, [b"1"])
            async with reading(where) as first:
                await first.take(1)
            async with reading(where) as second:
                ((message,),) = [await second.take_and_ack(1)]
                assert message.attempt == 2
        names = [row["pending"] for row in operator.xinfo_consumers("telemetry-stack:{t:0}", GROUP)]
        assert names == [0]  # the first, whose last message the second has settled

    async def test_acks_by_another_consumer_of_the_process_make_room(
        self, server: RedisServer, operator: Any
    ) -> None:
        where = server.address()
        clerk: Consumer = open_consumer(
            where, Subscription("t", GROUP, 1, 1, "clerk"), SystemClock()
        )
        try:
            async with producing(where) as producer, reading(where, most=2) as reader:
                await producer.send("t", 0, [b"%d" % number for number in range(8)])
                for _ in range(4):
                    taken = await reader.take(2)
                    assert (await clerk.ack([each.receipt for each in taken])).acked == 2
        finally:
            await clerk.close()

    async def test_a_database_that_is_emptied_begins_anew(
        self, server: RedisServer, operator: Any
    ) -> None:
        async with producing(server.address()) as producer, reading(server.address()) as reader:
            await producer.send("t", 0, [b"1"])
            (message,) = await reader.take(1)
            operator.flushall()
            assert (await reader.consumer.ack([message.receipt])).refused
            await producer.send("t", 0, [b"2"])
            while (await reader.take(1))[0].payload != b"2":
                pass
