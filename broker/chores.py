"""What a broker does by itself, again and again."""

import asyncio

from broker.burial import bury
from broker.idleness import Idleness
from broker.options import BrokerOptions
from broker.topics import Topics
from common import logs
from common.clock import Clock
from common.errors import TelemetryError
from common.lifecycle import Lifecycle

log = logs.get("broker.chores")

TICK_SECONDS = 0.1
LOOK_SECONDS = 1.0


class Chores:
    """Expiry, burial, checkpoints, retention and idleness, each at its own pace."""

    def __init__(
        self, topics: Topics, options: BrokerOptions, clock: Clock, idleness: Idleness
    ) -> None:
        self._topics = topics
        self._idleness = idleness
        self._options = options
        self._clock = clock

    def spawn(self, lifecycle: Lifecycle) -> None:
        """Begin."""
        lifecycle.spawn("expiry", self._expire(), vital=True)
        lifecycle.spawn("burial", self._bury(), vital=True)
        lifecycle.spawn("checkpoints", self._checkpoint(), vital=True)
        lifecycle.spawn("retention", self._retire(), vital=True)
        lifecycle.spawn("idleness", self._look(), vital=True)

    async def _expire(self) -> None:
        while True:
            for partition in self._topics.partitions():
                partition.expire()
                partition.look_at_disk()
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
                except (OSError, TelemetryError) as error:
                    log.error("retention failed", partition=partition.name, reason=str(error))
                    continue
                if segments:
                    log.info("segments retired", partition=partition.name, segments=segments)

    async def _look(self) -> None:
        """See who is idle, and how old the oldest messages are."""
        before = self._clock.monotonic()
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            now = self._clock.monotonic()
            await self._idleness.look(self._topics.all(), now - before)
            before = now
            for partition in self._topics.partitions():
                try:
                    await partition.look_at_oldest()
                except OSError as error:
                    log.warning("log not read", partition=partition.name, reason=str(error))
