"""The broker as a service: its topics, its streams, its background work."""

import itertools
import random
import secrets
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from prometheus_client import CollectorRegistry

from broker.chores import Chores
from broker.metrics import BrokerCollector
from broker.options import BrokerOptions
from broker.partition import Waker
from broker.surroundings import Surroundings
from broker.topics import Topics
from common import logs
from common.clock import Clock, SystemClock
from common.journal.files import DiskFiles, Files
from common.lifecycle import Lifecycle
from common.lock import DirectoryTakenError, lock_directory, unlock
from common.options import refuse

log = logs.get("broker")

BOOT_DIGITS = 4
TOPICS_DIRECTORY = "topics"


class Broker:
    """Everything one broker process has."""

    name = "broker"

    def __init__(
        self,
        options: BrokerOptions,
        lifecycle: Lifecycle,
        clock: Clock | None = None,
        files: Files | None = None,
    ) -> None:
        self.options = options
        self.lifecycle = lifecycle
        self.clock = clock or SystemClock()
        self.registry = CollectorRegistry()
        self.streams: set[Waker] = set()
        self._disk = ThreadPoolExecutor(options.disk_threads, thread_name_prefix="disk")
        boot = secrets.token_hex(BOOT_DIGITS)
        numbers = itertools.count(1)
        shared = Surroundings(
            options,
            files or DiskFiles(),
            self._disk,
            self.clock,
            rng=random.Random(),  # noqa: S311  jitter, no secret
            new_delivery=lambda: f"{boot}{next(numbers):x}",
        )
        self.topics = Topics(options.data_dir / TOPICS_DIRECTORY, shared)
        self._lock: int | None = None
        self.registry.register(BrokerCollector(self.topics))
        lifecycle.on_stop(self._wake_streams)

    async def start(self) -> None:
        """Lock the directory, recover what lies there, begin to count time."""
        try:
            self._lock = lock_directory(self.options.data_dir)
        except DirectoryTakenError as taken:
            refuse([f"DATA_DIR: another broker has {taken} open"])
        await self.topics.open()
        Chores(self.topics, self.options, self.clock).spawn(self.lifecycle)
        log.info(
            "broker ready",
            broker=self.options.broker_name,
            topics=len(self.topics.all()),
            data_dir=str(self.options.data_dir),
        )

    async def stop(self) -> None:
        """Finish commits, write the groups down, close the files, let the directory go."""
        await self.lifecycle.cancel_tasks()
        await self.topics.close()
        self._disk.shutdown()
        if self._lock is not None:
            unlock(self._lock)
        log.info("broker stopped", broker=self.options.broker_name)

    def stats(self) -> Mapping[str, Any]:
        """Totals of this broker."""
        partitions = self.topics.partitions()
        return {
            "broker": self.options.broker_name,
            "topics": len(self.topics.all()),
            "streams": len(self.streams),
            "messages": sum(part.end - part.first_offset for part in partitions),
            "bytes": sum(part.disk_bytes for part in partitions),
            "read_only": {part.name: part.problem for part in partitions if part.problem},
        }

    def _wake_streams(self) -> None:
        for stream in self.streams:
            stream.wake()
