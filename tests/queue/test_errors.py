"""Error answers become the errors they were; nonsense becomes a reason to try again."""

import msgspec
import pytest

from common.errors import BrokerUnreachable, TelemetryError, all_errors
from common.http.answers import error_body, error_headers
from common.queue.http import as_error


@pytest.mark.parametrize("kind", all_errors())
def test_every_error_survives_the_wire(kind: type[TelemetryError]) -> None:
    sent = kind("why", details={"a": "b"})
    header = dict(error_headers(sent)).get(b"retry-after")
    body = msgspec.json.encode(error_body(sent, "id"))
    found = as_error(sent.status, body, header.decode() if header else None)
    assert type(found) is kind
    assert (found.message, found.details) == ("why", {"a": "b"})
    assert found.retry_after_seconds == sent.retry_after_seconds


def test_the_wait_that_was_asked_for_is_kept() -> None:
    body = msgspec.json.encode(error_body(BrokerUnreachable("why"), "id"))
    assert as_error(503, body, "17").retry_after_seconds == 17
    assert as_error(503, body, "tomorrow").retry_after_seconds == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"null",
        b"[]",
        b"{}",
        b'{"error": null}',
        b'{"error": {}}',
        b'{"error": {"code": "NEVER_HEARD", "message": "", "details": null}}',
        b'{"error": {"code": [], "message": "", "details": null}}',
        b'{"error": "\xff"}',
        b"[" * 100_000,
    ],
)
def test_an_answer_that_is_none_of_ours_may_be_retried(body: bytes) -> None:
    assert isinstance(as_error(502, body), BrokerUnreachable)
