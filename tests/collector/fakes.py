"""A queue and a store that tests lead by the hand, and that write down what happened in order."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any

import msgspec

from common.clock import SystemClock
from common.errors import StoreUnavailable, TelemetryError
from common.models import Batch, Gpu, Sample
from common.queue.base import Delivery, Letter, Settled
from common.storage.base import WriteRefused, Written

T0 = 1_752_871_354_000


def sample(at: int, **metrics: float) -> Sample:
    """What one GPU had ``at`` milliseconds after T0."""
    return Sample(Gpu(uuid="GPU-a"), T0 + at, metrics or {"power": 1.0})


def message(*samples: Sample) -> bytes:
    """A good message."""
    return msgspec.json.encode(Batch("id", "test", T0, list(samples)))


def raw_message(*samples: bytes) -> bytes:
    """A message with samples as they are given."""
    head = b'{"batch_id": "id", "source": "test", "collected_at": %d, "samples": [' % T0
    return head + b", ".join(samples) + b"]}"


def delivery(number: int, *payloads: bytes) -> Delivery:
    """A delivery whose receipt is its number; without payloads, one good sample at that number."""
    given = list(payloads) or [message(sample(number))]
    return Delivery(f"b:0:{number}:ff", "t", 0, number, 1, given)


class HastyClock(SystemClock):
    """Waits for nothing longer than it takes others to have their turn; then it is later."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return super().monotonic() + sum(self.slept)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0.001)


class FakeQueue:
    """A ``Consumer``: gives what is put, notes each ack, refuses what it is told to refuse."""

    def __init__(self, events: list[Any] | None = None) -> None:
        self.events: list[Any] = [] if events is None else events
        self.acked: list[str] = []
        self.taken = 0
        self.closed = False
        self.failures: list[TelemetryError] = []
        self.refused: dict[str, str] = {}
        self.rejected: dict[str, str] = {}
        self.extended: list[str] = []
        self.letters: dict[str, Letter] = {}
        self._given: asyncio.Queue[Delivery] = asyncio.Queue()

    def put(self, *deliveries: Delivery) -> None:
        """Let these be delivered."""
        for each in deliveries:
            self._given.put_nowait(each)

    async def deliveries(self) -> AsyncIterator[Delivery]:
        """See ``Consumer``."""
        while True:
            given = await self._given.get()
            self.taken += 1
            yield given

    async def ack(self, receipts: Sequence[str]) -> Settled:
        """See ``Consumer``."""
        self.events.append(("ack", list(receipts)))
        if self.failures:
            raise self.failures.pop(0)
        refused = {
            receipt: self.refused[receipt] for receipt in receipts if receipt in self.refused
        }
        self.acked += [receipt for receipt in receipts if receipt not in refused]
        return Settled(acked=len(receipts) - len(refused), refused=refused)

    async def reject(self, receipts: Sequence[str], reason: str) -> Settled:
        """See ``Consumer``."""
        self.events.append(("reject", list(receipts)))
        self.rejected |= dict.fromkeys(receipts, reason)
        return Settled(acked=len(receipts))

    async def extend(self, receipts: Sequence[str], seconds: float) -> Settled:
        """See ``Consumer``."""
        self.extended += receipts
        return Settled(acked=len(receipts))

    async def bury(self, letters: Sequence[Letter]) -> None:
        """See ``Consumer``."""
        self.events.append(("bury", [letter.id for letter in letters]))
        if self.failures:
            raise self.failures.pop(0)
        self.letters |= {letter.id: letter for letter in letters}

    async def lag(self) -> int:
        """See ``Consumer``."""
        return self._given.qsize()

    async def close(self) -> None:
        """See ``Consumer``."""
        self.closed = True


class FakeStore:
    """The writing side of a ``Store``; away while ``here`` is not set, or ``failures`` times.

    ``refuses`` says of a metric of a sample why the store does not take it; empty when it does.
    """

    def __init__(self, events: list[Any] | None = None) -> None:
        self.events: list[Any] = [] if events is None else events
        self.failures = 0
        self.refuses: Callable[[Sample, str], str] = lambda sample, metric: ""
        self.here = threading.Event()
        self.here.set()
        self.stored: dict[int, Sample] = {}
        self.writes: list[int] = []
        self.asked = 0

    def write(self, samples: Sequence[Sample]) -> Written:
        """See ``Store``."""
        if self.failures or not self.here.is_set():
            self.failures = max(0, self.failures - 1)
            raise StoreUnavailable("the store is away")
        self.asked += 1
        for each in samples:
            for metric in each.metrics:
                if why := self.refuses(each, metric):
                    raise WriteRefused(why)
        self.events.append(("store", times(samples)))
        before = self._points()
        for each in samples:
            known = self.stored.get(each.timestamp - T0)
            metrics = (known.metrics if known else {}) | each.metrics
            self.stored[each.timestamp - T0] = Sample(each.gpu, each.timestamp, metrics)
        self.writes.append(len(samples))
        return Written(sum(len(each.metrics) for each in samples), self._points() - before)

    def _points(self) -> int:
        return sum(len(each.metrics) for each in self.stored.values())

    def metrics(self) -> list[str]:
        """See ``Store``; nothing is known of before."""
        return []

    def gpu_ids(self) -> list[str]:
        """See ``Store``."""
        return []

    def roll_up(self, before_ms: int) -> int:
        """See ``Store``; there are none."""
        del before_ms
        return 0

    def close(self) -> None:
        """See ``Store``."""


def times(samples: Iterable[Sample]) -> list[int]:
    """Milliseconds after T0."""
    return [each.timestamp - T0 for each in samples]
