"""One partition's way out: samples are gathered, encoded once, and sent in order."""

from typing import NamedTuple

import msgspec
import xxhash

from common.clock import Clock
from common.models import Batch, Sample
from common.queue.base import Producer
from streamer.buffer import Buffer, Parcel
from streamer.retry import Retry

MS_PER_SECOND = 1000
MAX_BATCHES_PER_SEND = 64
MAX_BYTES_PER_SEND = 1 << 20


class Outlet(NamedTuple):
    """Where all lanes of a streamer lead, and how they fill: shared by all of them."""

    producer: Producer
    topic: str
    partitions: int
    instance_id: str
    content: str
    batch_size: int
    linger_seconds: float
    buffer_batches: int


class Lane:
    """Gathers the samples of one partition and sends them, one send in flight.

    A batch's id says which samples it holds: streamer, content, pass, partition, and the first and
    last of the partition's samples in that pass. The same batch has the same id after a restart,
    and a batch that was cut elsewhere has another.
    """

    def __init__(self, outlet: Outlet, partition: int, clock: Clock, retry: Retry) -> None:
        self.points_published = 0
        self.buffer = Buffer(outlet.buffer_batches)
        self._outlet = outlet
        self._partition = partition
        self._clock = clock
        self._retry = retry
        self._encoder = msgspec.json.Encoder()
        self._samples: list[Sample] = []
        self._since = 0.0
        self._pass = 0
        self._position = 0

    def begin_pass(self, number: int) -> None:
        """Count positions anew; the lane was flushed before."""
        self._pass, self._position = number, 0

    def gather(self, sample: Sample) -> bool:
        """Add a sample, and say whether the batch is full and must be flushed."""
        if not self._samples:
            self._since = self._clock.monotonic()
        self._samples.append(sample)
        return len(self._samples) >= self._outlet.batch_size

    def due_seconds(self) -> float | None:
        """Return how long the samples gathered may still wait, None when there are none."""
        if not self._samples:
            return None
        return self._since + self._outlet.linger_seconds - self._clock.monotonic()

    async def flush(self) -> None:
        """Put what is gathered into the buffer, when there is room."""
        if self._samples:
            await self.buffer.put(self._seal())

    async def send_for_ever(self) -> None:
        """Send what the buffer holds; raises what the queue will never take."""
        while True:
            await self._send(await self.buffer.peek(MAX_BATCHES_PER_SEND, MAX_BYTES_PER_SEND))

    async def _send(self, parcels: list[Parcel]) -> None:
        outlet = self._outlet
        payloads = [parcel.payload for parcel in parcels]
        key = idempotency_key(parcels)
        await self._retry.call(
            f"partition {self._partition}",
            lambda: outlet.producer.send(outlet.topic, self._partition, payloads, key),
        )
        self.points_published += sum(parcel.points for parcel in parcels)
        await self.buffer.drop(len(parcels))

    def _seal(self) -> Parcel:
        samples, self._samples = self._samples, []
        outlet, first = self._outlet, self._position
        self._position += len(samples)
        batch = Batch(
            batch_id=f"{outlet.instance_id}/{outlet.content}/{self._pass}"
            f"/{self._partition}-of-{outlet.partitions}/{first}-{self._position - 1}",
            source=outlet.instance_id,
            collected_at=int(self._clock.wall() * MS_PER_SECOND),
            samples=samples,
        )
        points = sum(len(sample.metrics) for sample in samples)
        return Parcel(batch.batch_id, self._encoder.encode(batch), points)


def idempotency_key(parcels: list[Parcel]) -> str:
    """Name a send by what is in it: 32 hex digits."""
    return xxhash.xxh3_128_hexdigest("\n".join(parcel.batch_id for parcel in parcels).encode())
