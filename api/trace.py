"""What became of one message, on its whole way."""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Path, Request, Response

from api.answers import documented, send
from api.asking import Ask, Asking
from api.binding import StrictRoute
from api.queue import Queue
from api.traced import (
    QueueTrace,
    TraceAnswer,
    TracedMessage,
    TracedPoints,
    look_for,
    payload_of,
    state_of,
)
from common.errors import BrokerUnreachable, NotFound, StoreUnavailable, Unavailable
from common.wire import parse_message_id

router = APIRouter(prefix="/api/v1", tags=["Store"], route_class=StrictRoute)

MessageId = Annotated[
    str, Path(description="The `id` that a produce answered: `broker:partition:offset`.")
]


@router.get(
    "/trace/{message_id}",
    responses=documented(TraceAnswer, NotFound, BrokerUnreachable, Unavailable),
)
async def trace_message(request: Request, ask: Ask, message_id: MessageId) -> Response:
    """How far a message has come: accepted, delivered, acked, stored, or dead and why.

    The points that it holds are looked for in the store, as long as the queue holds the message.
    """
    queue: Queue = request.app.state.queue
    traced = msgspec.convert(await queue.trace(str(parse_message_id(message_id))), QueueTrace)
    store = message = None
    if traced.message is not None:
        message = msgspec.convert(traced.message, TracedMessage)
        store = await points_of(ask, payload_of(traced.message))
    state = state_of(traced.groups, store)
    return send(TraceAnswer(traced.id, traced.topic, state, message, traced.groups, store))


async def points_of(ask: Asking, payload: bytes) -> TracedPoints:
    """What the store has of a message; a store that is down is no reason to say nothing."""
    try:
        return await ask(look_for(payload))
    except StoreUnavailable as error:
        return TracedPoints(problem=f"{error.code}: {error.message}")
