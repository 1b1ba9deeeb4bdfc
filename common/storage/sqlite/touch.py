"""What a call brings, sorted by GPU."""

from collections.abc import Iterable, Iterator, Sequence

from common.models import EARLIEST_MS, LATEST_MS, Gpu, Sample
from common.storage.packing import Row, Schemas, width
from common.storage.rollup import HOUR_MS
from common.storage.sqlite.gpus import KnownGpu

# A row on its way in: gpu, time and schema as decimals of fixed width, then the values.
_GPU = b"%010d"
_REST = b"%015d%010d%b"


class Touch:
    """What one call brings for one GPU: its rows by time, and the identities it was seen with.

    ``sightings`` are identities with the latest time of each, in the order they came.
    ``late`` are the times that may be stored already: none is later than the GPU's last.
    """

    __slots__ = ("_span", "known", "late", "replaced_points", "replaced_rows", "rows", "sightings")

    known: KnownGpu
    late: list[int]
    _span: tuple[int, int]

    def __init__(self) -> None:
        self.rows: dict[int, Row] = {}
        self.sightings: list[tuple[Gpu, int]] = []
        self.replaced_rows = 0
        self.replaced_points = 0

    def see(self, gpu: Gpu, at: int) -> None:
        """Note that the GPU was seen so; a run of one identity is one sighting."""
        if self.sightings and self.sightings[-1][0] == gpu:
            at = max(at, self.sightings.pop()[1])
        self.sightings.append((gpu, at))

    def meet(self) -> bool:
        """Compare with what is known of the GPU; True when its identity has changed."""
        first, last = min(self.rows), max(self.rows)
        if first < EARLIEST_MS or last > LATEST_MS:
            raise ValueError(f"a sample's time is out of bounds: {first} to {last}")
        self._span = (first, last)
        known = self.known
        self.late = [ts for ts in self.rows if ts <= known.last] if first <= known.last else []
        known.first = min(known.first, first)
        changes = [known.learn(gpu, at) for gpu, at in self.sightings]
        return any(changes)

    def hours(self) -> Iterable[tuple[int, int]]:
        """The hours that its rows lie in, as `sqlite_rollup.GpuHour`."""
        first, last = (ts // HOUR_MS for ts in self._span)
        gpu = self.known.rowid
        if first == last:
            return [(gpu, first)]
        return {(gpu, ts // HOUR_MS) for ts in self.rows}

    def packed(self, times: Iterable[int]) -> Iterator[bytes]:
        """The rows of the given times, as the statements take them."""
        gpu = _GPU % self.known.rowid
        for ts in times:
            yield gpu + _REST % (ts, *self.rows[ts])

    def new_points(self) -> int:
        """How many points there are more than before."""
        return sum(map(width, self.rows.values())) - self.replaced_points

    def seen(self) -> tuple[int, int, int, int]:
        """What the GPU's row counts by."""
        return self.known.rowid, self.known.first, self.known.last, self.new_points()


def gather(samples: Sequence[Sample], schemas: Schemas) -> dict[str, Touch]:
    """Sort samples into touches, one per GPU id; the hot loop of a write."""
    by_id: dict[str, Touch] = {}
    for sample in samples:
        gpu, ts = sample.gpu, sample.timestamp
        gpu_id = gpu.uuid or gpu.id
        touch = by_id.get(gpu_id)
        if touch is None:
            touch = by_id[gpu_id] = Touch()
        touch.see(gpu, ts)
        row = schemas.pack(sample.metrics)
        old = touch.rows.get(ts)
        touch.rows[ts] = row if old is None else schemas.merge(old, row)
    return by_id
