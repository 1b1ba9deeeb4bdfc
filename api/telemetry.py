"""A GPU's points."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Response

from api.answers import PointAnswer, TelemetryPage, documented, send
from api.asking import Ask
from api.gpus import GpuId, unknown_gpu
from api.parameters import (
    DEFAULT_LIMIT,
    MAX_TIME,
    Cursor,
    Limit,
    StrictRoute,
    check_limit,
    one_of,
    parse_time,
    read_cursor,
    write_cursor,
)
from common.clock import to_rfc3339
from common.errors import InvalidParameter, InvalidRequest
from common.models import EARLIEST_MS, LATEST_MS, MAX_METRICS, MAX_TEXT
from common.storage.base import Point, Position, TelemetryQuery

US_PER_MS = 1_000

router = APIRouter(prefix="/api/v1", tags=["Telemetry"], route_class=StrictRoute)

Time = Annotated[str | None, Query(max_length=MAX_TIME, description="RFC 3339; included.")]
SameTime = Annotated[str | None, Query(max_length=MAX_TIME, description="The same, other name.")]
MetricNames = Annotated[
    list[str] | None,
    Query(max_length=MAX_METRICS, description="Repeated, or separated by commas; none is all."),
]
Order = Annotated[Literal["asc", "desc"], Query(description="By time; `desc` is newest first.")]


async def time_range(
    start: Time = None, start_time: SameTime = None, end: Time = None, end_time: SameTime = None
) -> tuple[int, int]:
    """Return the range asked for in milliseconds; raises InvalidParameter if it runs backwards."""
    since = one_of("start", start, "start_time", start_time)
    until = one_of("end", end, "end_time", end_time)
    start_us = EARLIEST_MS * US_PER_MS if since is None else parse_time("start", since)
    end_us = LATEST_MS * US_PER_MS if until is None else parse_time("end", until)
    if since is not None and until is not None and start_us > end_us:
        raise InvalidParameter("start must not be after end")
    return -(-start_us // US_PER_MS), end_us // US_PER_MS


async def wanted_metrics(
    metric: MetricNames = None, metric_name: MetricNames = None
) -> tuple[str, ...]:
    """Return the names asked for, each once."""
    given = one_of("metric", metric, "metric_name", metric_name)
    if given is None:
        return ()
    names = {name.strip(): None for text in given for name in text.split(",")}
    if "" in names:
        raise InvalidRequest("metric must not be empty")
    if len(names) > MAX_METRICS or max(map(len, names)) > MAX_TEXT:
        raise InvalidParameter(
            f"at most {MAX_METRICS} metrics of {MAX_TEXT} characters can be asked for"
        )
    return tuple(names)


@router.get("/gpus/{gpu_id}/telemetry", responses=documented(TelemetryPage, not_found=True))
async def get_telemetry(
    ask: Ask,
    gpu_id: GpuId,
    times: Annotated[tuple[int, int], Depends(time_range)],
    metrics: Annotated[tuple[str, ...], Depends(wanted_metrics)],
    limit: Limit = DEFAULT_LIMIT,
    order: Order = "asc",
    cursor: Cursor = None,
) -> Response:
    """Points of a GPU by time, those of one moment by metric name.

    `limit` counts points over all metrics; `next_cursor` goes on where the page ends.
    """
    check_limit(limit, ask.max_limit)
    after = None if cursor is None else read_cursor(order, cursor, Position)
    query = TelemetryQuery(gpu_id, limit, *times, metrics, after, order == "desc")
    found = await ask(lambda store: store.telemetry(query))
    if found is None:
        raise unknown_gpu(gpu_id)
    more = None if found.next is None else write_cursor(order, found.next)
    return send(TelemetryPage(gpu_id, answers(found.points), more))


def answers(points: list[Point]) -> list[PointAnswer]:
    """Points as they are sent; a moment's text is made once for all its metrics."""
    texts = {ms: to_rfc3339(ms) for ms in {point.timestamp for point in points}}
    return [PointAnswer(texts[each.timestamp], each.metric, each.value) for each in points]
