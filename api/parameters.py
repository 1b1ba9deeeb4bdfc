"""What a caller may put into a query: strict, and the same on every route."""

import base64
import binascii
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import Query, Request, Response
from fastapi.exceptions import RequestValidationError

from common.errors import InvalidParameter, InvalidRequest
from common.models import MAX_TEXT

T = TypeVar("T")

DEFAULT_LIMIT = 100
MAX_CURSOR = 2_000
MAX_TIME = 64
MAX_OFFSET = 1_000_000_000
MAX_SKIPPED = 100_000
MAX_GPU_IDS = 50

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)
# A "+" that was not escaped arrives as a space; nothing else can be meant by it there.
_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d(?:\.\d{1,9})?)([Zz]|([+\- ])(\d\d:\d\d))", re.ASCII
)
_OUT_OF_BOUNDS = frozenset(
    {"greater_than_equal", "less_than_equal", "string_too_long", "too_long", "literal_error"}
)

Name = Annotated[str | None, Query(max_length=MAX_TEXT)]
Limit = Annotated[
    int, Query(ge=1, description="Most entries in the answer; the service has a maximum.")
]
Offset = Annotated[int, Query(ge=0, le=MAX_OFFSET, description="Entries to skip.")]
FewerSkipped = Annotated[int, Query(ge=0, le=MAX_SKIPPED, description="Entries to skip.")]
Cursor = Annotated[
    str | None,
    Query(max_length=MAX_CURSOR, description="`next_cursor` of the page before, as it was given."),
]


async def refuse_parameters(request: Request, error: Exception) -> Response:
    """Put what FastAPI found wrong with a parameter into the one error shape."""
    if not isinstance(error, RequestValidationError):
        raise error
    problems = [
        {"parameter": str(found["loc"][-1]), "problem": found["msg"]} for found in error.errors()
    ]
    words = "; ".join(f"{each['parameter']}: {each['problem']}" for each in problems)
    if all(found["type"] in _OUT_OF_BOUNDS for found in error.errors()):
        raise InvalidParameter(words, details=problems)
    raise InvalidRequest(words, details=problems)


def check_limit(limit: int, max_limit: int) -> int:
    """Return ``limit``; raises InvalidParameter above the service's maximum."""
    if limit > max_limit:
        raise InvalidParameter(f"limit must be {max_limit} or less")
    return limit


def check_paging(offset: int, cursor: str | None) -> None:
    """Raise InvalidRequest when both ways of paging are used."""
    if cursor is not None and offset:
        raise InvalidRequest("give cursor or offset, not both")


def one_of(name: str, value: T | None, other_name: str, other: T | None) -> T | None:
    """Return a parameter that has two names; raises InvalidRequest when both are given."""
    if value is not None and other is not None:
        raise InvalidRequest(f"{name} and {other_name} are the same parameter; give one")
    return other if value is None else value


def parse_time(name: str, text: str) -> int:
    """Return an RFC 3339 time in microseconds since 1970 UTC.

    Raises InvalidRequest for anything else.
    """
    found = _RFC3339.fullmatch(text)
    if found is None:
        raise InvalidRequest(f"{name} must be an RFC 3339 time such as 2025-07-18T20:42:34Z")
    day, clock, _, sign, shift = found.groups()
    zone = f"{sign.replace(' ', '+')}{shift}" if sign else "+00:00"
    try:
        since = datetime.fromisoformat(f"{day}T{clock}{zone}") - _EPOCH
    except ValueError as error:
        raise InvalidRequest(f"{name} is no moment: {error}") from error
    return since // _US


def write_cursor(kind: str, place: Any) -> str:
    """Return the text of a cursor: where the next page of ``kind`` begins."""
    return base64.urlsafe_b64encode(msgspec.json.encode([kind, place])).rstrip(b"=").decode()


def read_cursor(kind: str, text: str, shape: type[T]) -> T:
    """Return the place a cursor names; raises InvalidRequest for one not from this route."""
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        raw = base64.b64decode(padded, altchars=b"-_", validate=True)
        given, place = msgspec.json.decode(raw, type=tuple[str, msgspec.Raw])
        found = msgspec.json.decode(place, type=shape)
    except (binascii.Error, ValueError, RecursionError) as error:
        raise InvalidRequest("cursor is not one that this service gave") from error
    if given != kind:
        raise InvalidRequest("cursor belongs to another question")
    return found
