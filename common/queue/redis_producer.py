"""Sends batches to Redis Streams, each stored whole or not at all."""

from collections.abc import Sequence
from pathlib import Path

from common.clock import Clock
from common.errors import TooLarge
from common.queue.base import Produced
from common.queue.redis_link import RedisLink
from common.queue.redis_place import sent_key, stream_key
from common.queue.redis_scripts import PUBLISH
from common.queue.redis_topic import check_partition, count_partitions

IDEMPOTENCY_WINDOW_MS = 600_000
MAX_SEND_BYTES = 64 << 20
BROKER = "redis"


class RedisProducer:
    """One script a send: its idempotency key is looked up and its messages are added in one step.

    Raises TooLarge for more than 64 MiB at once.
    """

    def __init__(self, url: str, tls_ca_file: Path | None, clock: Clock) -> None:
        self._link = RedisLink(url, tls_ca_file, clock)
        self._counts: dict[str, int] = {}

    async def partitions(self, topic: str) -> int:
        """See ``Producer``."""
        count = self._counts[topic] = await count_partitions(self._link, topic)
        return count

    async def send(
        self, topic: str, partition: int, payloads: Sequence[bytes], idempotency_key: str = ""
    ) -> Produced:
        """See ``Producer``."""
        if sum(map(len, payloads)) > MAX_SEND_BYTES:
            raise TooLarge(f"a send to redis holds {MAX_SEND_BYTES} bytes at most")
        await self._link.ready()
        if partition >= self._counts.get(topic, 0):
            check_partition(topic, partition, await self.partitions(topic))
        stream = stream_key(topic, partition)
        keys = (stream, sent_key(stream, idempotency_key))
        window = str(IDEMPOTENCY_WINDOW_MS) if idempotency_key else ""
        first, before = await self._link.run(PUBLISH, keys, window, *payloads)
        offset = int(first.rpartition(b"-")[2])
        return Produced(
            id=f"{BROKER}:{partition}:{offset}",
            topic=topic,
            partition=partition,
            offset=offset,
            count=len(payloads),
            durability=self._link.durability,
            duplicate=bool(before),
        )

    async def close(self) -> None:
        """See ``Producer``."""
        await self._link.close()
