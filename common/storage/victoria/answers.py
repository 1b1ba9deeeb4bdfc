"""What VictoriaMetrics' answers mean for whoever writes or asks."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn
from urllib.parse import urlsplit

import msgspec
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError, SSLError

from common.errors import StoreUnavailable
from common.storage.answers import MAX_WORDS, retry_after
from common.storage.base import StoreRefused, WriteRefused

TOO_LARGE, UNANSWERABLE, TOO_MANY = 413, 422, 429


@contextmanager
def failures(where: str) -> Iterator[None]:
    """Turn whatever the network says into an error of the store's interface."""
    try:
        yield
    except SSLError as error:
        raise StoreRefused(f"{where} cannot be trusted: {error}"[:MAX_WORDS]) from error
    except (HTTPError, OSError) as error:
        raise StoreUnavailable(f"{where} does not answer: {error}"[:MAX_WORDS]) from error


@contextmanager
def understood(where: str) -> Iterator[None]:
    """Turn an answer that is not what it should be into StoreUnavailable."""
    try:
        yield
    except (ValueError, LookupError, msgspec.MsgspecError) as error:
        raise StoreUnavailable(f"{where} answered no series: {error}") from error


def raise_for(
    where: str, url: str, answer: BaseHTTPResponse, body: bytes, *, writing: bool = False
) -> NoReturn:
    """Raise what an answer without success means.

    The server refuses no point for what it is: a write is only ever refused for its size.
    """
    status = answer.status
    said = " ".join(body.decode(errors="replace").split())
    words = f"{where} answered {status} to {urlsplit(url).path}: {said}"
    if writing and status == TOO_LARGE:
        raise WriteRefused(words[:MAX_WORDS])
    if status in (UNANSWERABLE, TOO_MANY) or status >= 500:
        raise StoreUnavailable(words[:MAX_WORDS], retry_after_seconds=retry_after(answer.headers))
    raise StoreRefused(words[:MAX_WORDS])
