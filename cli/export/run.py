"""`telemetry export`: which hosts had which GPUs on which days, and a file for each."""

import sys
import time
from collections.abc import Iterator
from datetime import date
from itertools import groupby

import msgspec

from cli.export.columns import Columns, UnknownMetric
from cli.export.days import DAY, day_of
from cli.export.folders import FolderBusy, Folders
from cli.export.options import ExportOptions
from cli.export.parts import HostDay, Made, read_part, write_part
from common.errors import StoreUnavailable
from common.storage.base import GpuFilter, GpuRecord, Store
from common.storage.factory import open_store

EXIT_FAILED = 3
GPUS_AT_ONCE = 20
"""A server counts the points of those that it is asked about: a few keep within its limits."""
TRIES = 3
"""Of a file while the store gets to know metrics that it did not have before."""


class Summary(msgspec.Struct):
    """What an export has done; ``kept`` files had more than the store still has."""

    files: int = 0
    kept: int = 0
    points: int = 0
    rows: int = 0
    bytes: int = 0
    hosts: int = 0
    days: int = 0
    seconds: float = 0.0


def export_parquet(options: ExportOptions) -> int:
    """Export and say what was done; return the exit code."""
    try:
        store = open_store(options, writable=False)
        try:
            summary = Export(store, options).run()
        finally:
            store.close()
    except (StoreUnavailable, FolderBusy, OSError, ValueError) as error:
        sys.stderr.write(f"error: {error}\n")
        return EXIT_FAILED
    if options.as_json:
        print(msgspec.json.encode(summary).decode())
    else:
        print(render(summary, str(options.out)))
    return 0


class Export:
    """One run over some days of a store."""

    def __init__(self, store: Store, options: ExportOptions) -> None:
        self._store = store
        self._options = options
        self._folders = Folders(options.out)
        self._columns = Columns(store.metrics())
        self._summary = Summary()
        self._hosts: set[str] = set()

    def run(self) -> Summary:
        """Write a file for each host and day; raises StoreUnavailable, OSError, FolderBusy."""
        began = time.monotonic()
        fleet = list(fleet_of(self._store))
        with self._folders.locked():
            for day in self._days(fleet):
                self._export_day(day, fleet)
        self._summary.hosts = len(self._hosts)
        self._summary.seconds = round(time.monotonic() - began, 3)
        return self._summary

    def _days(self, fleet: list[GpuRecord]) -> Iterator[date]:
        if not fleet:
            return
        first = day_of(min(gpu.first_seen for gpu in fleet))
        last = day_of(max(gpu.last_seen for gpu in fleet))
        first = max(first, self._options.start or first)
        last = min(last, self._options.end or last)
        while first <= last:
            yield first
            first += DAY

    def _export_day(self, day: date, fleet: list[GpuRecord]) -> None:
        before = self._summary.points
        there = [gpu for gpu in fleet if day_of(gpu.first_seen) <= day <= day_of(gpu.last_seen)]
        for wanted in host_days(day, there, self._placed(day)):
            if self._options.hosts and wanted.host not in self._options.hosts:
                continue
            made = self._write(wanted)
            if made is not None:
                self._count(wanted.host, made)
        points = self._summary.points - before
        if points:
            self._summary.days += 1
            sys.stderr.write(f"{day}: {points:,} points\n")

    def _placed(self, day: date) -> dict[str, str]:
        """The hosts that GPUs of a day were exported under before."""
        parts = map(read_part, self._folders.files(day))
        return {gpu_id: part.host for part in parts for gpu_id in part.gpus}

    def _write(self, wanted: HostDay) -> Made | None:
        for _ in range(TRIES):
            try:
                return write_part(self._store, self._folders, wanted, self._columns)
            except UnknownMetric:
                self._columns = Columns(self._store.metrics())
        raise StoreUnavailable("the store gets new metrics faster than they can be read")

    def _count(self, host: str, made: Made) -> None:
        self._hosts.add(host)
        self._summary.points += made.points
        if made.kept:
            self._summary.kept += 1
            return
        self._summary.files += 1
        self._summary.rows += made.rows
        self._summary.bytes += made.size


def fleet_of(store: Store) -> Iterator[GpuRecord]:
    """Yield all GPUs, some at a time."""
    after = ""
    while found := store.gpus(GpuFilter(), GPUS_AT_ONCE, after):
        yield from found
        after = found[-1].id


def host_days(day: date, gpus: list[GpuRecord], placed: dict[str, str]) -> Iterator[HostDay]:
    """Yield the hosts of a day with their GPUs, both sorted.

    A GPU that was exported before stays where it was: its host of today is not that of then.
    """

    def host_of(gpu: GpuRecord) -> str:
        return placed.get(gpu.id, gpu.gpu.hostname)

    for host, group in groupby(sorted(gpus, key=lambda gpu: (host_of(gpu), gpu.id)), host_of):
        yield HostDay(day, host, list(group))


def render(summary: Summary, out: str) -> str:
    """The summary as text for people."""
    kept = f", {summary.kept:,} kept that hold more than the store still has" * bool(summary.kept)
    return (
        f"{summary.points:,} points of {summary.hosts:,} hosts and {summary.days:,} days "
        f"in {summary.files:,} files ({summary.bytes:,} bytes) below {out}, "
        f"{summary.seconds:.1f} s{kept}"
    )
