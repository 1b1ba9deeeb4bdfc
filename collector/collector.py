"""The collector as a service."""

import asyncio
from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry

from collector.measures import Measures
from collector.metrics import CollectorMetrics
from collector.options import CollectorOptions
from collector.pipeline import Pipeline, SpoolLeftError
from common import logs
from common.clock import Clock, SystemClock
from common.errors import TelemetryError, Unavailable
from common.journal.files import DiskFiles, Files
from common.lifecycle import Lifecycle
from common.lock import DirectoryTakenError, lock_directory, unlock
from common.options import refuse
from common.queue.base import Consumer, Subscription
from common.queue.factory import open_consumer
from common.queue.options import queue_address
from common.storage.base import Store
from common.storage.factory import open_store

log = logs.get("collector")

SUMMARY_SECONDS = 10.0
LAG_SECONDS = 1.0  # the queue may be away, a stop must not wait for it


class Collector:
    """One collector process."""

    name = "collector"

    def __init__(
        self,
        options: CollectorOptions,
        lifecycle: Lifecycle,
        clock: Clock | None = None,
        files: Files | None = None,
    ) -> None:
        self.options = options
        self.lifecycle = lifecycle
        self.clock = clock or SystemClock()
        self._files = files or DiskFiles()
        self.registry = CollectorRegistry()
        self._pipeline: Pipeline | None = None
        self._consumers: list[Consumer] = []
        self._lag: int | None = None
        self._lock: int | None = None
        self.registry.register(
            CollectorMetrics(self),
        )
        self._measures = Measures(self.registry, options.spool_bytes, self.clock)

    async def start(self) -> None:
        """Lock the directory, open spool and store, then consume."""
        try:
            if self.options.data_dir is not None:
                self._lock = lock_directory(self.options.data_dir)
        except DirectoryTakenError as taken:
            refuse([f"DATA_DIR: another collector has {taken} open"])
        self._consumers = [self._consumer() for _ in range(self._streams)]
        try:
            self._pipeline = await asyncio.to_thread(self._open)
        except SpoolLeftError as left:
            refuse([f"ACK_MODE: the spool in DATA_DIR holds {left} messages; start with spooled"])
        self._pipeline.spawn(self.lifecycle)
        self.lifecycle.spawn("summary", self._summarise())
        log.info("collector ready", **self._summary())

    async def stop(self) -> None:
        """Give back what is not acked, stop between two writes, close."""
        await self.lifecycle.cancel_tasks()
        if self._pipeline is not None:
            self._lag = await self._ask_lag()
            await self._pipeline.close()
            log.info("collector stopped", **self._summary())
        if self._lock is not None:
            unlock(self._lock)

    def stats(self) -> Mapping[str, Any]:
        """What was processed since this process started, and what waits."""
        if self._pipeline is None:
            raise Unavailable("the collector is not started")
        return {**self._pipeline.stats(), "lag": self._lag}

    @property
    def _streams(self) -> int:
        """Consumers of an engine of others settle their own messages only, so there is one."""
        return self.options.queue_workers if queue_address(self.options).engine is None else 1

    def _consumer(self) -> Consumer:
        options = self.options
        wanted = Subscription(
            options.topic,
            options.group,
            max(1, options.buffer_messages // self._streams),
            options.delivery_messages,
            options.instance_id,
        )
        return open_consumer(queue_address(options, options.direct), wanted, self.clock)

    def _open(self) -> Pipeline:
        def opening() -> Store:
            return self._measures.of(open_store(self.options, writable=True))

        return Pipeline(self.options, self.clock, self._consumers, opening, self._files)

    async def _summarise(self) -> None:
        """Say every ten seconds what was done, and what the queue still has for the group."""
        last: Mapping[str, Any] = {}
        while True:
            await self.clock.sleep(SUMMARY_SECONDS)
            self._lag = await self._ask_lag()
            if (stats := self._summary()) != last:
                log.info("summary", **stats)
                last = stats

    def _summary(self) -> Mapping[str, Any]:
        """The statistics without what is only looked up."""
        return {name: value for name, value in self.stats().items() if name != "cardinality"}

    async def _ask_lag(self) -> int | None:
        try:
            async with asyncio.timeout(LAG_SECONDS):
                return await self._consumers[0].lag()
        except (TelemetryError, TimeoutError):
            return None
