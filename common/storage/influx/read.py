"""What an InfluxDB bucket is asked, and how its answers become the store's."""

from collections import Counter, defaultdict

from common.models import Gpu
from common.storage.base import (
    GpuFilter,
    GpuRecord,
    Point,
    StoreStats,
    Telemetry,
    TelemetryQuery,
    WindowQuery,
)
from common.storage.influx import flux
from common.storage.influx.lines import SEEN, TAG, decode, encode_name
from common.storage.influx.link import Link
from common.storage.influx.rows import identities, points, to_ms, total
from common.storage.slices import gather, ids_page

NAMING_COSTS = 3
"""How much dearer a GPU that is named in a question is than one in a question for all."""
MAX_AT_ONCE = 3_000
"""GPUs of a fleet that is asked for as a whole: more would take the server too long at once."""

SERIES = (TAG, "_value")
TIMES = (TAG, "_time")
POINTS = {"_result": ("_time", "_field", "_value")}
NAMES = {"_result": ("result", "_value")}


class Reader:
    """Questions to one bucket; for any number of threads at once."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def gpus(self, which: GpuFilter, limit: int, after: str, offset: int) -> list[GpuRecord]:
        """See `Store.gpus`."""
        wanted = {"hostname": which.host, "model": which.model, "namespace": which.namespace}
        fleet = ids = self.gpu_ids()
        for name, value in wanted.items():
            if value is not None:
                latest = self._latest(name)
                ids = [gpu_id for gpu_id in ids if latest.get(gpu_id) == value]
        page = ids_page(ids, after, offset, limit)
        if len(page) * NAMING_COSTS > len(fleet) and len(fleet) <= MAX_AT_ONCE:
            return self._records(page)
        parts = (page[at : at + flux.MAX_NAMED] for at in range(0, len(page), flux.MAX_NAMED))
        return [record for part in parts for record in self._records(part)]

    def gpu_ids(self) -> list[str]:
        """See `Store.gpu_ids`."""
        rows = self._link.ask(flux.IDS, flux.span(), NAMES)["_result"]
        return sorted(decode(value) for _, value in rows)

    def gpu(self, gpu_id: str) -> GpuRecord | None:
        """See `Store.gpu`."""
        found = self._records([gpu_id])
        return found[0] if found else None

    def gpu_metrics(self, gpu_id: str) -> list[str] | None:
        """See `Store.gpu_metrics`."""
        text = flux.METRICS.format(gpu=f"and r.{TAG} == _gpu")
        return self._metrics(text, {"_gpu": encode_name(gpu_id)}) or None

    def metrics(self) -> list[str]:
        """See `Store.metrics`."""
        return self._metrics(flux.METRICS.format(gpu=""), {})

    def telemetry(self, query: TelemetryQuery) -> Telemetry | None:
        """See `Store.telemetry`."""
        bounds = self._bounds(query.gpu_id, query.start_ms, query.end_ms)
        if bounds is None:
            return self._nothing(query.gpu_id)
        fields, named = flux.some_fields(query.metrics)
        cut = "tail(n: _most)" if query.descending else "limit(n: _most)"
        text = flux.POINTS.format(fields=fields, cut=cut)
        gpu = {"_gpu": encode_name(query.gpu_id), **named}

        def fetch(begin: int, end: int, most: int) -> list[Point]:
            given = {**gpu, **flux.span(begin, end), "_most": most}
            return points(self._link.ask(text, given, POINTS)["_result"])

        return gather(query, *bounds, fetch)

    def windows(self, query: WindowQuery) -> Telemetry | None:
        """See `Store.windows`."""
        bounds = self._bounds(query.gpu_id, query.start_ms, query.end_ms)
        if bounds is None:
            return self._nothing(query.gpu_id)
        fields, named = flux.some_fields(query.metrics)
        text = flux.window_text(query.aggregate, fields)
        gpu = {"_gpu": encode_name(query.gpu_id), "_window": query.window_ms * 1_000_000, **named}

        def fetch(begin: int, end: int, _most: int) -> list[Point]:
            given = {**gpu, **flux.span(begin, end)}
            return points(self._link.ask(text, given, POINTS)["_result"], query.window_ms)

        return gather(query, *bounds, fetch)

    def count_points(self, gpu_id: str, start_ms: int, end_ms: int) -> int:
        """See `Store.count_points`."""
        given = {"_gpu": encode_name(gpu_id), **flux.span(start_ms, end_ms)}
        return total(self._link.ask(flux.COUNT, given, NAMES)["_result"])

    def groups(self, name: str) -> dict[str, list[int]]:
        """When the GPUs of each value of a field of theirs were last seen."""
        rows = self._link.ask(flux.LAST_SEEN, flux.span(), {"_result": TIMES})["_result"]
        seen = {decode(gpu): to_ms(time) for gpu, time in rows}
        groups: dict[str, list[int]] = defaultdict(list)
        for gpu_id, value in self._latest(name).items():
            if gpu_id in seen:
                groups[value].append(seen[gpu_id])
        return groups

    def stats(self) -> StoreStats:
        """See `Store.stats`."""
        count = ("result", "_value")
        columns = {"points": count, "samples": count, "first": TIMES, "last": TIMES}
        found = self._link.ask(flux.STATS, flux.span(), columns)
        return StoreStats(
            gpus=len(found["last"]),
            hosts=len(set(self._latest("hostname").values())),
            metrics=len(self.metrics()),
            points=total(found["points"]),
            samples=total(found["samples"]),
            oldest_ms=min((to_ms(time) for _, time in found["first"]), default=None),
            newest_ms=max((to_ms(time) for _, time in found["last"]), default=None),
        )

    def first_told(self, ids: set[str]) -> dict[str, int]:
        """When each of some GPUs was first seen, as far as that was ever written down."""
        gpus, named = flux.some_gpus(ids)
        text = flux.FIRST_TOLD.format(gpus=gpus)
        rows = self._link.ask(text, {**flux.span(), **named}, {"_result": SERIES})["_result"]
        return {decode(gpu): int(value) for gpu, value in rows}

    def _metrics(self, text: str, given: dict[str, str]) -> list[str]:
        rows = self._link.ask(text, {**flux.span(), **given}, NAMES)["_result"]
        return sorted(decode(value) for _, value in rows if value != SEEN)

    def _latest(self, name: str) -> dict[str, str]:
        """The newest value of one field of every GPU that has it."""
        given = {**flux.span(), "_name": name}
        rows = self._link.ask(flux.LATEST, given, {"_result": SERIES})["_result"]
        return {decode(gpu): decode(value) for gpu, value in rows}

    def _bounds(self, gpu_id: str, start_ms: int, end_ms: int) -> tuple[int, int] | None:
        """The first and last times that a GPU has in a range."""
        if start_ms > end_ms:
            return None
        given = {"_gpu": encode_name(gpu_id), **flux.span(start_ms, end_ms)}
        found = self._link.ask(flux.BOUNDS, given, {"first": TIMES, "last": TIMES})
        if not found["first"] or not found["last"]:
            return None
        return to_ms(found["first"][0][1]), to_ms(found["last"][0][1])

    def _nothing(self, gpu_id: str) -> Telemetry | None:
        """An empty page for a GPU that is known."""
        return Telemetry([], None) if self.gpu_metrics(gpu_id) is not None else None

    def _records(self, ids: list[str]) -> list[GpuRecord]:
        if not ids:
            return []
        gpus, named = flux.some_gpus(ids)
        columns = {
            "identity": (TAG, "_field", "_value"),
            "told": SERIES,
            "first": TIMES,
            "last": TIMES,
            "points": SERIES,
        }
        text = flux.RECORDS.format(gpus=gpus)
        found = self._link.ask(text, {**flux.span(), **named}, columns)
        told = {gpu: int(value) for gpu, value in found["told"]}
        first = {gpu: to_ms(time) for gpu, time in found["first"]}
        last = {gpu: to_ms(time) for gpu, time in found["last"]}
        counted: Counter[str] = Counter()
        for gpu, count in found["points"]:
            counted[gpu] += int(count)
        who = identities(found["identity"])
        return [
            GpuRecord(
                gpu_id,
                who.get(tag, Gpu()),
                min(first[tag], told.get(tag, first[tag])),
                last[tag],
                counted[tag],
            )
            for gpu_id, tag in ((gpu_id, encode_name(gpu_id)) for gpu_id in ids)
            if tag in first and tag in last
        ]
