"""The API's way to the queue: telemetry that was posted goes in, and how full it is comes out."""

import asyncio
import hashlib
import secrets
from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec

from api.answers import GroupAnswer, QueueAnswer
from common import logs
from common.clock import Clock
from common.errors import NotFound, TelemetryError, Unavailable
from common.http.tls import client_context
from common.models import Batch, Sample
from common.queue.address import QueueAddress
from common.queue.base import Producer
from common.queue.factory import open_producer
from common.queue.http import open_session, request
from common.wire import partition_for

log = logs.get("queue")

ASK_SECONDS = 5.0
COUNT_SECONDS = 60.0
MS_PER_SECOND = 1_000
SOURCE = "api"
NO_QUEUE = "this API has no queue; set QUEUE_URL"
OTHER_ENGINE = "this queue is not of our own brokers: its own tools show what is in it"


class Queue:
    """One topic of the queue. Opened by ``start``, since its sessions belong to a loop.

    How full it is our own brokers tell; another engine has tools of its own for that.
    """

    def __init__(self, where: QueueAddress, topic: str, clock: Clock) -> None:
        self.topic = topic
        self._where = where
        self._clock = clock
        self._producer: Producer | None = None
        self._session: aiohttp.ClientSession | None = None
        self._count = 0
        self._count_until = 0.0

    async def start(self) -> None:
        """Open sessions; nothing is asked yet."""
        where = self._where
        if not where.url:
            return
        self._producer = open_producer(where, self._clock)
        if where.engine is None:
            tls = client_context(where.tls_ca_file)
            self._session = open_session(where.url, where.token, ASK_SECONDS, tls)

    async def stop(self) -> None:
        """Close them."""
        if self._producer is not None:
            await self._producer.close()
        if self._session is not None:
            await self._session.close()

    async def send(self, samples: Sequence[Sample], key_id: str, idempotency_key: str) -> bool:
        """Store samples, each GPU's in its partition; True when they were there before.

        Raises what the queue answers; some partitions may hold theirs then. With an idempotency
        key a repeat stores each once. Such a key is one API key's own.
        """
        if self._producer is None:
            raise Unavailable(NO_QUEUE)
        name = request_name(key_id, idempotency_key)
        try:
            count = await self._partitions(self._producer)
            sends = [
                self._producer.send(
                    self.topic, partition, [self._batch(part, name)], f"{name}:{partition}"
                )
                for partition, part in by_partition(samples, count).items()
            ]
            produced = await asyncio.gather(*sends, return_exceptions=True)
        except TelemetryError as error:
            raise as_ours(error) from error
        for each in produced:
            if isinstance(each, TelemetryError):
                raise as_ours(each) from each
            if isinstance(each, BaseException):
                raise each
        return all(not isinstance(each, BaseException) and each.duplicate for each in produced)

    async def look(self) -> QueueAnswer | None:
        """How full the topic is; None without a queue. What keeps it from answering is told."""
        if self._producer is None:
            return None
        if self._session is None:
            return QueueAnswer(self.topic, OTHER_ENGINE, None, None, [], [])
        where = {"topic": self.topic}
        try:
            topics, groups = await asyncio.gather(
                request(self._session, "GET", "/topics"),
                request(self._session, "GET", "/groups", params=where),
            )
        except TelemetryError as error:
            return QueueAnswer(self.topic, f"{error.code}: {error.message}", None, None, [], [])
        return summary(self.topic, topics, groups)

    async def trace(self, message_id: str) -> Any:
        """What the broker of a message says of it, its payload included; raises NotFound."""
        if self._session is None:
            raise Unavailable(NO_QUEUE if self._producer is None else OTHER_ENGINE)
        where = {"topic": self.topic, "payload": "true"}
        path = f"/trace/{quote(message_id, safe=':')}"
        try:
            return await request(self._session, "GET", path, params=where)
        except NotFound:
            raise
        except TelemetryError as error:
            raise as_ours(error) from error

    async def _partitions(self, producer: Producer) -> int:
        """The topic's count, asked again after a while: it may grow."""
        if self._clock.monotonic() >= self._count_until:
            self._count = await producer.partitions(self.topic)
            self._count_until = self._clock.monotonic() + COUNT_SECONDS
        return self._count

    def _batch(self, samples: list[Sample], name: str) -> bytes:
        now_ms = int(self._clock.wall() * MS_PER_SECOND)
        return msgspec.json.encode(Batch(name, SOURCE, now_ms, samples))


def request_name(key_id: str, idempotency_key: str) -> str:
    """What names a request to the brokers: the caller's name for it, in a space of its own."""
    if not idempotency_key:
        return f"{SOURCE}-{secrets.token_hex(16)}"
    digest = hashlib.sha256(f"{key_id}\n{idempotency_key}".encode()).hexdigest()
    return f"{SOURCE}-{digest[:32]}"


def by_partition(samples: Sequence[Sample], count: int) -> dict[int, list[Sample]]:
    """Samples by the partition of their GPU, in order."""
    found: dict[int, list[Sample]] = defaultdict(list)
    for sample in samples:
        found[partition_for(sample.gpu.id, count)].append(sample)
    return found


def as_ours(error: TelemetryError) -> TelemetryError:
    """What a caller is told of an error of the queue: a 401 there is not theirs to mend."""
    if error.retry_after_seconds is not None:
        return error
    log.error("the queue refuses what this API sends", code=error.code, reason=error.message)
    return Unavailable("the queue refuses what this API sends; the log has the reason")


def summary(topic: str, topics: Any, groups: Any) -> QueueAnswer:
    """Add up what the brokers say of a topic and its groups."""
    parts = [
        part for row in topics["topics"] if row["topic"] == topic for part in row["partitions"]
    ]
    sums: dict[str, list[int]] = {}
    for row in groups["groups"]:
        lag_in_flight = sums.setdefault(row["group"], [0, 0])
        lag_in_flight[0] += row["lag"]
        lag_in_flight[1] += row["in_flight"]
    return QueueAnswer(
        topic,
        None,
        sum(part["depth"] for part in parts),
        sum(part["bytes"] for part in parts),
        [GroupAnswer(name, *each) for name, each in sorted(sums.items())],
        sorted({*topics["missing"], *groups["missing"]}),
    )
