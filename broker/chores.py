"""What a broker does by itself, again and again."""

import asyncio

from broker.burial import bury
from broker.options import BrokerOptions
from broker.topics import Topics
from common import logs
from common.clock import Clock
from common.lifecycle import Lifecycle

log = logs.get("broker.chores")

TICK_SECONDS = 0.1


class Chores:
    """Expiry, burial, checkpoints and retention, each at its own pace."""

    def __init__(self, topics: Topics, options: BrokerOptions, clock: Clock) -> None:
        self._topics = topics
        self._options = options
        self._clock = clock

    def spawn(self, lifecycle: Lifecycle) -> None:
        """Begin."""
        lifecycle.spawn("expiry", self._expire(), vital=True)
        lifecycle.spawn("burial", self._bury(), vital=True)
        lifecycle.spawn("checkpoints", self._checkpoint(), vital=True)
        lifecycle.spawn("retention", self._retire(), vital=True)

    async def _expire(self) -> None:
        while True:
            for partition in self._topics.partitions():
                partition.expire()
            await self._clock.sleep(TICK_SECONDS)

    async def _bury(self) -> None:
        while True:
            await self._clock.sleep(TICK_SECONDS)
            for topic in self._topics.all():
                await bury(topic, self._clock)

    async def _checkpoint(self) -> None:
        while True:
            await self._clock.sleep(self._options.checkpoint_seconds)
            await asyncio.gather(*(part.groups.save() for part in self._topics.partitions()))

    async def _retire(self) -> None:
        while True:
            await self._clock.sleep(self._options.retention_check_seconds)
            for partition in self._topics.partitions():
                try:
                    segments = await partition.retire()
                except OSError as error:
                    log.error("retention failed", partition=partition.name, reason=str(error))
                    continue
                if segments:
                    log.info("segments retired", partition=partition.name, segments=segments)
