"""Settling what came from Redis Streams: by receipt, a script a partition."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence

from common.errors import TooLarge
from common.queue.base import Letter, Settled
from common.queue.redis.link import GroupMissingError, RedisLink, Word
from common.queue.redis.place import dead_key, ids_key, stream_key
from common.queue.redis.scripts import ACK, BURY_LETTERS, EXTEND, REJECT
from common.wire import Receipt, parse_receipt

STALE = "STALE"
IDS_KNOWN = 10_000
MAX_LETTER_BYTES = 64 << 20

Head = Callable[[int], tuple[Word, ...]]


class RedisSettling:
    """What a consumer says of the messages that it had, and the letters that it writes itself."""

    def __init__(self, link: RedisLink, topic: str, group: str) -> None:
        self._link = link
        self._topic = topic
        self._group = group

    async def ack(self, receipts: Sequence[str]) -> Settled:
        """See ``Consumer``."""
        return await self._settle(ACK, receipts, lambda partition: (self._group,))

    async def reject(self, receipts: Sequence[str], reason: str) -> Settled:
        """See ``Consumer``."""
        return await self._settle(
            REJECT, receipts, lambda partition: (self._group, partition, reason)
        )

    async def extend(self, receipts: Sequence[str], seconds: float) -> Settled:
        """See ``Consumer``; not for longer than the visibility of the address."""
        ago = max(0, self._link.place.visibility_ms - round(seconds * 1000))
        return await self._settle(EXTEND, receipts, lambda partition: (self._group, ago))

    async def bury(self, letters: Sequence[Letter]) -> None:
        """See ``Consumer``; as safe as the server's settings make a write."""
        if any(len(letter.payload) > MAX_LETTER_BYTES for letter in letters):
            raise TooLarge(f"a dead letter in redis holds {MAX_LETTER_BYTES} bytes at most")
        await self._link.ready()
        by_partition: defaultdict[int, list[Letter]] = defaultdict(list)
        for letter in letters:
            by_partition[letter.partition].append(letter)
        for partition, ours in by_partition.items():
            dead = dead_key(stream_key(self._topic, partition), self._group)
            given = [word for letter in ours for word in _words(letter)]
            await self._link.run(BURY_LETTERS, (dead, ids_key(dead)), IDS_KNOWN, *given)

    async def _settle(self, script: str, receipts: Sequence[str], head: Head) -> Settled:
        by_partition: defaultdict[int, list[tuple[str, Receipt]]] = defaultdict(list)
        for text in receipts:
            receipt = parse_receipt(text)
            by_partition[receipt.partition].append((text, receipt))
        parts = await asyncio.gather(
            *(self._settle_in(script, *part, head) for part in by_partition.items())
        )
        refused = {text: STALE for part in parts for text in part.refused}
        return Settled(sum(part.acked for part in parts), 0, refused)

    async def _settle_in(
        self, script: str, partition: int, receipts: list[tuple[str, Receipt]], head: Head
    ) -> Settled:
        stream = stream_key(self._topic, partition)
        keys = (stream, dead_key(stream, self._group))
        given: list[Word] = [*head(partition)]
        for _, receipt in receipts:
            given += (receipt.first, receipt.last, receipt.delivery)
        try:
            counts = await self._link.run(script, keys, *given)
        except GroupMissingError:
            counts = [0] * len(receipts)
        settled = Settled(acked=sum(counts))
        for (text, receipt), count in zip(receipts, counts, strict=True):
            if count <= receipt.last - receipt.first:
                settled.refused = settled.refused | {text: STALE}
        return settled


def _words(letter: Letter) -> tuple[Word, ...]:
    return letter.id, letter.offset, letter.attempts, letter.error, letter.payload
