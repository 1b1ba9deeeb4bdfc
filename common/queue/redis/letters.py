"""A group's dead letters in Redis."""

import asyncio
from itertools import islice
from pathlib import Path

from common.clock import Clock
from common.queue.base import DeadLetter
from common.queue.redis.link import RedisLink
from common.queue.redis.place import dead_key, stream_key
from common.queue.redis.scripts import REDRIVE
from common.queue.redis.topic import count_partitions

FEW = ("COUNT", 20)


class RedisDeadLetters:
    """A stream a partition, shown as one queue in the order of dying."""

    def __init__(
        self, url: str, topic: str, group: str, tls_ca_file: Path | None, clock: Clock
    ) -> None:
        self._link = RedisLink(url, tls_ca_file, clock)
        self._topic = topic
        self._group = group
        self._clock = clock

    async def page(self, limit: int) -> list[DeadLetter]:
        """See ``DeadLetters``."""
        found: list[tuple[tuple[int, int], DeadLetter]] = []
        for partition, (_, dead) in enumerate(await self._queues()):
            rows = await self._link.ask("XRANGE", dead, "-", "+", "COUNT", limit)
            found += [_letter(partition, *row) for row in rows]
        return [letter for _, letter in sorted(found, key=lambda each: each[0])][:limit]

    async def redrive(self, rate: float) -> int:
        """See ``DeadLetters``; each is a message again and out of here in one step.

        What dies again meanwhile waits for the next time.
        """
        count = 0
        for stream, dead in await self._queues():
            last = await self._link.ask("XREVRANGE", dead, "+", "-", "COUNT", 1)
            while last and (rows := await self._link.ask("XRANGE", dead, "-", last[0][0], *FEW)):
                for id_, _ in rows:
                    if await self._link.run(REDRIVE, (dead, stream), id_, self._group):
                        count += 1
                        await self._clock.sleep(1 / rate)
        return count

    async def purge(self) -> int:
        """See ``DeadLetters``."""
        queues = await self._queues()
        gone = await asyncio.gather(
            *(self._link.ask("XTRIM", dead, "MAXLEN", 0) for _, dead in queues)
        )
        return sum(gone)

    async def close(self) -> None:
        """See ``DeadLetters``."""
        await self._link.close()

    async def _queues(self) -> list[tuple[str, str]]:
        """The stream of each partition, and of its dead letters."""
        count = await count_partitions(self._link, self._topic)
        streams = [stream_key(self._topic, partition) for partition in range(count)]
        return [(stream, dead_key(stream, self._group)) for stream in streams]


def _letter(partition: int, id_: bytes, fields: list[bytes]) -> tuple[tuple[int, int], DeadLetter]:
    """A letter with the moment that it goes by."""
    named = dict(zip(islice(fields, 0, None, 2), islice(fields, 1, None, 2), strict=True))
    died, _, number = id_.decode().partition("-")
    letter = DeadLetter(
        named[b"i"].decode(),
        partition,
        int(named[b"o"]),
        int(named[b"n"]),
        int(died),
        named[b"r"].decode(),
        named[b"e"].decode(),
        named[b"p"],
    )
    return (int(died), int(number)), letter
