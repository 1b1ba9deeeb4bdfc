"""The broker as a service: its topics, its streams, its background work."""

import asyncio
import itertools
import random
import secrets
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from prometheus_client import CollectorRegistry

from broker.chores import Chores
from broker.home import Home
from broker.idleness import Idleness
from broker.metered_files import MeteredFiles
from broker.metrics import BrokerCollector
from broker.options import BrokerOptions
from broker.partition import Waker
from broker.stats import broker_totals
from broker.surroundings import Surroundings
from broker.topic_file import refusal
from broker.topics import Topics
from common import logs
from common.clock import Clock, SystemClock
from common.errors import Draining, Unavailable
from common.journal.files import DiskFiles, Files
from common.lifecycle import Lifecycle
from common.lock import DirectoryTakenError, lock_directory, unlock
from common.options import EXIT_CANNOT_START, refuse
from common.threads import run_in

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
        self.draining = False
        self.producing = 0  # requests that were let in and are not stored yet
        self._disk = ThreadPoolExecutor(options.disk_threads, thread_name_prefix="disk")
        boot = secrets.token_hex(BOOT_DIGITS)
        numbers = itertools.count(1)
        self._members = (f"{boot}-{number}" for number in itertools.count(1))
        files = MeteredFiles(files or DiskFiles(), self.registry)
        self._home = Home(options.data_dir, files)
        shared = Surroundings(
            options,
            files,
            self._disk,
            self.clock,
            rng=random.Random(),  # noqa: S311  jitter, no secret
            new_delivery=lambda: f"{boot}{next(numbers):x}",
        )
        self.topics = Topics(options.data_dir / TOPICS_DIRECTORY, shared)
        self._lock: int | None = None
        self._idleness = Idleness(options.group_expiry_seconds)
        self.registry.register(
            BrokerCollector(self.topics, self.clock, self._idleness, lambda: self.draining)
        )
        lifecycle.on_stop(self._wake_streams)

    async def start(self) -> None:
        """Lock the directory, recover what lies there, begin to count time."""
        try:
            self._lock = lock_directory(self.options.data_dir)
        except DirectoryTakenError as taken:
            refuse([f"DATA_DIR: another broker has {taken} open"])
        except OSError as error:
            refuse([f"DATA_DIR: {error.filename}: {error.strerror}"])
        try:
            await run_in(self._disk, self._home.claim, self.options.broker_name)
            await self.topics.open()
        except OSError as error:
            self._unlock()
            where = error.filename or self.options.data_dir
            refuse([f"{where}: {error.strerror}"], EXIT_CANNOT_START)
        except BaseException:
            self._unlock()
            raise
        self._show_draining(self._home.draining)
        Chores(self.topics, self.options, self.clock, self._idleness).spawn(self.lifecycle)
        log.info(
            "broker ready",
            broker=self.options.broker_name,
            topics=len(self.topics.all()),
            data_dir=str(self.options.data_dir),
        )

    @contextmanager
    def letting_in(self, what: str) -> Iterator[None]:
        """Count a request that stores something; raises Unavailable or Draining when none may."""
        if self.lifecycle.stopping.is_set():
            raise Unavailable("the broker is stopping")
        if self.draining:
            raise Draining(f"this broker is being drained and takes no {what}")
        self.producing += 1
        try:
            yield
        finally:
            self.producing -= 1

    async def stop(self) -> None:
        """Finish commits, write the groups down, close the files, let the directory go."""
        await self.lifecycle.cancel_tasks()
        await self.topics.close()
        self._disk.shutdown()
        self._unlock()
        log.info("broker stopped", broker=self.options.broker_name)

    def stats(self) -> Mapping[str, Any]:
        """Totals of this broker."""
        return {
            "broker": self.options.broker_name,
            "draining": self.draining,
            "topics": len(self.topics.all()),
            "streams": len(self.streams),
            "tasks": len(asyncio.all_tasks()),
            **broker_totals(self.topics.all()),
        }

    def new_member(self) -> str:
        """An id for an open stream, unique in the cluster."""
        return next(self._members)

    async def set_draining(self, draining: bool) -> None:
        """Take no produce any more, or take them again; kept over a restart."""
        try:
            await run_in(self._disk, self._home.set_draining, draining)
        except OSError as error:
            raise refusal(error) from error
        if draining != self.draining:
            log.info("draining begins" if draining else "draining ends")
        self._show_draining(draining)

    def _unlock(self) -> None:
        if self._lock is not None:
            unlock(self._lock)
            self._lock = None

    def _show_draining(self, draining: bool) -> None:
        self.draining = self.lifecycle.facts["draining"] = draining

    def _wake_streams(self) -> None:
        for stream in self.streams:
            stream.wake()
