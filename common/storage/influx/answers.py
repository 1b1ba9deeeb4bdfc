"""What InfluxDB's answers mean for whoever writes or asks."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from influxdb_client.client.exceptions import InfluxDBError
from influxdb_client.rest import ApiException
from urllib3.exceptions import HTTPError

from common.errors import StoreUnavailable
from common.storage.answers import MAX_WORDS, retry_after
from common.storage.base import StoreRefused, WriteRefused

MALFORMED, NOT_FOUND, TOO_LARGE, PARTLY_REFUSED, TOO_MANY = 400, 404, 413, 422, 429
REFUSED_WRITES = (MALFORMED, PARTLY_REFUSED)


class ServerError(msgspec.Struct):
    """How the server says what is wrong."""

    code: str
    message: str


@contextmanager
def failures(where: str, *, writing: bool = False) -> Iterator[None]:
    """Turn whatever the server or the network says into an error of the store's interface."""
    try:
        yield
    except ApiException as error:
        raise _meaning(where, error, writing=writing) from error
    except InfluxDBError as error:  # the client's own: it may not see the organisation
        raise StoreRefused(f"{where}: {error}") from error
    except (HTTPError, OSError) as error:
        raise StoreUnavailable(f"{where} does not answer: {error}") from error


@contextmanager
def tables(where: str) -> Iterator[None]:
    """Turn an answer that is not the table it should be into StoreUnavailable."""
    try:
        yield
    except (ValueError, LookupError, csv.Error, msgspec.MsgspecError) as error:
        raise StoreUnavailable(f"{where} answered no table: {error}") from error


def _meaning(where: str, error: ApiException, *, writing: bool) -> Exception:
    status = error.status or 0
    if not status:  # no answer at all: the client says so of TLS
        return StoreRefused(f"{where} cannot be trusted: {error.reason}"[:MAX_WORDS])
    said = _server_error(error.body)
    words = f"{where} answered {status}: {said.message if said else _as_text(error)}"
    if writing and (status == TOO_LARGE or (said and status in REFUSED_WRITES)):
        return WriteRefused(words[:MAX_WORDS])
    if status == TOO_MANY or status >= 500:
        wait = retry_after(error.headers)
        return StoreUnavailable(words[:MAX_WORDS], retry_after_seconds=wait)
    return StoreRefused(words[:MAX_WORDS])


def _server_error(body: Any) -> ServerError | None:
    try:
        return msgspec.json.decode(body or b"", type=ServerError)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _as_text(error: ApiException) -> str:
    body = error.body or b""
    text = body.decode(errors="replace") if isinstance(body, bytes) else str(body)
    return " ".join(text.split()) or str(error.reason)
