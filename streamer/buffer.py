"""Batches of one partition that wait to be sent: bounded, in order."""

import asyncio
from collections import deque
from itertools import islice
from typing import NamedTuple


class Parcel(NamedTuple):
    """One encoded batch and how many points are in it.

    ``end`` counts the partition's samples up to and with this batch, since the start.
    """

    batch_id: str
    payload: bytes
    points: int
    end: int


class Buffer:
    """One side puts, one side peeks, sends and drops; a parcel stays until it is dropped.

    It is full at ``capacity`` parcels or ``max_bytes``, whichever comes first, and takes one
    parcel whatever its size.
    """

    def __init__(self, capacity: int, max_bytes: int) -> None:
        self.bytes = 0
        self.confirmed = 0
        self._capacity = capacity
        self._max_bytes = max_bytes
        self._parcels: deque[Parcel] = deque()
        self._changed = asyncio.Condition()

    def __len__(self) -> int:
        return len(self._parcels)

    @property
    def full(self) -> bool:
        return len(self._parcels) >= self._capacity or self.bytes >= self._max_bytes

    async def put(self, parcel: Parcel) -> None:
        """Add at the end, when there is room."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self.full)
            self._parcels.append(parcel)
            self.bytes += len(parcel.payload)
            self._changed.notify_all()

    async def peek(self, max_count: int, max_bytes: int) -> list[Parcel]:
        """Wait for a first parcel; return what goes into one send, at least that one."""
        async with self._changed:
            await self._changed.wait_for(lambda: bool(self._parcels))
        taken, size = [self._parcels[0]], len(self._parcels[0].payload)
        for parcel in islice(self._parcels, 1, max_count):
            size += len(parcel.payload)
            if size > max_bytes:
                break
            taken.append(parcel)
        return taken

    async def drop(self, count: int) -> None:
        """Forget the first ``count``: they are stored."""
        async with self._changed:
            for _ in range(count):
                parcel = self._parcels.popleft()
                self.bytes -= len(parcel.payload)
                self.confirmed = parcel.end
            self._changed.notify_all()

    async def drained(self) -> None:
        """Return when nothing waits."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._parcels)

    async def until_confirmed(self, end: int) -> None:
        """Return when the partition's first ``end`` samples are stored."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.confirmed >= end)
