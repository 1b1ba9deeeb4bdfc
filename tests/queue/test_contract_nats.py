"""The contract on a real NATS server with JetStream."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import nats
import pytest
from pydantic import SecretStr

from common.queue.address import QueueAddress
from tests.queue.commands import Commands
from tests.queue.contract import Contract, client, topic
from tests.queue.kills import kill_everything
from tests.support.nats import (
    ACK_WAIT_SECONDS,
    MAX_PAYLOAD,
    PASSWORD,
    USER,
    NatsServer,
    running_nats,
)
from tests.support.ports import free_port

__all__ = ["client", "topic"]

NO_TOKEN = SecretStr("")
MAX_DELIVERIES = 3


class JetStream:
    """One server that asks for a password."""

    name = "nats"
    not_given: Mapping[str, str] = {}
    partitions = 4
    visibility_seconds = float(ACK_WAIT_SECONDS)
    max_deliveries = MAX_DELIVERIES
    too_large = MAX_PAYLOAD + 1

    def __init__(self, server: NatsServer) -> None:
        self.start = server.start
        self.kill = server.kill
        self._server = server

    def address(self) -> QueueAddress:
        """See ``Engine``."""
        return QueueAddress(f"{self._server.url}?max_deliveries={MAX_DELIVERIES}", NO_TOKEN)

    def hasty_address(self) -> QueueAddress:
        """See ``Engine``."""
        return QueueAddress(f"{self.address().url}&ack_wait={ACK_WAIT_SECONDS}", NO_TOKEN)

    def wrong_address(self) -> QueueAddress:
        """See ``Engine``."""
        return QueueAddress(f"nats://127.0.0.1:{free_port()}", NO_TOKEN)

    def wrong_credentials(self) -> QueueAddress:
        """See ``Engine``."""
        return QueueAddress(self._server.with_credentials(USER, "wrong-password"), NO_TOKEN)

    async def grow(self, topic: str, partitions: int) -> None:
        """See ``Engine``."""
        connection = await nats.connect(self._server.plain_url, user=USER, password=PASSWORD)
        js = connection.jetstream()
        found = (await js.stream_info(topic)).config
        await js.update_stream(found.evolve(metadata={"partitions": str(partitions)}))
        await connection.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with running_nats(tmp_path_factory.mktemp("nats"), guarded=True) as found:
        yield found


@pytest.fixture(scope="module")
def engine(server: NatsServer) -> JetStream:
    return JetStream(server)


class TestJetStream(Contract, Commands):
    """See ``Contract``."""

    async def test_everything_killed_each_point_is_stored_once(
        self, engine: JetStream, tmp_path: Path
    ) -> None:
        await kill_everything(engine, tmp_path)
