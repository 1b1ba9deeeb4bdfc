"""What the store holds as a whole."""

import asyncio

from fastapi import APIRouter, Request, Response

from api.answers import Metrics, Stats, documented, send
from api.asking import Ask
from api.binding import StrictRoute
from api.queue import Queue

router = APIRouter(prefix="/api/v1", tags=["Store"], route_class=StrictRoute)


@router.get("/metrics", responses=documented(Metrics))
async def list_metrics(ask: Ask) -> Response:
    """The names of all metrics."""
    return send(Metrics(await ask(lambda store: store.metrics())))


@router.get("/stats", responses=documented(Stats))
async def get_stats(request: Request, ask: Ask) -> Response:
    """How much is stored, from when to when, and how much waits in the queue before it."""
    queue: Queue = request.app.state.queue
    stored, waiting = await asyncio.gather(ask(lambda store: store.stats()), queue.look())
    return send(Stats.of(stored, waiting))
