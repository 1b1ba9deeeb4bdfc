"""A topic in Redis: its partitions, and one group's place in each of their streams."""

import asyncio
from collections.abc import Awaitable, Callable

from common.errors import InvalidRequest, TopicConflict, Unavailable
from common.queue.redis.link import GroupMissingError, RedisLink
from common.queue.redis.place import stream_key, topic_key

FORMAT = 1
TRIES = 3


async def count_partitions(link: RedisLink, topic: str) -> int:
    """How many partitions a topic has; it is made when it is not there.

    Raises InvalidRequest for one that a later version wrote.
    """
    await link.ready()
    key = topic_key(topic)
    await link.ask("HSETNX", key, "format", FORMAT)
    await link.ask("HSETNX", key, "partitions", link.place.partitions)
    written, count = map(int, await link.ask("HMGET", key, "format", "partitions"))
    if written > FORMAT:
        raise InvalidRequest(
            f"topic {topic} in redis is of format {written}, and this version knows {FORMAT}"
        )
    return count


class RedisTopic:
    """The streams of a topic as one group has them.

    A server that was emptied has no groups any more: they are made again, at the beginning.
    """

    def __init__(self, link: RedisLink, topic: str, group: str) -> None:
        self.streams: list[str] = []
        self._link = link
        self._topic = topic
        self._group = group
        self._joining = asyncio.Lock()

    async def join(self) -> None:
        """Make sure that the group has a place in every stream there is."""
        async with self._joining:  # who reads and who asks for the lag may both come first
            count = await count_partitions(self._link, self._topic)
            for partition in range(len(self.streams), count):
                stream = stream_key(self._topic, partition)
                await self._make_group(stream)
                self.streams.append(stream)

    async def among(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do something that needs the groups; make them again when they are gone."""
        for _ in range(TRIES):
            await self.join()
            try:
                return await work()
            except GroupMissingError:
                self.streams = []
        raise Unavailable(f"redis forgets group {self._group} of {self._topic} again and again")

    async def _make_group(self, stream: str) -> None:
        try:
            await self._link.ask("XGROUP", "CREATE", stream, self._group, "0", "MKSTREAM")
        except InvalidRequest as error:
            if "BUSYGROUP" not in error.message:
                raise


def check_partition(topic: str, partition: int, count: int) -> None:
    """Refuse a send to where nobody would read; raises TopicConflict."""
    if partition >= count:
        raise TopicConflict(f"topic {topic} has {count} partitions, none is {partition}")
