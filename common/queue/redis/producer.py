"""Sends batches to Redis Streams, each stored whole or not at all."""

from collections.abc import Sequence
from pathlib import Path

from common.clock import Clock
from common.errors import TooLarge
from common.queue.base import Produced
from common.queue.redis.link import RedisLink
from common.queue.redis.place import sent_key, stream_key
from common.queue.redis.scripts import REMEMBER
from common.queue.redis.topic import check_partition, count_partitions

IDEMPOTENCY_WINDOW_MS = 600_000
MAX_SEND_BYTES = 64 << 20
BROKER = "redis"


class RedisProducer:
    """One transaction a send, which fails when its idempotency key was used meanwhile.

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
        offset, before = await self._store(stream, payloads, idempotency_key)
        return Produced(
            id=f"{BROKER}:{partition}:{offset}",
            topic=topic,
            partition=partition,
            offset=offset,
            count=len(payloads),
            durability=self._link.durability,
            duplicate=before,
        )

    async def _store(self, stream: str, payloads: Sequence[bytes], key: str) -> tuple[int, bool]:
        """The first message's offset, and whether it was there before."""
        async with self._link.transaction() as todo:
            if key:
                sent = sent_key(stream, key)
                await todo.watch(sent)
                if before := await todo.execute_command("GET", sent):
                    return int(before), True
                todo.multi()
            for payload in payloads:
                todo.execute_command("XADD", stream, "0-*", "p", payload)
            if key:
                given = stream, sent, len(payloads), IDEMPOTENCY_WINDOW_MS
                todo.execute_command("EVAL", REMEMBER, 2, *given)
            first, *_ = await todo.execute()
        return int(first.rpartition(b"-")[2]), False

    async def close(self) -> None:
        """See ``Producer``."""
        await self._link.close()
