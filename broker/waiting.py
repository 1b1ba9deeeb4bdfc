"""A produce on its way to the disk."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from common.errors import Unavailable
from common.journal.frame import Record


@dataclass
class Waiting:
    """``done`` is set once the record is as safe as ``durability`` asks, or will not be."""

    record: Record
    durability: str
    key: str
    done: asyncio.Future[Record]


def give_up(batch: Sequence[Waiting], reason: str) -> None:
    """Answer those that still wait that nobody knows."""
    for waiting in batch:
        if not waiting.done.done():
            waiting.done.set_exception(Unavailable(reason))
