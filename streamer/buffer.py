"""Batches of one partition that wait to be sent: bounded, in order."""

import asyncio
from collections import deque
from itertools import islice
from typing import NamedTuple


class Parcel(NamedTuple):
    """One encoded batch and how many points are in it."""

    batch_id: str
    payload: bytes
    points: int


class Buffer:
    """One side puts, one side peeks, sends and drops; a parcel stays until it is dropped."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._parcels: deque[Parcel] = deque()
        self._changed = asyncio.Condition()

    def __len__(self) -> int:
        return len(self._parcels)

    @property
    def full(self) -> bool:
        return len(self._parcels) >= self._capacity

    async def put(self, parcel: Parcel) -> None:
        """Add at the end, when there is room."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self.full)
            self._parcels.append(parcel)
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
                self._parcels.popleft()
            self._changed.notify_all()

    async def drained(self) -> None:
        """Return when nothing waits."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._parcels)
