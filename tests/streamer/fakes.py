"""What the tests hand to the streamer: a clock they own, queues that record, small files."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from pydantic import SecretStr

from common.errors import Unavailable
from common.models import Batch, Gpu, Sample
from common.queue.base import Produced
from streamer.options import StreamerOptions

TOKEN = "a-token-for-the-tests"
WALL = 1_752_871_354.0
HEADER = (
    "timestamp,metric_name,gpu_id,device,uuid,modelName,Hostname,container,pod,namespace,"
    "value,labels_raw"
)


class FakeClock:
    """Stands still; a sleep moves it at once, or waits for ``advance`` when ``manual``."""

    def __init__(self, manual: bool = False) -> None:
        self.now = 0.0
        self.slept: list[float] = []
        self._manual = manual
        self._waiting: list[tuple[float, asyncio.Future[None]]] = []

    def wall(self) -> float:
        return WALL + self.now

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if self._manual:
            until: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((self.now + seconds, until))
            await until
            return
        self.now += seconds
        await asyncio.sleep(0)

    async def advance(self, seconds: float) -> None:
        self.now += seconds
        due = [future for at, future in self._waiting if at <= self.now]
        self._waiting = [(at, future) for at, future in self._waiting if at > self.now]
        for future in due:
            if not future.done():
                future.set_result(None)
        await settle()


class Recorder:
    """A producer that takes everything and remembers it."""

    def __init__(self, partitions: int = 4) -> None:
        self.sends: list[tuple[int, list[bytes], str]] = []
        self.closed = False
        self._partitions = partitions

    async def partitions(self, topic: str) -> int:
        return self._partitions

    async def send(
        self, topic: str, partition: int, payloads: Sequence[bytes], idempotency_key: str = ""
    ) -> Produced:
        self.sends.append((partition, list(payloads), idempotency_key))
        return Produced("b:0:0", topic, partition, 0, len(payloads), "fsync")

    async def close(self) -> None:
        self.closed = True

    @property
    def batches(self) -> list[Batch]:
        return [
            msgspec.json.decode(payload, type=Batch)
            for _, some, _ in self.sends
            for payload in some
        ]

    @property
    def samples(self) -> list[Sample]:
        return [sample for batch in self.batches for sample in batch.samples]


class Flaky(Recorder):
    """Fails the first ``failures`` requests with what may be repeated."""

    def __init__(self, failures: int, error: Exception | None = None) -> None:
        super().__init__()
        self.keys: list[str] = []
        self._failures = failures
        self._error = error or Unavailable("away", retry_after_seconds=2.0)

    async def send(
        self, topic: str, partition: int, payloads: Sequence[bytes], idempotency_key: str = ""
    ) -> Produced:
        self.keys.append(idempotency_key)
        if self._failures:
            self._failures -= 1
            raise self._error
        return await super().send(topic, partition, payloads, idempotency_key)


class Blocked(Recorder):
    """Takes nothing until ``gate`` is set."""

    def __init__(self, partitions: int = 1) -> None:
        super().__init__(partitions)
        self.gate = asyncio.Event()
        self.in_flight = 0
        self.most_in_flight = 0

    async def send(
        self, topic: str, partition: int, payloads: Sequence[bytes], idempotency_key: str = ""
    ) -> Produced:
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        await self.gate.wait()
        self.in_flight -= 1
        return await super().send(topic, partition, payloads, idempotency_key)


async def settle() -> None:
    """Let every task go as far as it can without time or threads."""
    for _ in range(50):
        await asyncio.sleep(0)


def options(**given: Any) -> StreamerOptions:
    return StreamerOptions(service_token=SecretStr(TOKEN), **given)


def sample(gpu: str, second: int = 0, **metrics: float) -> Sample:
    at = int(WALL + second) * 1000
    return Sample(Gpu(uuid=gpu, hostname="host-0"), at, metrics or {"power": 1.0})


def row(
    uuid: str = "GPU-a",
    metric: str = "power",
    value: str = "1.5",
    stamp: str = "2025-07-18T20:42:34Z",
    **fields: str,
) -> str:
    """One row as the exporter's dump quotes it; labels_raw is given with doubled quotes."""
    texts = [
        stamp,
        metric,
        fields.get("gpu_id", "0"),
        "nvidia0",
        uuid,
        "H100",
        fields.get("host", "host-0"),
        "",
        fields.get("pod", ""),
        "",
        value,
        fields.get("labels", f'DCGM_FI_DRIVER_VERSION=""535"",UUID=""{uuid}"",job=""x""'),
    ]
    return ",".join(f'"{text}"' for text in texts)


def write_file(path: Path, *lines: str | bytes, end: bytes = b"\n") -> Path:
    """Write the header and these lines; text is encoded as UTF-8."""
    all_lines = [line.encode() if isinstance(line, str) else line for line in (HEADER, *lines)]
    path.write_bytes(b"".join(line + end for line in all_lines))
    return path
