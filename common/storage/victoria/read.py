"""What VictoriaMetrics is asked, and how its answers become the store's."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable

from common.errors import StoreUnavailable
from common.models import EARLIEST_MS, LATEST_MS, Gpu
from common.storage.base import (
    GpuFilter,
    GpuRecord,
    Point,
    StoreStats,
    Telemetry,
    TelemetryQuery,
    WindowQuery,
)
from common.storage.influx.lines import decode
from common.storage.slices import Fetch, gather, ids_page
from common.storage.victoria.identity import identities
from common.storage.victoria.lines import BITS, GPU, INFO, METRIC, NAME
from common.storage.victoria.link import Link
from common.storage.victoria.points import Gathered, points, windows
from common.storage.victoria.query import Selectors, over
from common.storage.victoria.times import Times, UnknownGpu

ALL_AT_ONCE = 3
"""A page of over a third of the fleet is asked for as a whole."""
PAGE_GPUS = 100
COUNTED_GPUS = 16


class Reader:
    """Questions about the series of one ``db``; for any number of threads at once."""

    def __init__(self, link: Link, db: str) -> None:
        self._link = link
        self._select = Selectors(db)
        self._times = Times(link, self._select)

    def gpus(self, which: GpuFilter, limit: int, after: str, offset: int) -> list[GpuRecord]:
        """See `Store.gpus`."""
        last = self._times.last(None)
        ids: Iterable[str] = sorted(last)
        wanted = {"hostname": which.host, "model": which.model, "namespace": which.namespace}
        asked = {name: value for name, value in wanted.items() if value is not None}
        if asked:
            who = self._identities(None)
            ids = [
                gpu_id
                for gpu_id in ids
                if all(getattr(who.get(gpu_id), name, "") == asked[name] for name in asked)
            ]
        page = ids_page(ids, after, offset, limit)
        if len(page) * ALL_AT_ONCE > len(last):
            return self._records(page)
        parts = (page[at : at + PAGE_GPUS] for at in range(0, len(page), PAGE_GPUS))
        return [record for part in parts for record in self._records(part)]

    def gpu_ids(self) -> list[str]:
        """See `Store.gpu_ids`."""
        return sorted(self._times.whole(over("max_over_time", self._select.own(INFO))))

    def gpu(self, gpu_id: str) -> GpuRecord | None:
        """See `Store.gpu`."""
        found = self._records([gpu_id])
        return found[0] if found else None

    def gpu_metrics(self, gpu_id: str) -> list[str] | None:
        """See `Store.gpu_metrics`."""
        return self._metrics([gpu_id]) or None

    def metrics(self) -> list[str]:
        """See `Store.metrics`."""
        return self._metrics(None)

    def telemetry(self, query: TelemetryQuery) -> Telemetry | None:
        """See `Store.telemetry`."""

        def fetch(begin: int, end: int, _most: int) -> list[Point]:
            return points(self.gathered([query.gpu_id], query.metrics, begin, end))

        return self._gather(query, fetch)

    def windows(self, query: WindowQuery) -> Telemetry | None:
        """See `Store.windows`."""

        def fetch(begin: int, end: int, _most: int) -> list[Point]:
            found = self.gathered([query.gpu_id], query.metrics, begin, end)
            return windows(found, query.window_ms, query.aggregate)

        return self._gather(query, fetch)

    def count_points(self, gpu_id: str, start_ms: int, end_ms: int) -> int:
        """See `Store.count_points`."""
        if start_ms > end_ms:
            return 0
        found = self._counted([gpu_id], start_ms, end_ms)
        return found[gpu_id]

    def groups(self, name: str) -> dict[str, list[int]]:
        """When the GPUs of each value of a field of theirs were last seen."""
        seen = self._times.last(None)
        groups: dict[str, list[int]] = defaultdict(list)
        for gpu_id, gpu in self._identities(None).items():
            if (value := getattr(gpu, name)) and gpu_id in seen:
                groups[value].append(seen[gpu_id])
        return groups

    def stats(self) -> StoreStats:
        """See `Store.stats`."""
        seen = self._select.seen()
        last = self._times.last(None)
        first = self._times.whole(over("min_over_time", seen))
        # the values of these series are their times: as many as are distinct
        samples = self._times.whole(over("distinct_over_time", seen))
        who = self._identities(None)
        return StoreStats(
            gpus=len(last),
            hosts=len({gpu.hostname for gpu in who.values()} - {""}),
            metrics=len(self.metrics()),
            points=self._points(None).total(),
            samples=sum(samples.values()),
            oldest_ms=min(first.values(), default=None),
            newest_ms=max(last.values(), default=None),
        )

    def first_told(self, ids: Collection[str]) -> dict[str, int]:
        """When each of some GPUs was first seen, as far as that was ever written down."""
        return self._times.first(ids)

    def last_seen(self, ids: Collection[str]) -> dict[str, int]:
        """When each of some GPUs was last seen, as far as it ever was; of others perhaps too."""
        return self._times.last(ids)

    def gathered(
        self, ids: Collection[str], metrics: Collection[str], start_ms: int, end_ms: int
    ) -> Gathered:
        """All that is there of some GPUs, and perhaps of others, in a range."""
        selectors = self._select.points(ids, metrics)
        return Gathered().take(self._link.export(selectors, start_ms, end_ms))

    def _gather(self, query: TelemetryQuery | WindowQuery, fetch: Fetch) -> Telemetry | None:
        start, end = query.start_ms, query.end_ms
        try:
            bounds = self._times.bounds(query.gpu_id, start, end, descending=query.descending)
        except UnknownGpu:
            return None
        return Telemetry([], None) if bounds is None else gather(query, *bounds, fetch)

    def _metrics(self, ids: Collection[str] | None) -> list[str]:
        range_ = (EARLIEST_MS, LATEST_MS)
        names = set(self._link.values(NAME, self._select.points(ids), *range_)) - {BITS}
        names |= set(self._link.values(METRIC, [self._select.own(BITS, ids)], *range_))
        return sorted(map(decode, names))

    def _identities(self, ids: Collection[str] | None) -> dict[str, Gpu]:
        question = over("max_over_time", self._select.identities(ids))
        return identities(self._link.ask(question, LATEST_MS))

    def _records(self, ids: list[str]) -> list[GpuRecord]:
        if not ids:
            return []
        last = self._times.last(ids)
        known = [gpu_id for gpu_id in ids if gpu_id in last]
        if not known:
            return []
        first, who, counted = self._times.first(known), self._identities(known), self._points(known)
        return [
            GpuRecord(
                gpu_id,
                who.get(gpu_id, Gpu()),
                first[gpu_id],
                last[gpu_id],
                counted[gpu_id],
            )
            for gpu_id in known
            if gpu_id in first
        ]

    def _points(self, ids: Collection[str] | None) -> Counter[str]:
        """How many points GPUs have; the server counts where it counts each of them once."""
        if not self._counts_once():
            return self._counted(ids, EARLIEST_MS, LATEST_MS)
        question = f"sum({over('count_over_time', self._select.counted(ids))}) by ({GPU})"
        counted = Counter(self._times.whole(question))
        written_again = f"count({over('count_over_time', self._select.rewritten(ids))}) by ({GPU})"
        for gpu_id in self._times.whole(written_again):
            counted |= {gpu_id: 0}
            counted[gpu_id] = self._counted([gpu_id], EARLIEST_MS, LATEST_MS)[gpu_id]
        return counted

    def _counts_once(self) -> bool:
        try:
            return self._link.server().once_each_ms
        except (StoreUnavailable, ValueError):
            return False

    def _counted(self, ids: Collection[str] | None, start_ms: int, end_ms: int) -> Counter[str]:
        """Count points one by one; those of some GPUs are in memory at once."""
        each = list(self.gpu_ids() if ids is None else ids)
        counted: Counter[str] = Counter()
        for at in range(0, len(each), COUNTED_GPUS):
            selectors = self._select.points(each[at : at + COUNTED_GPUS])
            found = self._link.export(selectors, start_ms, end_ms, bounded=False)
            for gpu_id, _, column in Gathered().take(found).latest():
                counted[gpu_id] += len(column)
        return counted
