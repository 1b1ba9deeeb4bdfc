"""The contract on a real Kafka broker."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewPartitions
from pydantic import SecretStr

from common.queue.address import QueueAddress
from tests.queue.commands import Commands
from tests.queue.contract import Contract, client, topic
from tests.queue.kills import kill_everything
from tests.support.kafka import RECORD_BYTES, SESSION_MS, USER, KafkaServer, running_kafka
from tests.support.ports import free_port

__all__ = ["client", "topic"]

NO_KEYS = "a send that is made again is stored again"
NO_LEASES = "a message stays with its consumer while that is a member of the group"
NO_COUNT = "`attempt` is always 1, and there is no limit of deliveries"
NO_TOKEN = SecretStr("")


class Kafka:
    """One node."""

    name = "kafka"
    not_given: Mapping[str, str] = {
        "test_a_send_repeated_is_stored_once": NO_KEYS,
        "test_a_server_killed_and_started_loses_and_doubles_nothing": NO_KEYS,
        "test_a_late_ack_is_refused_and_changes_nothing": NO_LEASES,
        "test_a_lease_that_is_extended_stays": NO_LEASES,
        "test_an_attempt_is_counted": NO_COUNT,
        "test_a_poison_message_is_a_letter_after_its_deliveries": NO_COUNT,
    }
    partitions = 4
    visibility_seconds = SESSION_MS / 1000
    max_deliveries = 3
    too_large = RECORD_BYTES + 1

    def __init__(self, server: KafkaServer) -> None:
        self.start = server.start
        self.kill = server.kill
        self._server = server

    def address(self) -> QueueAddress:
        """See ``Engine``."""
        return QueueAddress(f"{self._server.url}&topic.metadata.refresh.interval.ms=500", NO_TOKEN)

    def hasty_address(self) -> QueueAddress:
        """See ``Engine``."""
        return self.address()

    def wrong_address(self) -> QueueAddress:
        """See ``Engine``."""
        return QueueAddress(f"kafka://127.0.0.1:{free_port()}", NO_TOKEN)

    def wrong_credentials(self) -> QueueAddress:
        """See ``Engine``."""
        return QueueAddress(self._server.guarded_url(USER, "wrong-password"), NO_TOKEN)

    async def grow(self, topic: str, partitions: int) -> None:
        """See ``Engine``."""
        admin = AdminClient({"bootstrap.servers": self._server.address})
        for done in admin.create_partitions([NewPartitions(topic, partitions)]).values():
            done.result()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    with running_kafka(tmp_path_factory.mktemp("kafka")) as found:
        yield found


@pytest.fixture(scope="module")
def engine(server: KafkaServer) -> Kafka:
    return Kafka(server)


class TestKafka(Contract, Commands):
    """See ``Contract``."""

    async def test_everything_killed_each_point_is_stored_once(
        self, engine: Kafka, tmp_path: Path
    ) -> None:
        await kill_everything(engine, tmp_path)
