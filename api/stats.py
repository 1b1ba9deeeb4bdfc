"""What the store holds as a whole."""

from fastapi import APIRouter, Response

from api.answers import Metrics, Stats, documented, send
from api.asking import Ask
from api.parameters import StrictRoute

router = APIRouter(prefix="/api/v1", tags=["Store"], route_class=StrictRoute)


@router.get("/metrics", responses=documented(Metrics))
async def list_metrics(ask: Ask) -> Response:
    """The names of all metrics."""
    return send(Metrics(await ask(lambda store: store.metrics())))


@router.get("/stats", responses=documented(Stats))
async def get_stats(ask: Ask) -> Response:
    """How many GPUs, hosts, metrics, points and samples are stored, and from when to when."""
    return send(Stats.of(await ask(lambda store: store.stats())))
