"""What became of a message, put together of what the queue says and what the store has."""

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec

from api.answers import Time
from common.clock import to_rfc3339
from common.models import Sample, sample_problem
from common.storage.base import Store, TelemetryQuery

MOST_SAMPLES = 1_000
MOST_SHOWN = 20

State = Literal["accepted", "delivered", "acked", "settled", "stored", "stored_in_part", "dead"]


class TracedMessage(msgspec.Struct):
    """A message that the queue still holds; `bytes` of payload, `together_with` so many others."""

    created_at: Time
    bytes: int
    together_with: int
    key: str | None = None


class TracedLetter(msgspec.Struct):
    """Why a part of a message is in the dead-letter queue."""

    attempts: int
    reason: str
    error: str
    dead_at: Time


class TracedGroup(msgspec.Struct):
    """A group's part in it: `state` as the queue's protocol names it."""

    group: str
    state: str
    attempts: int | None = None
    reason: str | None = None
    error: str | None = None
    dead_at: str | None = None
    letters: list[TracedLetter] = []


class MissingPoint(msgspec.Struct):
    """A point of the message that the store does not have."""

    gpu_id: str
    timestamp: Time
    metric: str


class TracedPoints(msgspec.Struct):
    """What the store has of a message's points.

    `problem` says why none could be looked for. `unusable` are samples that no store takes,
    `unchecked` those that were too many to look for. `missing` are examples.
    """

    problem: str | None = None
    points: int = 0
    stored: int = 0
    unusable: int = 0
    unchecked: int = 0
    missing: Annotated[list[MissingPoint], msgspec.Meta(max_length=MOST_SHOWN)] = []


class TraceAnswer(msgspec.Struct):
    """What became of a message; `message` and `store` are null once retention has let it go."""

    id: str
    topic: str
    state: State
    message: TracedMessage | None
    groups: list[TracedGroup]
    store: TracedPoints | None


class Envelope(msgspec.Struct):
    """A batch whose samples are looked at one by one."""

    samples: list[msgspec.Raw]


class QueueTrace(msgspec.Struct):
    """What a broker says of a message."""

    id: str
    topic: str
    message: dict[str, Any] | None
    groups: list[TracedGroup]


def payload_of(message: Mapping[str, Any]) -> bytes:
    """The payload as it was produced."""
    if "payload_base64" in message:
        return base64.b64decode(message["payload_base64"])
    return str(message["payload"]).encode()


def look_for(payload: bytes) -> Callable[[Store], TracedPoints]:
    """Return the question what a store has of a message's points."""
    return lambda store: points_in(store, payload)


def points_in(store: Store, payload: bytes) -> TracedPoints:
    """Look for each point of a message; an exact one, so that the answer stays true for ever."""
    try:
        raws = msgspec.json.decode(payload, type=Envelope).samples
    except (msgspec.DecodeError, RecursionError) as error:
        return TracedPoints(problem=f"it is no batch of telemetry: {error}")
    found = TracedPoints(unchecked=max(0, len(raws) - MOST_SAMPLES), missing=[])
    for sample in samples_of(raws[:MOST_SAMPLES], found):
        wanted = set(sample.metrics)
        there = metrics_there(store, sample)
        found.points += len(wanted)
        found.stored += len(wanted & there)
        room = MOST_SHOWN - len(found.missing)
        at = to_rfc3339(sample.timestamp)
        found.missing += [
            MissingPoint(sample.gpu.id, at, name) for name in sorted(wanted - there)[:room]
        ]
    return found


def samples_of(raws: Sequence[msgspec.Raw], found: TracedPoints) -> Iterator[Sample]:
    """The samples that a store could take; the others are counted."""
    for raw in raws:
        try:
            sample = msgspec.json.decode(raw, type=Sample)
        except (msgspec.DecodeError, RecursionError):
            found.unusable += 1
            continue
        if sample_problem(sample) is None:
            yield sample
        else:
            found.unusable += 1


def metrics_there(store: Store, sample: Sample) -> set[str]:
    """Which metrics the store has of a sample's GPU at its moment."""
    at, names = sample.timestamp, tuple(sample.metrics)
    query = TelemetryQuery(sample.gpu.id, len(names), at, at, names)
    page = store.telemetry(query)
    return set() if page is None else {point.metric for point in page.points}


def state_of(groups: Sequence[TracedGroup], store: TracedPoints | None) -> State:
    """The furthest that a message has come; see docs/api.md."""
    if store is not None and store.points and store.stored == store.points and not store.unusable:
        return "stored"
    if any(group.state == "dead" or group.letters for group in groups):
        return "stored_in_part" if store is not None and store.stored else "dead"
    concerned = [group for group in groups if group.state != "before"]
    if concerned and all(group.state in ("acked", "settled") for group in concerned):
        acked = all(group.state == "acked" for group in concerned)
        return "acked" if acked else "settled"
    taken = any(group.state != "ready" or group.attempts for group in concerned)
    return "delivered" if taken else "accepted"
