"""The stages of a collector, and what they share."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from collector.acker import Acker
from collector.intake import Intake
from collector.options import CollectorOptions
from collector.rejects import Rejects
from collector.spool import Spool
from collector.writer import Writer
from common.clock import Clock
from common.journal.files import DiskFiles
from common.lifecycle import Lifecycle
from common.queue.base import Consumer
from common.storage.base import Store

SPOOL_DIRECTORY = "spool"


class Pipeline:
    """Consumer, spool and store, joined by the intake, the acker and the writer.

    The spool's files belong to one thread and the store to another: a slow store never keeps a
    message from being spooled.
    """

    def __init__(
        self, options: CollectorOptions, clock: Clock, consumer: Consumer, store: Store
    ) -> None:
        self._options = options
        self._consumer = consumer
        self._store = store
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="spool")
        self._store_thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._spool = Spool(
            options.data_dir / SPOOL_DIRECTORY,
            options.spool_segment_bytes,
            options.spool_memory_points,
            DiskFiles(),
        )
        self._rejects = Rejects(options.data_dir, options.rejected_bytes)
        self._acker = Acker(consumer, clock)
        self._intake = Intake(
            consumer,
            self._acker,
            self._spool,
            self._rejects,
            self._disk,
            clock,
            options.spool_bytes,
        )
        self._writer = Writer(
            self._spool,
            store,
            self._intake,
            self._disk,
            self._store_thread,
            clock,
            options.batch_points,
            options.flush_seconds,
        )

    def spawn(self, lifecycle: Lifecycle) -> None:
        """Set the stages to work."""
        lifecycle.spawn("receive", self._intake.receive(), vital=True)
        lifecycle.spawn("spool", self._intake.spool(), vital=True)
        lifecycle.spawn("ack", self._acker.run(), vital=True)
        lifecycle.spawn("ack-postponed", self._acker.run_postponed(), vital=True)
        lifecycle.spawn("write", self._writer.run(), vital=True)

    async def close(self) -> None:
        """Let running writes end, then close; the stages were cancelled before."""
        await self._consumer.close()
        await asyncio.to_thread(self._store_thread.shutdown)
        await asyncio.to_thread(self._disk.shutdown)
        self._spool.close()
        self._store.close()

    def stats(self) -> Mapping[str, Any]:
        """What was processed since this process started, and what waits."""
        return {
            "instance": self._options.instance_id,
            "messages_processed": self._intake.messages,
            "messages_errors": dict(self._rejects.counts),
            "acks_refused": self._acker.refused,
            "telemetry_stored": self._writer.points,
            "telemetry_new": self._writer.new_points,
            "store_failures": self._writer.failures,
            "store_problem": self._writer.problem,
            "spool_messages": self._spool.pending,
            "spool_bytes": self._spool.bytes_on_disk,
            "spool_corrupt_frames": self._spool.corrupt_frames,
        }
