"""The queue client that goes straight to the brokers; the proxy tells it where, and stands by."""

import asyncio
import contextlib
import ssl
from collections import defaultdict
from collections.abc import Sequence

from pydantic import SecretStr

from common.clock import Clock, SystemClock
from common.errors import (
    BrokerUnreachable,
    Draining,
    TelemetryError,
    TopicConflict,
    Unavailable,
)
from common.queue.base import Produced
from common.queue.http import HttpProducer
from common.queue.placement import BrokerRow, Placement

NOTHING_STORED = (Draining, TopicConflict, Unavailable)


class DirectProducer:
    """Sends to the owner of each partition, or through the proxy when that cannot be."""

    def __init__(
        self,
        proxy_url: str,
        token: SecretStr,
        clock: Clock | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._tls = tls
        self._proxy_url = proxy_url
        self._token = token
        self._clock = clock or SystemClock()
        self._proxy = HttpProducer(proxy_url, token, tls=tls)
        self._placements: dict[str, Placement] = {}
        self._producers: dict[tuple[str, int], HttpProducer] = {}
        self._asking: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def partitions(self, topic: str) -> int:
        """See ``Producer``."""
        count = await self._proxy.partitions(topic)
        await self._placement(topic)
        return count

    async def send(
        self, topic: str, partition: int, payloads: Sequence[bytes], idempotency_key: str = ""
    ) -> Produced:
        """See ``Producer``."""
        placement = self._placements.get(topic) or await self._placement(topic)
        owner = placement.owner(partition)
        if owner is not None:
            producer = self._producer(owner, placement.partitions)
            try:
                return await producer.send(topic, partition, payloads, idempotency_key)
            except NOTHING_STORED:
                placement.distrust(owner)
            except BrokerUnreachable:
                placement.distrust(owner)
                if not idempotency_key:
                    raise  # it may have been stored: the caller knows whether that matters
        return await self._proxy.send(topic, partition, payloads, idempotency_key)

    async def close(self) -> None:
        """See ``Producer``."""
        for placement in self._placements.values():
            await placement.close()
        for producer in [*self._producers.values(), self._proxy]:
            await producer.close()

    def _producer(self, owner: BrokerRow, partitions: int) -> HttpProducer:
        known = self._producers.get((owner.url, partitions))
        if known is None:
            known = HttpProducer(owner.url, self._token, partitions, self._tls)
            self._producers[owner.url, partitions] = known
        return known

    async def _placement(self, topic: str) -> Placement:
        """A topic's placement; while it is not known, the proxy takes what there is."""
        async with self._asking[topic]:
            known = self._placements.get(topic)
            if known is None:
                known = Placement(self._proxy_url, self._token, topic, self._clock, self._tls)
                self._placements[topic] = known
                with contextlib.suppress(TelemetryError):  # asked again in the background
                    await known.refresh()
                known.follow()
            return known
