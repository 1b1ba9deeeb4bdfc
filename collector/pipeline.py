"""The stages of a collector, and what they share."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from collector.acker import Acker
from collector.held import Held
from collector.housekeeping import Housekeeping
from collector.intake import Intake
from collector.leases import Leases
from collector.letters import Letters
from collector.options import SPOOLED, STORED, CollectorOptions
from collector.spool import Spool
from collector.storing import Storing
from collector.writer import Writer
from common.clock import Clock
from common.journal.files import DiskFiles, Files
from common.lifecycle import Lifecycle
from common.queue.base import Consumer
from common.storage.base import Store
from common.storage.cardinality import Caps, CardinalityGuard
from common.storage.upkeep import Upkeep


class SpoolLeftError(Exception):
    """The spool of an earlier start holds so many messages that are not stored."""


class Pipeline:
    """Consumers, spool and store, joined by the intake, the acker and the writer.

    The spool's files belong to one thread and the store to another: a slow store never keeps a
    message from being spooled.
    """

    def __init__(
        self,
        options: CollectorOptions,
        clock: Clock,
        consumers: Sequence[Consumer],
        open_store: Callable[[], Store],
        files: Files | None = None,
    ) -> None:
        self._options = options
        self._consumers = consumers
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="spool")
        self._store_thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._spool = open_spool(options, files or DiskFiles())
        guard = CardinalityGuard(
            Caps(
                options.max_gpus, options.max_metrics, options.max_labels, options.max_label_values
            )
        )
        self._storing = Storing(open_store, guard, self._store_thread, clock)
        upkeep = Upkeep(options.retention_seconds, options.rollup_retention_seconds)
        self._housekeeping = Housekeeping(self._storing, upkeep, clock)
        self._guard = guard
        self._letters = Letters(consumers[0], clock)
        self._leases = Leases(consumers[0], clock, wanted=not self._spool.durable)
        self._acker = Acker(consumers[0], clock)
        self._intake = Intake(
            self._acker,
            self._spool,
            self._letters,
            self._leases,
            self._disk,
            clock,
            options.spool_bytes,
            options.handlers,
        )
        self._writer = Writer(
            self._spool,
            self._storing,
            guard,
            self._intake,
            self._letters,
            self._acker,
            self._leases,
            self._disk,
            clock,
            options.batch_points,
            options.flush_seconds,
        )

    def spawn(self, lifecycle: Lifecycle) -> None:
        """Set the stages to work."""
        for number, consumer in enumerate(self._consumers):
            lifecycle.spawn(f"receive-{number}", self._intake.receive(consumer), vital=True)
        lifecycle.spawn("spool", self._intake.spool(), vital=True)
        lifecycle.spawn("ack", self._acker.run(), vital=True)
        lifecycle.spawn("ack-postponed", self._acker.run_postponed(), vital=True)
        lifecycle.spawn("write", self._writer.run(), vital=True)
        lifecycle.spawn("housekeeping", self._housekeeping.run(), vital=True)
        if not self._spool.durable:
            lifecycle.spawn("leases", self._leases.run(), vital=True)

    async def close(self) -> None:
        """Let running writes end, then close; the stages were cancelled before."""
        for consumer in self._consumers:
            await consumer.close()
        await asyncio.to_thread(self._store_thread.shutdown)
        await asyncio.to_thread(self._disk.shutdown)
        self._spool.close()
        self._storing.close()

    def stats(self) -> Mapping[str, Any]:
        """What was processed since this process started, and what waits."""
        return {
            "instance": self._options.instance_id,
            "queue_delivered": self._intake.delivered,
            "messages_processed": self._intake.messages,
            "messages_errors": dict(self._letters.counts),
            "acks_refused": self._acker.refused,
            "gpus_stored": len(self._storing.gpus),
            "telemetry_stored": self._storing.points,
            "telemetry_new": self._storing.new_points,
            "store_failures": self._storing.failures,
            "cardinality": msgspec.to_builtins(self._guard.report()),
            "store_problem": self._storing.problem,
            "store_alarm": self._storing.alarm,
            "spool_messages": self._spool.pending,
            "spool_bytes": self._spool.bytes_on_disk,
            "spool_corrupt_frames": self._spool.corrupt_frames,
        }


def open_spool(options: CollectorOptions, files: Files) -> Spool | Held:
    """The spool that the options ask for; raises SpoolLeftError for one that they leave behind."""
    if options.spool_directory is None:
        return Held()
    if options.ack_mode == STORED and not options.spool_directory.is_dir():
        return Held()
    spool = Spool(
        options.spool_directory,
        options.spool_segment_bytes,
        options.spool_memory_points,
        files,
    )
    if options.ack_mode == SPOOLED:
        return spool
    spool.close()
    if spool.pending:
        raise SpoolLeftError(spool.pending)
    return Held()
