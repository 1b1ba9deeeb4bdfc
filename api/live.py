"""Points as they are stored, as an event stream."""

from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from sse_starlette import EventSourceResponse, ServerSentEvent
from sse_starlette.sse import AppStatus

from api.answers import Goodbye, documented
from api.binding import StrictRoute
from api.feed import Feed, Interest, News
from api.parameters import MAX_GPU_IDS, Name
from api.selection import wanted_metrics
from api.watch import KeyWatch
from common.errors import TelemetryError, Unauthorized
from common.http import sse
from common.models import MAX_TEXT
from common.wire import GOODBYE_EVENT

POINTS_EVENT = "points"
SEPARATOR = "\n"
STILL_HERE = "still here"

router = APIRouter(prefix="/api/v1", tags=["Telemetry"], route_class=StrictRoute)

# A stream here ends itself, with a last event; the library would cut it before that.
AppStatus.enable_automatic_graceful_drain = False

_ANSWERS = documented(News)
_ANSWERS[200] = {
    "description": "Events `points`, each with new points of one GPU, and a last `goodbye`.",
    "content": {sse.MEDIA_TYPE: {"schema": {"type": "string"}}},
}

GpuIds = Annotated[
    list[str] | None,
    Query(max_length=MAX_GPU_IDS, description="Repeated; none is all."),
]


async def interest(
    metrics: Annotated[tuple[str, ...], Depends(wanted_metrics)],
    gpu_id: GpuIds = None,
    host: Name = None,
    model: Name = None,
    namespace: Name = None,
) -> Interest:
    """Whose points a stream is about."""
    ids = frozenset(each[: MAX_TEXT + 1] for each in gpu_id or ())
    return Interest(ids, host, model, namespace, frozenset(metrics))


@router.get("/live", responses=_ANSWERS, response_class=EventSourceResponse)
async def get_live(
    request: Request, interest: Annotated[Interest, Depends(interest)]
) -> EventSourceResponse:
    """New points as an event stream (SSE), from now on.

    `event: points` has data `{"gpu_id", "points": [{"timestamp", "metric", "value"}], "skipped"}`;
    its id is the newest time in it. A point is new when it is later than all its GPU had; `skipped`
    counts those stored meanwhile that are not sent: older ones, and those over 1,000 at once. What
    was stored while nobody listened is asked for with `telemetry`. The last event is `goodbye`,
    with `{"code", "reason"}`; connect again unless the code is `UNAUTHORIZED`.
    """
    feed: Feed = request.app.state.feed
    await feed.begin()
    return EventSourceResponse(
        events(feed, interest, KeyWatch.of(request)),
        ping=request.app.state.options.heartbeat_seconds,
        ping_message_factory=still_here,
        sep=SEPARATOR,
    )


async def events(feed: Feed, wanted: Interest, watch: KeyWatch) -> AsyncIterator[bytes]:
    """The events of one stream; the last one says why it ends."""
    with feed.listening(wanted) as listener:
        yield sse.HEARTBEAT  # from here on nothing is missed
        while True:
            taken = await listener.take(feed.interval_seconds)
            try:
                watch.check()
            except Unauthorized as over:
                yield goodbye(over)
                return
            if taken:
                yield b"".join(map(encode, taken))
            if listener.end is not None:
                yield goodbye(listener.end)
                return


def still_here() -> ServerSentEvent:
    """A comment, which says that the stream lives."""
    return ServerSentEvent(comment=STILL_HERE, sep=SEPARATOR)


def encode(news: News) -> bytes:
    """One event of new points."""
    newest = news.points[-1].timestamp if news.points else ""
    return sse.encode(POINTS_EVENT, newest, msgspec.json.encode(news))


def goodbye(reason: TelemetryError) -> bytes:
    """The last event of a stream."""
    return sse.encode(GOODBYE_EVENT, "", msgspec.json.encode(Goodbye(reason.code, reason.message)))
