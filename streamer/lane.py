"""One partition's way out: samples are gathered, encoded once, and sent in order."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec
import xxhash

from common.clock import Clock
from common.models import Batch, Sample
from common.queue.base import Producer
from streamer.buffer import Buffer, Parcel
from streamer.retry import Retry
from streamer.selection import points_of

MS_PER_SECOND = 1000
MAX_BATCHES_PER_SEND = 64
MAX_BYTES_PER_SEND = 960_000  # one request of Kafka's client, which takes 1,000,000 and frames
MAX_BATCH_BYTES = 8 << 20  # half of what a broker takes unless told otherwise
BUFFER_BYTES = 16 << 20


class Outlet(NamedTuple):
    """Where all lanes of a streamer lead, and how they fill: shared by all of them.

    ``buffer_bytes`` is for each partition; ``workers`` bounds the sends in flight of all.
    """

    producer: Producer
    topic: str
    partitions: int
    instance_id: str
    content: str
    batch_size: int
    linger_seconds: float
    buffer_batches: int
    buffer_bytes: int = BUFFER_BYTES
    batches_per_send: int = MAX_BATCHES_PER_SEND
    workers: asyncio.Semaphore | None = None


class Lane:
    """Gathers the samples of one partition and sends them, one send in flight.

    A batch's id says which samples it holds: streamer, content, pass, partition, and the first and
    last of the partition's samples in that pass. It ends where that position is a multiple of the
    batch size, so wherever a restart begins, the batches after the first are the same again, with
    the same ids. A batch that was cut elsewhere has another.
    """

    def __init__(self, outlet: Outlet, partition: int, clock: Clock, retry: Retry) -> None:
        self.points_published = 0
        self.buffer = Buffer(outlet.buffer_batches, outlet.buffer_bytes)
        self._outlet = outlet
        self._partition = partition
        self._clock = clock
        self._retry = retry
        self._encoder = msgspec.json.Encoder()
        self._samples: list[Sample] = []
        self._since = 0.0
        self._pass = 0
        self._sealed = 0  # samples of this pass that are in batches
        self._sealed_ever = 0  # and of every pass since the start
        self._room = outlet.batch_size
        self._sealing = asyncio.Lock()  # batches enter the buffer in the order they were cut

    @property
    def position(self) -> int:
        """The partition's samples of this pass so far."""
        return self._sealed + len(self._samples)

    @property
    def gathered(self) -> int:
        """The partition's samples since the start."""
        return self._sealed_ever + len(self._samples)

    def begin_pass(self, number: int, position: int = 0) -> None:
        """Count positions anew, or on from where a checkpoint was; the lane was flushed before."""
        self._pass, self._sealed = number, position
        self._room = self._outlet.batch_size - position % self._outlet.batch_size

    def gather(self, samples: Sequence[Sample]) -> bool:
        """Add samples, and say whether there is a full batch to be flushed."""
        if not self._samples:
            self._since = self._clock.monotonic()
        self._samples += samples
        return len(self._samples) >= self._room

    def due_seconds(self) -> float | None:
        """Return how long the samples gathered may still wait, None when there are none."""
        if not self._samples:
            return None
        return self._since + self._outlet.linger_seconds - self._clock.monotonic()

    async def flush(self, partial: bool = True) -> None:
        """Put what is gathered into the buffer, when there is room; else only full batches."""
        async with self._sealing:
            while self._samples if partial else len(self._samples) >= self._room:
                for parcel in self._seal():
                    await self.buffer.put(parcel)

    async def send_for_ever(self) -> None:
        """Send what the buffer holds; raises what the queue will never take."""
        most = self._outlet.batches_per_send
        while True:
            await self._send(await self.buffer.peek(most, MAX_BYTES_PER_SEND))

    async def _send(self, parcels: list[Parcel]) -> None:
        payloads = [parcel.payload for parcel in parcels]
        key = idempotency_key(parcels)
        await self._retry.call(f"partition {self._partition}", lambda: self._produce(payloads, key))
        self.points_published += sum(parcel.points for parcel in parcels)
        await self.buffer.drop(len(parcels))

    async def _produce(self, payloads: list[bytes], key: str) -> None:
        outlet = self._outlet
        if outlet.workers is None:
            await outlet.producer.send(outlet.topic, self._partition, payloads, key)
            return
        async with outlet.workers:
            await outlet.producer.send(outlet.topic, self._partition, payloads, key)

    def _seal(self) -> list[Parcel]:
        """Cut the next batch; at most one, up to where it must end."""
        samples, self._samples = self._samples[: self._room], self._samples[self._room :]
        first, self._sealed = self._sealed, self._sealed + len(samples)
        self._sealed_ever += len(samples)
        self._room = self._outlet.batch_size - self._sealed % self._outlet.batch_size
        return list(self._encode(samples, first, self._sealed_ever))

    def _encode(self, samples: list[Sample], first: int, end: int) -> Iterator[Parcel]:
        """Encode samples from a position on as a batch, or as halves while that is too large."""
        outlet, last = self._outlet, first + len(samples) - 1
        batch = Batch(
            batch_id=f"{outlet.instance_id}/{outlet.content}/{self._pass}"
            f"/{self._partition}-of-{outlet.partitions}/{first}-{last}",
            source=outlet.instance_id,
            collected_at=int(self._clock.wall() * MS_PER_SECOND),
            samples=samples,
        )
        payload = self._encoder.encode(batch)
        if len(payload) <= MAX_BATCH_BYTES or len(samples) == 1:
            yield Parcel(batch.batch_id, payload, points_of(samples), end)
            return
        half = len(samples) // 2
        yield from self._encode(samples[:half], first, end - len(samples) + half)
        yield from self._encode(samples[half:], first + half, end)


def idempotency_key(parcels: list[Parcel]) -> str:
    """Name a send by what is in it: 32 hex digits."""
    return xxhash.xxh3_128_hexdigest("\n".join(parcel.batch_id for parcel in parcels).encode())
