"""What the whole path is fed, a DCGM export that grows, and whether the store holds just that."""

import asyncio
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from common.storage.base import Store, TelemetryQuery
from common.storage.sqlite.store import SqliteStore
from streamer.sources.fleet import METRICS, describe
from streamer.sources.generator import HEADER, row_frame, rows

GPUS = 8
TICK_SECONDS = 0.25
PAGE = 50_000
EPILOGUE_TICKS = 2
BACK_SECONDS_EACH = 5.0  # the times written run ahead of the clock: begin so much earlier a second

Key = tuple[int, str]  # milliseconds since 1970 UTC, metric


@dataclass
class Exporter:
    """Appends a second of every GPU to a file, a few times a second.

    ``written`` has every point by GPU; those of the epilogue, which close what came before, may be
    in the store or not.
    """

    path: Path
    seed: int
    seconds: float
    written: dict[str, dict[Key, float]] = field(default_factory=dict)
    epilogue: set[int] = field(default_factory=set)
    _task: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)  # noqa: S311  no secret
        self._gpus = [describe(index, self._rng) for index in range(GPUS)]
        self._frames = [[row_frame(gpu, metric) for gpu in self._gpus] for metric in METRICS]
        back = timedelta(seconds=600 + BACK_SECONDS_EACH * self.seconds)
        self._moment = datetime.now(UTC).replace(microsecond=0) - back
        self.written = {gpu.uuid: {} for gpu in self._gpus}

    @property
    def points(self) -> int:
        """Points that must be in the store at the end."""
        return sum(len(points) for points in self.written.values())

    def start(self) -> None:
        """Begin the file, and go on with it."""
        self.path.write_bytes(HEADER)
        self._tick(counted=True)
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Write no more that counts; a last moment closes the one before it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
            for _ in range(EPILOGUE_TICKS):
                self._tick(counted=False)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self._tick(counted=True)

    def _tick(self, counted: bool) -> None:
        self._moment += timedelta(seconds=1)
        at = int(self._moment.timestamp()) * 1000
        stamp = f'"{self._moment:%Y-%m-%dT%H:%M:%S}Z"'.encode()
        lines: list[bytes] = []
        for metric, frame in zip(METRICS, self._frames, strict=True):
            values = tuple(round(self._rng.uniform(0, 1000), 3) for _ in self._gpus)
            lines += rows(stamp, frame, values)
            if counted:
                for gpu, value in zip(self._gpus, values, strict=True):
                    self.written[gpu.uuid][at, metric] = value
        if not counted:
            self.epilogue.add(at)
        with self.path.open("ab") as file:
            file.write(b"".join(lines))


class Compared(NamedTuple):
    """Points found, missing, with another value, doubled, and of nobody; and examples.

    The epilogue is not among those found.
    """

    stored: int
    lost: int
    wrong: int
    doubled: int
    invented: int
    examples: list[str]


def stored_points(path: Path) -> int:
    """Points in the store, by its own count; 0 while there is none. Blocks."""
    if not path.exists():
        return 0
    store = SqliteStore(path, writable=False)
    try:
        return store.stats().points
    finally:
        store.close()


def compare(exporter: Exporter, path: Path) -> Compared:
    """Hold the store against what was written, point by point. Blocks."""
    if not path.exists():
        return Compared(0, exporter.points, 0, 0, 0, [])
    store = SqliteStore(path, writable=False)
    try:
        counted = store.stats().points
        rows_of = {gpu: points_of(store, gpu) for gpu in exporter.written}
        strangers = set(store.gpu_ids()) - rows_of.keys()
    finally:
        store.close()
    found = {gpu: dict(rows) for gpu, rows in rows_of.items()}
    everything = sum(len(points) for points in found.values())
    twice = sum(len(rows) for rows in rows_of.values()) - everything
    lost, wrong, invented = 0, 0, len(strangers)
    examples: list[str] = []
    for gpu, wanted in exporter.written.items():
        there = found[gpu]
        missing = [key for key in wanted if key not in there]
        other = [key for key in wanted if key in there and there[key] != wanted[key]]
        more = [key for key in there.keys() - wanted.keys() if key[0] not in exporter.epilogue]
        lost, wrong, invented = lost + len(missing), wrong + len(other), invented + len(more)
        examples += [f"{gpu} {metric} at {at}" for at, metric in (missing + other + more)[:2]]
    doubled = max(twice, counted - everything, 0)
    closing = sum(at in exporter.epilogue for points in found.values() for at, _ in points)
    return Compared(everything - closing, lost, wrong, doubled, invented, examples[:6])


def points_of(store: Store, gpu_id: str) -> list[tuple[Key, float]]:
    """Every point of a GPU, as often as it comes."""
    points: list[tuple[Key, float]] = []
    query = TelemetryQuery(gpu_id, PAGE)
    while (page := store.telemetry(query)) is not None:
        points += [((point.timestamp, point.metric), point.value) for point in page.points]
        if page.next is None:
            break
        query = TelemetryQuery(gpu_id, PAGE, after=page.next)
    return points
