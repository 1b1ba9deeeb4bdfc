"""A GPU's points as a file, however many they are."""

import re
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query, Request

from api.answers import TelemetryFile, documented
from api.binding import StrictRoute
from api.exports import AllExports, ExportResponse, Exports
from api.formats import Format, FormatName, open_format
from api.gpus import unknown_gpu
from api.paths import GpuId
from api.selection import Selection, Wanted
from api.watch import KeyWatch
from common.errors import NotFound
from common.storage.base import Position, Store

PAGE_POINTS = 2_000
MAX_FILE_NAME = 100

router = APIRouter(prefix="/api/v1", tags=["Telemetry"], route_class=StrictRoute)

_ANSWERS = documented(TelemetryFile, NotFound)
_ANSWERS[200]["content"]["text/csv"] = {"schema": {"type": "string"}}


@router.get("/gpus/{gpu_id:name}/telemetry/export", responses=_ANSWERS)
async def export_telemetry(
    request: Request,
    exports: AllExports,
    gpu_id: GpuId,
    wanted: Wanted,
    format: Annotated[FormatName, Query(description="The file's format.")] = "csv",  # noqa: A002
) -> ExportResponse:
    """All points of a GPU in a range, as a file that is sent while it is read.

    Values have every digit. CSV cells that a sheet would take for a formula begin with `'`. An
    answer that breaks off has no last chunk: clients tell it from a whole one.
    """
    exports.begin()
    try:
        file = Export(exports, gpu_id, wanted, open_format(format, gpu_id))
        await file.read_first()
    except BaseException:
        exports.end()
        raise
    return ExportResponse(
        exports,
        file.pieces(KeyWatch.of(request)),
        media_type=file.format.media_type,
        headers={"content-disposition": f'attachment; filename="{file_name(gpu_id, format)}"'},
    )


class Export:
    """Reads and writes a page at a time; never holds more than one."""

    def __init__(self, exports: Exports, gpu_id: str, wanted: Selection, format_: Format) -> None:
        self.format = format_
        self._exports = exports
        self._gpu_id = gpu_id
        self._wanted = wanted
        self._after: Position | None = None
        self._first = b""

    async def read_first(self) -> None:
        """Read the first page, so that what cannot be answered is an error and not a file."""
        self._first = await self._exports.page(self._page)

    async def pieces(self, watch: KeyWatch) -> AsyncIterator[bytes]:
        """The file, in pieces; raises Unauthorized when the key is revoked meanwhile."""
        yield self.format.begin() + self._first
        while self._after is not None:
            watch.check()
            yield await self._exports.page(self._page)
        yield self.format.end()

    def _page(self, store: Store) -> bytes:
        """The next page as it is sent; runs in a thread of the store's."""
        found = self._wanted.ask(store, self._gpu_id, PAGE_POINTS, self._after)
        if found is None:
            raise unknown_gpu(self._gpu_id)
        self._after = found.next
        return self.format.page(found.points)


def file_name(gpu_id: str, format_: FormatName) -> str:
    """A name for the file that is safe in a header and on a disk."""
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", gpu_id)[:MAX_FILE_NAME]
    return f"telemetry-{safe}.{format_}"
