"""The books of one file: what was read, what is stored, what is missing, each point counted."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from common.storage.base import Store
from common.storage.factory import open_store
from common.storage.options import StoreOptions


class GpuSent(msgspec.Struct):
    """What the streamer published of one GPU; ``late`` of its points may repeat earlier ones."""

    points: int
    late: int
    first: int
    last: int


class RejectedRows(msgspec.Struct):
    """Rows that were refused for one reason; only the first lines are named."""

    count: int
    lines: list[int]


class Sent(msgspec.Struct):
    """The streamer's summary."""

    rows_read: int
    values_read: int
    missing: int
    samples: int
    points: int
    points_published: int
    duplicates: int
    gpus: int
    hosts: int
    metrics: int
    rejected: dict[str, RejectedRows]
    manifest: dict[str, GpuSent]


@dataclass(frozen=True)
class Books:
    """What the file held against what the store holds.

    ``repeated`` points came twice in the file and are stored once.
    """

    sent: Sent
    stored: int
    repeated: int
    lost: int
    rejected_later: dict[str, int]
    seconds: float

    @property
    def rejected_rows(self) -> int:
        """Rows the streamer refused, or single values of rows that hold many."""
        return sum(rows.count for rows in self.sent.rejected.values())

    @property
    def balanced(self) -> bool:
        """Every value is stored, repeated, or refused for a reason that is told."""
        sent = self.sent
        values = sent.points_published + sent.duplicates + self.rejected_rows
        points = self.stored + self.repeated + sum(self.rejected_later.values())
        return not self.lost and sent.values_read == values and sent.points_published == points


def read_summary(path: Path) -> Sent:
    """The summary that a streamer left."""
    return msgspec.json.decode(path.read_bytes(), type=Sent)


def close_books(
    sent: Sent, where: StoreOptions, rejected_later: dict[str, int], seconds: float
) -> Books:
    """Count in the store, GPU by GPU, what was sent; blocks."""
    store = open_store(where, writable=False)
    try:
        stored, repeated, lost = compare(sent, store)
    finally:
        store.close()
    return Books(sent, stored, repeated, lost, rejected_later, seconds)


def compare(sent: Sent, store: Store) -> tuple[int, int, int]:
    """Points stored, repeated and lost.

    A GPU's points that came in order of time are surely distinct; only a late one may repeat.
    """
    stored = repeated = lost = 0
    for gpu_id, gpu in sent.manifest.items():
        found = min(store.count_points(gpu_id, gpu.first, gpu.last), gpu.points)
        missing = max(0, gpu.points - gpu.late - found)
        stored += found
        lost += missing
        repeated += gpu.points - found - missing
    return stored, repeated, lost


def collector_rejects(stats: dict[str, Any] | None) -> dict[str, int]:
    """What the collector refused, by reason."""
    return dict(stats["messages_errors"]) if stats else {}


def render(books: Books) -> str:
    """The books as text for people."""
    sent = books.sent
    rate = books.stored / books.seconds if books.seconds else 0.0
    lines = [
        f"  rows read      {sent.rows_read:>12,}",
        f"  values read    {sent.values_read:>12,}",
        f"  missing values {sent.missing:>12,}",
        f"  samples        {sent.samples:>12,}",
        f"  GPUs           {sent.gpus:>12,}",
        f"  hosts          {sent.hosts:>12,}",
        f"  metrics        {sent.metrics:>12,}",
        f"  points stored  {books.stored:>12,}",
        f"  lost           {books.lost:>12,}",
        f"  rejected       {books.rejected_rows:>12,}",
        f"  repeated       {sent.duplicates + books.repeated:>12,}",
        f"  seconds        {books.seconds:>12.1f}   ({rate:,.0f} points/s)",
    ]
    for reason, rows in sorted(sent.rejected.items()):
        named = ", ".join(map(str, rows.lines))
        more = ", ..." if rows.count > len(rows.lines) else ""
        lines.append(f"  rejected: {reason}, line {named}{more}")
    lines += [
        f"  rejected by the collector: {reason}, {count:,} samples"
        for reason, count in sorted(books.rejected_later.items())
    ]
    lines.append(f"  the books {'balance' if books.balanced else 'DO NOT BALANCE'}")
    return "\n".join(lines)
