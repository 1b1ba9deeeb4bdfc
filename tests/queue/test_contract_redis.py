"""The contract on Redis Streams."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from pydantic import SecretStr

from common.queue.address import QueueAddress
from tests.queue.commands import Commands
from tests.queue.contract import Contract, client, topic
from tests.queue.kills import kill_everything
from tests.support.ports import free_port
from tests.support.redis import RedisServer, running_redis

PARAMETERS = "partitions=4&max_deliveries=3"

__all__ = ["client", "topic"]


class RedisStreams:
    """One server that syncs before it answers."""

    name = "redis"
    not_given: Mapping[str, str] = {}
    partitions = 4
    visibility_seconds = 1.0
    max_deliveries = 3
    too_large = (64 << 20) + 1

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self.start, self.kill = server.start, server.kill

    def address(self) -> QueueAddress:
        """See ``Engine``."""
        return self._server.address(parameters=PARAMETERS)

    def hasty_address(self) -> QueueAddress:
        """See ``Engine``."""
        return self._server.address(parameters=f"{PARAMETERS}&visibility=1s")

    def wrong_address(self) -> QueueAddress:
        """See ``Engine``."""
        return QueueAddress(f"redis://127.0.0.1:{free_port()}", SecretStr(""))

    def wrong_credentials(self) -> QueueAddress:
        """See ``Engine``."""
        return self._server.address(password="wrong-password")

    async def grow(self, topic: str, partitions: int) -> None:
        """See ``Engine``."""
        with self._server.operator() as operator:
            operator.hset(f"telemetry-stack:{topic}", "partitions", partitions)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisStreams]:
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield RedisStreams(server)


class TestRedisStreams(Contract, Commands):
    """See ``Contract``."""

    async def test_everything_killed_each_point_is_stored_once(
        self, engine: RedisStreams, tmp_path: Path
    ) -> None:
        await kill_everything(engine, tmp_path)
