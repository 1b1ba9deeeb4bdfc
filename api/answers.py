"""The shapes of the API's answers, and how they are sent and documented."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from fastapi import Response

from common.clock import to_rfc3339
from common.errors import (
    Forbidden,
    HeadersTooLarge,
    InvalidParameter,
    InvalidRequest,
    Overloaded,
    RateLimited,
    RequestTimeout,
    StoreUnavailable,
    TelemetryError,
    Unauthorized,
)
from common.storage.base import GpuRecord, HostRecord, NamespaceRecord, Point, StoreStats

MEDIA_TYPE = "application/json"
SCHEMA_REF = "#/components/schemas/{name}"

Time = Annotated[
    str,
    msgspec.Meta(
        description="RFC 3339, UTC, milliseconds.",
        examples=["2025-07-18T20:42:34.000Z"],
        extra_json_schema={"format": "date-time"},
    ),
]
NextCursor = Annotated[
    str | None, msgspec.Meta(description="Give it as `cursor` for the next page; null at the end.")
]


class GpuAnswer(msgspec.Struct):
    """A GPU: its latest known identity, when it was first and last heard of, its points."""

    id: str
    uuid: str
    hostname: str
    gpu_id: str
    device: str
    model: str
    namespace: str
    pod: str
    container: str
    labels: dict[str, str]
    first_seen: Time
    last_seen: Time
    points: int

    @classmethod
    def of(cls, record: GpuRecord) -> "GpuAnswer":
        identity = {name: getattr(record.gpu, name) for name in record.gpu.__struct_fields__}
        first, last = to_rfc3339(record.first_seen), to_rfc3339(record.last_seen)
        return cls(record.id, **identity, first_seen=first, last_seen=last, points=record.points)


class GpuPage(msgspec.Struct):
    """GPUs by id."""

    gpus: list[GpuAnswer]
    next_cursor: NextCursor


class PointAnswer(msgspec.Struct, gc=False):
    """One metric of the GPU at one moment."""

    timestamp: Time
    metric: str
    value: float


class TelemetryPage(msgspec.Struct):
    """Points of one GPU, by time and metric."""

    gpu_id: str
    points: list[PointAnswer]
    next_cursor: NextCursor


class TelemetryFile(msgspec.Struct):
    """All points of a range of one GPU, by time and metric."""

    gpu_id: str
    points: list[PointAnswer]


class GpuMetrics(msgspec.Struct):
    """The metrics a GPU has points of, by name."""

    gpu_id: str
    metrics: list[str]


class Metrics(msgspec.Struct):
    """The metrics of all GPUs, by name."""

    metrics: list[str]


class HostAnswer(msgspec.Struct):
    """A host and how many GPUs it has."""

    host: str
    gpus: int
    last_seen: Time

    @classmethod
    def of(cls, record: HostRecord) -> "HostAnswer":
        return cls(record.host, record.gpus, to_rfc3339(record.last_seen))


class HostPage(msgspec.Struct):
    """Hosts by name."""

    hosts: list[HostAnswer]
    next_cursor: NextCursor


class NamespaceAnswer(msgspec.Struct):
    """A namespace and how many GPUs its pods hold."""

    namespace: str
    gpus: int
    last_seen: Time

    @classmethod
    def of(cls, record: NamespaceRecord) -> "NamespaceAnswer":
        return cls(record.namespace, record.gpus, to_rfc3339(record.last_seen))


class NamespacePage(msgspec.Struct):
    """Namespaces by name."""

    namespaces: list[NamespaceAnswer]
    next_cursor: NextCursor


class GroupAnswer(msgspec.Struct):
    """What a group of consumers has still to settle, and how much of it is with them now."""

    group: str
    lag: int
    in_flight: int


class QueueAnswer(msgspec.Struct):
    """How full the queue is.

    `messages` are those that some group has still to settle. `problem` says why it cannot be told,
    `missing` which brokers did not answer: what they hold is not counted.
    """

    topic: str
    problem: str | None
    messages: int | None
    bytes: int | None
    groups: list[GroupAnswer]
    missing: list[str]


class Stats(msgspec.Struct):
    """What the store holds, and the queue before it; `queue` is null for an API without one."""

    gpus: int
    hosts: int
    metrics: int
    points: int
    samples: int
    oldest: Time | None
    newest: Time | None
    queue: QueueAnswer | None

    @classmethod
    def of(cls, stats: StoreStats, queue: QueueAnswer | None) -> "Stats":
        oldest, newest = (
            None if ms is None else to_rfc3339(ms) for ms in (stats.oldest_ms, stats.newest_ms)
        )
        counts = stats.gpus, stats.hosts, stats.metrics, stats.points, stats.samples
        return cls(*counts, oldest, newest, queue)


class Accepted(msgspec.Struct):
    """The queue holds all records, as safely as its topic says; they will be in the store.

    `duplicate`: a request with this `Idempotency-Key` was stored before, and this one was not.
    """

    accepted: int
    duplicate: bool


class Goodbye(msgspec.Struct):
    """The data of a stream's last event: why it ends."""

    code: str
    reason: str


class Failure(msgspec.Struct):
    """What went wrong. `code` is stable; `message` is for people."""

    code: str
    message: str
    details: Any


class ErrorAnswer(msgspec.Struct):
    """The one shape of every error."""

    error: Failure
    request_id: str


SHAPES = (
    GpuPage,
    GpuAnswer,
    TelemetryPage,
    TelemetryFile,
    GpuMetrics,
    Metrics,
    HostPage,
    NamespacePage,
    Stats,
    Accepted,
    ErrorAnswer,
)

_ALWAYS: tuple[type[TelemetryError], ...] = (
    InvalidRequest,
    Unauthorized,
    Forbidden,
    RequestTimeout,
    HeadersTooLarge,
    InvalidParameter,
    Overloaded,
    RateLimited,
    StoreUnavailable,
)


def point_answers(points: Sequence[Point]) -> list[PointAnswer]:
    """Points as they are sent; a moment's text is made once for all its metrics."""
    texts = {ms: to_rfc3339(ms) for ms in {point.timestamp for point in points}}
    return [PointAnswer(texts[each.timestamp], each.metric, each.value) for each in points]


def send(answer: msgspec.Struct, status: int = 200) -> Response:
    """Send an answer as JSON."""
    return Response(msgspec.json.encode(answer), status, media_type=MEDIA_TYPE)


def documented(
    shape: type[msgspec.Struct], *more: type[TelemetryError], status: int = 200
) -> dict[int | str, Any]:
    """What a route can answer, as OpenAPI describes it: its shape, and the errors it may give.

    Every route may give those of `_ALWAYS`, and ``more``.
    """
    answers: dict[int | str, Any] = {status: _described(shape, shape.__doc__ or "")}
    by_status: dict[int, list[str]] = {}
    for error in (*_ALWAYS, *more):
        by_status.setdefault(error.status, []).append(f"`{error.code}`: {error.__doc__}")
    for number, words in sorted(by_status.items()):
        answers[number] = _described(ErrorAnswer, "\n\n".join(words))
    return answers


def _described(shape: type[msgspec.Struct], words: str) -> dict[str, Any]:
    schema = {"$ref": SCHEMA_REF.format(name=shape.__name__)}
    return {"description": words, "content": {MEDIA_TYPE: {"schema": schema}}}
