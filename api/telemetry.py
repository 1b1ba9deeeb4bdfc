"""A GPU's points, a page at a time."""

from fastapi import APIRouter, Response

from api.answers import TelemetryPage, documented, point_answers, send
from api.asking import Ask
from api.binding import StrictRoute
from api.gpus import unknown_gpu
from api.parameters import (
    DEFAULT_LIMIT,
    Cursor,
    FewerSkipped,
    Limit,
    check_limit,
    check_paging,
    read_cursor,
    write_cursor,
)
from api.paths import GpuId
from api.selection import Selection, Wanted
from common.errors import NotFound
from common.storage.base import Position, Store, Telemetry

SKIPPED_AT_ONCE = 10_000

router = APIRouter(prefix="/api/v1", tags=["Telemetry"], route_class=StrictRoute)


@router.get("/gpus/{gpu_id:name}/telemetry", responses=documented(TelemetryPage, NotFound))
async def get_telemetry(
    ask: Ask,
    gpu_id: GpuId,
    wanted: Wanted,
    limit: Limit = DEFAULT_LIMIT,
    offset: FewerSkipped = 0,
    cursor: Cursor = None,
) -> Response:
    """Points of a GPU by time, those of one moment by metric name.

    `limit` counts points over all metrics; `next_cursor` goes on where the page ends. `offset`
    skips up to 100,000 points; a cursor has no such bound and costs nothing.
    """
    check_limit(limit, ask.max_limit)
    check_paging(offset, cursor)
    after = None if cursor is None else read_cursor(wanted.kind, cursor, Position)
    found = await ask(lambda store: page(store, wanted, gpu_id, limit, offset, after))
    if found is None:
        raise unknown_gpu(gpu_id)
    more = None if found.next is None else write_cursor(wanted.kind, found.next)
    return send(TelemetryPage(gpu_id, point_answers(found.points), more))


def page(
    store: Store, wanted: Selection, gpu_id: str, limit: int, offset: int, after: Position | None
) -> Telemetry | None:
    """Return a page after so many points were skipped."""
    while offset:
        skipped = wanted.ask(store, gpu_id, min(offset, SKIPPED_AT_ONCE), after)
        if skipped is None or skipped.next is None:
            return skipped and Telemetry([], None)
        offset -= len(skipped.points)
        after = skipped.next
    return wanted.ask(store, gpu_id, limit, after)
