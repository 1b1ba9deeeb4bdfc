"""Where GPUs are: hosts and namespaces."""

from fastapi import APIRouter, Response

from api.answers import (
    GpuPage,
    HostAnswer,
    HostPage,
    NamespaceAnswer,
    NamespacePage,
    documented,
    send,
)
from api.asking import Ask
from api.binding import StrictRoute
from api.gpus import page
from api.parameters import (
    DEFAULT_LIMIT,
    Cursor,
    FewerSkipped,
    Limit,
    Offset,
    check_limit,
    check_paging,
    read_cursor,
    write_cursor,
)
from api.paths import HostName
from common.errors import NotFound
from common.storage.base import GpuFilter

HOSTS, NAMESPACES = "hosts", "namespaces"

router = APIRouter(prefix="/api/v1", tags=["Hosts"], route_class=StrictRoute)


@router.get("/hosts", responses=documented(HostPage))
async def list_hosts(
    ask: Ask, limit: Limit = DEFAULT_LIMIT, offset: FewerSkipped = 0, cursor: Cursor = None
) -> Response:
    """List hosts by name, each with the number of its GPUs."""
    check_limit(limit, ask.max_limit)
    check_paging(offset, cursor)
    after = "" if cursor is None else read_cursor(HOSTS, cursor, str)
    found = (await ask(lambda store: store.hosts(offset + limit + 1, after)))[offset:]
    more = write_cursor(HOSTS, found[limit - 1].host) if len(found) > limit else None
    return send(HostPage([HostAnswer.of(record) for record in found[:limit]], more))


@router.get("/hosts/{host:name}/gpus", responses=documented(GpuPage, NotFound))
async def list_host_gpus(
    ask: Ask,
    host: HostName,
    limit: Limit = DEFAULT_LIMIT,
    offset: Offset = 0,
    cursor: Cursor = None,
) -> Response:
    """List the GPUs of one host by id."""
    which = GpuFilter(host=host)
    found = await page(ask, which, limit, offset, cursor)
    if not found.gpus and not await ask(lambda store: store.gpus(which, 1)):
        raise NotFound(f"no such host: {host}")
    return send(found)


@router.get("/namespaces", responses=documented(NamespacePage))
async def list_namespaces(
    ask: Ask, limit: Limit = DEFAULT_LIMIT, offset: FewerSkipped = 0, cursor: Cursor = None
) -> Response:
    """List namespaces by name, each with the number of its GPUs."""
    check_limit(limit, ask.max_limit)
    check_paging(offset, cursor)
    after = "" if cursor is None else read_cursor(NAMESPACES, cursor, str)
    found = (await ask(lambda store: store.namespaces(offset + limit + 1, after)))[offset:]
    more = write_cursor(NAMESPACES, found[limit - 1].namespace) if len(found) > limit else None
    return send(NamespacePage([NamespaceAnswer.of(record) for record in found[:limit]], more))
