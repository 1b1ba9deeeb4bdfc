"""Topics as streams: found, made, their partitions counted."""

from nats.js import api

from common.errors import NotFound
from common.queue.jetstream.link import NatsLink
from common.queue.jetstream.settings import NatsAddress, as_telemetry_error, stream_name

PARTITIONS = "partitions"
DUPLICATE_SECONDS = 120.0
MOST_UNACKED = 100_000  # of a group, all its consumers together


class Streams:
    """Asks JetStream as an administrator would; raises a TelemetryError."""

    def __init__(self, address: NatsAddress, link: NatsLink) -> None:
        self._address = address
        self._link = link

    async def ensure(self, topic: str, partitions: int | None = None) -> int:
        """Return a topic's partition count; a stream that is not there is made."""
        found = await self.find(topic)
        if found is None:
            name = stream_name(topic)
            config = api.StreamConfig(
                name=name,
                subjects=[f"{name}.*"],
                retention=api.RetentionPolicy.LIMITS,
                discard=api.DiscardPolicy.NEW,
                storage=api.StorageType.FILE,
                max_bytes=self._address.max_bytes,
                num_replicas=self._address.replicas,
                duplicate_window=DUPLICATE_SECONDS,
                metadata={PARTITIONS: str(partitions or self._address.partitions)},
            )
            try:
                found = await (await self._link.jetstream()).add_stream(config)
            except Exception as error:
                raise as_telemetry_error(error) from error
        counted = (found.config.metadata or {}).get(PARTITIONS, "")
        return int(counted) if counted.isdigit() else self._address.partitions

    async def find(self, topic: str) -> api.StreamInfo | None:
        """A topic's stream as the server describes it; None when it is not there."""
        try:
            return await (await self._link.jetstream()).stream_info(stream_name(topic))
        except Exception as error:
            raise_unless_not_there(error)
            return None

    async def ensure_group(self, topic: str, group: str) -> api.ConsumerInfo:
        """A group's durable consumer; made, to begin at the first message, when it is not there."""
        found = await self.find_group(topic, group)
        if found is not None:
            return found
        config = api.ConsumerConfig(
            durable_name=stream_name(group),
            deliver_policy=api.DeliverPolicy.ALL,
            ack_policy=api.AckPolicy.EXPLICIT,
            ack_wait=self._address.ack_wait_seconds,
            max_deliver=-1,
            max_ack_pending=MOST_UNACKED,
        )
        try:
            js = await self._link.jetstream()
            return await js.add_consumer(stream_name(topic), config)
        except Exception as error:
            raise as_telemetry_error(error) from error

    async def find_group(self, topic: str, group: str) -> api.ConsumerInfo | None:
        """A group's consumer as the server describes it; None when it is not there."""
        try:
            js = await self._link.jetstream()
            return await js.consumer_info(stream_name(topic), stream_name(group))
        except Exception as error:
            raise_unless_not_there(error)
            return None

    async def settled_before(self, topic: str) -> int:
        """The sequence up to which every group has settled all; 0 when there is no group."""
        try:
            js = await self._link.jetstream()
            groups = await js.consumers_info(stream_name(topic))
        except Exception as error:
            raise as_telemetry_error(error) from error
        return min((each.ack_floor.stream_seq for each in groups), default=0)

    async def purge_to(self, topic: str, sequence: int) -> None:
        """Forget the messages before ``sequence``."""
        try:
            js = await self._link.jetstream()
            await js.purge_stream(stream_name(topic), seq=sequence)
        except Exception as error:
            raise as_telemetry_error(error) from error


def raise_unless_not_there(error: Exception) -> None:
    """Raise as ours whatever does not say that a stream or consumer is not there."""
    found = as_telemetry_error(error)
    if not isinstance(found, NotFound):
        raise found from error
