"""The synthetic fleet as a live source, and as a DCGM CSV."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import BinaryIO

from common.clock import Clock
from common.models import Gpu, Sample
from streamer.sources.base import Mark, Progress, SourceError
from streamer.sources.fleet import METRICS, Fleet

HEADER = (
    b"timestamp,metric_name,gpu_id,device,uuid,modelName,Hostname,container,pod,namespace,"
    b"value,labels_raw\n"
)
MS_PER_SECOND = 1000


class LiveFleet:
    """One sample per GPU at each full second of the clock; see ``Source``.

    A second that passes while nobody reads is not made up for: a live source shows the present.
    """

    live = True
    grows = False

    def __init__(self, gpus: int, seed: int, clock: Clock) -> None:
        self.progress = Progress()
        self._fleet = Fleet(gpus, seed)
        self._gpus = self._fleet.gpus
        self._seed = seed
        self._clock = clock
        self._second = int(clock.wall())

    async def open(self) -> str:
        """See ``Source``."""
        self._second = int(self._clock.wall())
        return f"fleet-{self._seed}-{self._second}"

    async def read(self) -> list[Sample] | None:
        """Wait for the next full second and return its samples."""
        self._second = max(self._second + 1, int(self._clock.wall()))
        await self._clock.sleep(max(0.0, self._second - self._clock.wall()))
        at = self._second * MS_PER_SECOND
        readings = zip(self._gpus, self._fleet.step(), strict=True)
        samples = [Sample(gpu, at, dict(zip(METRICS, r, strict=True))) for gpu, r in readings]
        self.progress.rows_read += len(samples) * len(METRICS)
        self.progress.values_read += len(samples) * len(METRICS)
        return samples

    def mark(self) -> Mark | None:
        """The present has no place to go back to."""
        return None

    async def resume(self, mark: Mark) -> None:
        """There are no marks."""
        raise SourceError("a live fleet cannot go on where it was")

    async def leftover(self) -> list[Sample]:
        """Nothing is made ahead."""
        return []

    async def rewind(self) -> None:
        """Nothing to go back to: the present goes on."""

    async def close(self) -> None:
        """Nothing to let go of."""


def write_csv(out: BinaryIO, gpus: int, seconds: int, start: datetime, seed: int) -> None:
    """Write ``gpus * seconds * 10`` rows as DCGM exports are dumped, from ``start`` on.

    The order is time by time, metric by metric, over all GPUs. The same arguments write the same
    bytes. Holds what one second takes, however many there are.
    """
    fleet = Fleet(gpus, seed)
    frames = [[row_frame(gpu, metric) for gpu in fleet.gpus] for metric in METRICS]
    out.write(HEADER)
    for second in range(seconds):
        moment = start.astimezone(UTC) + timedelta(seconds=second)
        stamp = f'"{moment:%Y-%m-%dT%H:%M:%S}Z"'.encode()
        columns = zip(*fleet.step(), strict=True)
        for frame, values in zip(frames, columns, strict=True):
            out.write(b"".join(rows(stamp, frame, values)))


def rows(
    stamp: bytes, frame: list[tuple[bytes, bytes]], values: tuple[float, ...]
) -> Iterator[bytes]:
    """Put moment and values into one metric's row frames."""
    for (before, after), value in zip(frame, values, strict=True):
        yield b'%b%b"%b"%b' % (stamp, before, str(value).encode(), after)


def row_frame(gpu: Gpu, metric: str) -> tuple[bytes, bytes]:
    """What stands between the timestamp and the value of a row, and what follows the value."""
    labels = {
        **gpu.labels,
        "Hostname": gpu.hostname,
        "UUID": gpu.uuid,
        "__name__": metric,
        "device": gpu.device,
        "gpu": gpu.gpu_id,
        "modelName": gpu.model,
    }
    raw = ",".join(f'{name}=""{value}""' for name, value in sorted(labels.items()))
    fields = (metric, gpu.gpu_id, gpu.device, gpu.uuid, gpu.model, gpu.hostname, "", "", "")
    before = "".join(f',"{field}"' for field in fields) + ","
    return before.encode(), f',"{raw}"\n'.encode()
