"""Which GPUs there are, and one of them."""

from fastapi import APIRouter, Response

from api.answers import GpuAnswer, GpuMetrics, GpuPage, documented, send
from api.asking import Ask, Asking
from api.binding import StrictRoute
from api.parameters import (
    DEFAULT_LIMIT,
    Cursor,
    Limit,
    Name,
    Offset,
    check_limit,
    check_paging,
    read_cursor,
    write_cursor,
)
from api.paths import GpuId
from common.errors import NotFound
from common.storage.base import GpuFilter

KIND = "gpus"

router = APIRouter(prefix="/api/v1", tags=["GPUs"], route_class=StrictRoute)


@router.get("/gpus", responses=documented(GpuPage))
async def list_gpus(
    ask: Ask,
    host: Name = None,
    model: Name = None,
    namespace: Name = None,
    limit: Limit = DEFAULT_LIMIT,
    offset: Offset = 0,
    cursor: Cursor = None,
) -> Response:
    """List GPUs by id, all of them or those of a host, model or namespace."""
    return send(await page(ask, GpuFilter(host, model, namespace), limit, offset, cursor))


@router.get("/gpus/{gpu_id:name}", responses=documented(GpuAnswer, NotFound))
async def get_gpu(ask: Ask, gpu_id: GpuId) -> Response:
    """One GPU: its latest identity, when it was first and last seen, how many points it has."""
    record = await ask(lambda store: store.gpu(gpu_id))
    if record is None:
        raise unknown_gpu(gpu_id)
    return send(GpuAnswer.of(record))


@router.get("/gpus/{gpu_id:name}/metrics", responses=documented(GpuMetrics, NotFound))
async def get_gpu_metrics(ask: Ask, gpu_id: GpuId) -> Response:
    """The names of the metrics that a GPU has points of."""
    names = await ask(lambda store: store.gpu_metrics(gpu_id))
    if names is None:
        raise unknown_gpu(gpu_id)
    return send(GpuMetrics(gpu_id, names))


async def page(
    ask: Asking, which: GpuFilter, limit: int, offset: int, cursor: str | None
) -> GpuPage:
    """Return one page of GPUs; raises InvalidRequest when both ways of paging are used."""
    check_limit(limit, ask.max_limit)
    check_paging(offset, cursor)
    after = "" if cursor is None else read_cursor(KIND, cursor, str)
    found = await ask(lambda store: store.gpus(which, limit + 1, after, offset))
    more = write_cursor(KIND, found[limit - 1].id) if len(found) > limit else None
    return GpuPage([GpuAnswer.of(record) for record in found[:limit]], more)


def unknown_gpu(gpu_id: str) -> NotFound:
    """The error for a GPU that the store does not know."""
    return NotFound(f"no such GPU: {gpu_id}")
