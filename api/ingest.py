"""Telemetry that is posted: into the queue, the same way as all other."""

import asyncio
import re
from typing import Any

from fastapi import APIRouter, Request, Response

from api.answers import MEDIA_TYPE, SCHEMA_REF, Accepted, documented, send
from api.binding import StrictRoute
from api.queue import Queue
from api.records import Record, read_records, to_samples
from common.clock import Clock
from common.errors import (
    BrokerUnreachable,
    InvalidRequest,
    TooLarge,
    UnsupportedEncoding,
)
from common.http.body import header, read_body
from common.keys import Key
from common.models import Sample

NDJSON = b"application/x-ndjson"
MS_PER_SECOND = 1_000

router = APIRouter(tags=["Telemetry"], route_class=StrictRoute)

_KEY = re.compile(rb"[\x20-\x7e]{1,256}")
_RECORD = {"$ref": SCHEMA_REF.format(name=Record.__name__)}
_LIST = {"type": "array", "items": _RECORD, "minItems": 1}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            MEDIA_TYPE: {"schema": {"anyOf": [_RECORD, _LIST]}},
            NDJSON.decode(): {"schema": {"type": "string"}},
        },
    },
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "schema": {"type": "string", "minLength": 1, "maxLength": 256},
            "description": "Names the request: sent again with it, it is stored once.",
        }
    ],
}
_ANSWERS = documented(Accepted, TooLarge, UnsupportedEncoding, BrokerUnreachable, status=202)


@router.post("/telemetry", responses=_ANSWERS, openapi_extra=_BODY, status_code=202)
@router.post("/api/v1/telemetry", responses=_ANSWERS, openapi_extra=_BODY, status_code=202)
async def post_telemetry(request: Request) -> Response:
    """Store records: one, a list, or one a line (`application/x-ndjson`); gzip and zstd are taken.

    All are taken or none. When this answers, the queue has them as safely as its topic says, and
    collectors bring them to the store. On an error of 503 some may have been taken: send the same
    again, with the same `Idempotency-Key` if records have no `time`.
    """
    queue: Queue = request.app.state.queue
    clock: Clock = request.app.state.clock
    key: Key = request.scope["api_key"]
    idempotency_key = read_idempotency_key(request)
    body = await read_body(request.scope, request.receive, request.app.state.options.max_body_bytes)
    a_line_each = (header(request.scope, b"content-type") or b"").split(b";")[0].strip() == NDJSON
    now_ms = int(clock.wall() * MS_PER_SECOND)
    samples = await asyncio.to_thread(understand, body, a_line_each, now_ms)
    duplicate = await queue.send(samples, key.id, idempotency_key)
    return send(Accepted(sum(len(sample.metrics) for sample in samples), duplicate), 202)


def understand(body: bytes, a_line_each: bool, now_ms: int) -> list[Sample]:
    """The samples of a body; takes a while when it is large."""
    return to_samples(read_records(body, a_line_each), now_ms)


def read_idempotency_key(request: Request) -> str:
    """Return the header, empty without one; raises InvalidRequest for what is no such key."""
    found = header(request.scope, b"idempotency-key")
    if found is None:
        return ""
    if not _KEY.fullmatch(found):
        raise InvalidRequest("Idempotency-Key must be 1 to 256 printable ASCII characters")
    return found.decode()
