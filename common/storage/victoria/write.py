"""Writing samples to VictoriaMetrics, and who their GPUs are.

The server keeps every point that it is given, in no order of arrival. So what may be there already
is looked up first: a point that is there with the same value is not written again, and one that is
there with another is written to a series of its own, whose label counts how often that happened.
"""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence, Set

from common.errors import StoreUnavailable
from common.models import Sample
from common.storage.base import StoreRefused, WriteRefused, Written
from common.storage.telling import MAX_KNOWN, Told, Touch, gather
from common.storage.victoria.answers import understood
from common.storage.victoria.columns import (
    GpuColumns,
    check_times,
    columns_of,
    stretches,
    unwritten,
)
from common.storage.victoria.lines import Lines
from common.storage.victoria.link import Link
from common.storage.victoria.points import Revisions
from common.storage.victoria.read import Reader
from common.storage.victoria.server import Server

LOOKED_UP_GPUS = 100
VISIBLE_SECONDS = 5.0
"""How long a cluster may take to show what it took."""
EXACT_BITS = 64
YOUNG_SECONDS, YOUNG_LOOKS = 3.0, 30
"""How long, and how often, a server is waited for that was started in this second."""

Sleep = Callable[[float], None]


class Writer:
    """Writes to the series of one ``db``; for one thread at a time.

    ``durable`` has each write wait until it is on the server's disk, which one server can be asked
    for, and a cluster cannot. ``retention_seconds`` is how long points are to be kept, 0 for ever.
    """

    def __init__(
        self,
        link: Link,
        reader: Reader,
        db: str,
        *,
        durable: bool,
        retention_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        sleep: Sleep = time.sleep,
    ) -> None:
        self._link = link
        self._reader = reader
        self._lines = Lines(db)
        self._durable = durable
        self._retention_seconds = retention_seconds
        self._monotonic = monotonic
        self._wall = wall
        self._sleep = sleep
        self._told = Told(self._first_told, self._lines.identity, monotonic)
        self._newest: dict[str, int] = {}
        self._wrote_at = -math.inf

    def prepare(self) -> None:
        """Refuse a server that refuses us, or would not keep what it is given."""
        with understood(self._link.where):
            self._link.check()
        if not self._durable:
            return
        with understood(self._link.where):
            server = self._link.server(anew=True)
        if server.precision_bits != EXACT_BITS:
            raise StoreRefused(f"{self._link.where} keeps rounded values: -precisionBits must go")
        wanted = self._retention_seconds
        if server.retention_seconds < wanted:
            raise StoreRefused(
                f"{self._link.where} keeps points for {server.retention_seconds:.0f} s, "
                f"STORE_RETENTION is {wanted:.0f} s: -retentionPeriod must be as long"
            )

    def write(self, samples: Sequence[Sample]) -> Written:
        """Send all samples; all of them are found good before the first leaves."""
        points = sum(len(sample.metrics) for sample in samples)
        if not samples:
            return Written(points, None)
        check_times(samples)
        before = self._server()
        self._check_age(samples, before)
        touches = gather(samples)
        try:
            self._told.meet(touches)
            self._learn(touches.keys())
            columns = self._apart(columns_of(samples), touches)
            lines = list(self._told.tell(touches))
            for gpu_id, each in columns.items():
                if each:
                    lines += self._lines.points(gpu_id, each)
            self._send(lines, before)
        except BaseException:
            self._told.forget(touches)
            for gpu_id in touches:
                self._newest.pop(gpu_id, None)
            raise
        for sample in samples:
            gpu_id = sample.gpu.uuid or sample.gpu.id
            self._newest[gpu_id] = max(self._newest[gpu_id], sample.timestamp)
        return Written(points, None)

    def _send(self, lines: Iterable[bytes], before: Server | None) -> None:
        """Return when it is on the disk, and what was there already too, if that can be known.

        What a server has in memory goes with it; so it must be the same one all the time.
        """
        with understood(self._link.where):
            self._link.send(lines)
            self._wrote_at = self._monotonic()
            if before is not None:
                self._link.sync()
                if self._link.server(anew=True).started != before.started:
                    raise StoreUnavailable(f"{self._link.where} was started anew meanwhile")

    def _server(self) -> Server | None:
        """The server before a write, where it can be asked: it must be known by its start."""
        if not self._durable:
            return None
        with understood(self._link.where):
            for _ in range(YOUNG_LOOKS):
                server = self._link.server(anew=True)
                if server.is_known_by_start:
                    return server
                self._sleep(YOUNG_SECONDS / YOUNG_LOOKS)
        raise StoreUnavailable(f"{self._link.where} was started just now")

    def _check_age(self, samples: Sequence[Sample], server: Server | None) -> None:
        """Refuse what the server would drop without a word."""
        kept, future = self._retention_seconds or math.inf, math.inf
        if server is not None:
            kept, future = min(kept, server.retention_seconds), server.future_seconds
        now = self._wall()
        if now - min(sample.timestamp for sample in samples) / 1000 > kept:
            raise WriteRefused(f"a sample is older than the retention of {kept:.0f} s")
        if max(sample.timestamp for sample in samples) / 1000 - now > future:
            raise WriteRefused(f"a sample is over {future:.0f} s ahead of the clock")

    def _learn(self, ids: Set[str]) -> None:
        """Learn up to when GPUs that are new here have been seen."""
        if len(self._newest) > MAX_KNOWN:
            self._newest.clear()
        unheard = ids - self._newest.keys()
        if unheard:
            with understood(self._link.where):
                seen = self._reader.last_seen(unheard)
            self._newest |= {gpu_id: seen.get(gpu_id, 0) for gpu_id in unheard}

    def _apart(
        self, columns: dict[str, GpuColumns], touches: dict[str, Touch]
    ) -> dict[str, GpuColumns]:
        """Leave out what is there already, and put what is there otherwise into other series."""
        late = [
            gpu_id
            for gpu_id, touch in touches.items()
            if touch.first <= self._newest.get(gpu_id, 0)
        ]
        if not late:
            return columns
        if not self._durable:
            left = self._wrote_at + VISIBLE_SECONDS - self._monotonic()
            if left > 0:
                self._sleep(left)
        for at in range(0, len(late), LOOKED_UP_GPUS):
            part = {gpu_id: columns[gpu_id] for gpu_id in late[at : at + LOOKED_UP_GPUS]}
            there = self._there(part)
            for gpu_id, each in part.items():
                columns[gpu_id] = unwritten(each, there[gpu_id])
        return columns

    def _there(self, columns: dict[str, GpuColumns]) -> dict[str, dict[str, list[Revisions]]]:
        """What is stored of some GPUs about the times of some points."""
        times = {
            at
            for gpu_id, each in columns.items()
            for column in each.values()
            for at in column
            if at <= self._newest[gpu_id]
        }
        found: dict[str, dict[str, list[Revisions]]] = defaultdict(lambda: defaultdict(list))
        for start, end in stretches(times):
            with understood(self._link.where):
                gathered = self._reader.gathered(columns, (), start, end)
                for gpu_id, metric, revisions in gathered.columns():
                    found[gpu_id][metric].append(revisions)
        return found

    def _first_told(self, ids: set[str]) -> dict[str, int]:
        with understood(self._link.where):
            return self._reader.first_told(ids)
