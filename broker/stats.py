"""Totals of a broker and of each of its topics, for ``GET /stats``."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from broker.partition import Partition
from broker.topic import Topic

GROUP_COUNTS = (
    "ready",
    "in_flight",
    "delivered",
    "redelivered",
    "acked",
    "dead",
    "lost",
    "dropped",
)


def broker_totals(topics: list[Topic]) -> dict[str, Any]:
    """Sums over everything, then topic by topic."""
    partitions = [part for topic in topics for part in topic.partitions]
    return {
        **totals(partitions),
        "read_only": {part.name: part.problem for part in partitions if part.problem},
        "by_topic": {topic.name: totals(topic.partitions) for topic in topics},
    }


def totals(partitions: Iterable[Partition]) -> dict[str, int]:
    """What partitions hold, and what their groups made of it."""
    counts = Counter(
        dict.fromkeys(("messages", "depth", "bytes", "spilled", *GROUP_COUNTS, "subscribers"), 0)
    )
    for part in partitions:
        counts.update(
            messages=part.end - part.first_offset,
            depth=part.depth,
            bytes=part.disk_bytes,
            spilled=part.spilled,
            subscribers=len(part.wakers),
        )
        for group in part.groups:
            books = group.counts(part.end)
            counts.update({name: books[name] for name in GROUP_COUNTS})
    return dict(counts)
