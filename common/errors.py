"""The closed tree of errors that cross a wire.

Each class is one code. A client decides by ``code``, never by ``message``.
"""

from typing import Any, ClassVar


class TelemetryError(Exception):
    """Base of all errors that a service answers on purpose.

    ``retry_after_seconds`` is sent as ``Retry-After``: the request may be repeated as it is.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "INTERNAL"
    retry_after_seconds: float | None = None

    def __init__(
        self, message: str, *, details: Any = None, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        if retry_after_seconds is not None:
            self.retry_after_seconds = retry_after_seconds


class InvalidRequest(TelemetryError):
    """A parameter, header or body is not what the protocol says."""

    status, code = 400, "INVALID_REQUEST"


class ReceiptInvalid(TelemetryError):
    """A receipt that no broker of this cluster can have written."""

    status, code = 400, "RECEIPT_INVALID"


class Unauthorized(TelemetryError):
    """No credential, or one that is not known."""

    status, code = 401, "UNAUTHORIZED"


class Forbidden(TelemetryError):
    """The credential is known and does not reach this far."""

    status, code = 403, "FORBIDDEN"


class NotFound(TelemetryError):
    """The path, topic, group or GPU does not exist."""

    status, code = 404, "NOT_FOUND"


class MethodNotAllowed(TelemetryError):
    """The path exists and does not take this method."""

    status, code = 405, "METHOD_NOT_ALLOWED"


class ReceiptStale(TelemetryError):
    """Every receipt of the request had expired or was settled before; nothing changed."""

    status, code = 409, "RECEIPT_STALE"


class GroupInUse(TelemetryError):
    """The group has consumers; it can be dropped once their streams are closed."""

    status, code = 409, "GROUP_IN_USE"


class TopicConflict(TelemetryError):
    """The topic exists with other settings that cannot be changed so."""

    status, code = 409, "TOPIC_CONFLICT"


class RequestTimeout(TelemetryError):
    """The rest of the request did not come in time; nothing was done."""

    status, code = 408, "REQUEST_TIMEOUT"
    retry_after_seconds = 1.0


class TooLarge(TelemetryError):
    """The body, or what it inflates to, is over the limit; nothing was stored."""

    status, code = 413, "TOO_LARGE"


class UnsupportedEncoding(TelemetryError):
    """Content-Encoding is none of identity, gzip, zstd."""

    status, code = 415, "UNSUPPORTED_ENCODING"


class InvalidParameter(TelemetryError):
    """A value that parses and lies outside its bounds."""

    status, code = 422, "INVALID_PARAMETER"


class HeadersTooLarge(TelemetryError):
    """The head of the request has too many bytes or headers."""

    status, code = 431, "HEADERS_TOO_LARGE"


class Overloaded(TelemetryError):
    """A cap is reached for now; nothing was stored."""

    status, code = 429, "OVERLOADED"
    retry_after_seconds = 1.0


class RateLimited(TelemetryError):
    """The key has made more requests than it may for now; nothing was done."""

    status, code = 429, "RATE_LIMITED"
    retry_after_seconds = 1.0


class PartitionFull(TelemetryError):
    """The partition's log is at its cap; nothing was stored, and consuming makes room."""

    status, code = 429, "PARTITION_FULL"
    retry_after_seconds = 5.0


class Unavailable(TelemetryError):
    """The service cannot do this now: it is starting, stopping, or what it needs is away."""

    status, code = 503, "UNAVAILABLE"
    retry_after_seconds = 1.0


class Draining(TelemetryError):
    """The broker is being emptied and takes no produce; others do."""

    status, code = 503, "DRAINING"
    retry_after_seconds = 5.0


class DiskFull(TelemetryError):
    """The disk takes no more; nothing was stored and what is stored stays readable."""

    status, code = 503, "DISK_FULL"
    retry_after_seconds = 5.0


class PartitionReadOnly(TelemetryError):
    """A write or fsync of the partition failed; it takes no produce until it was verified."""

    status, code = 503, "PARTITION_READ_ONLY"
    retry_after_seconds = 5.0


class BrokerUnreachable(TelemetryError):
    """The proxy reached no broker that could take the request."""

    status, code = 503, "BROKER_UNREACHABLE"
    retry_after_seconds = 1.0


class StoreUnavailable(TelemetryError):
    """The telemetry store does not answer; the data is safe and the question is not answered."""

    status, code = 503, "STORE_UNAVAILABLE"
    retry_after_seconds = 2.0


def all_errors() -> list[type[TelemetryError]]:
    """Every class of the tree, the base included, in order of status and code."""
    return sorted(
        [TelemetryError, *TelemetryError.__subclasses__()], key=lambda e: (e.status, e.code)
    )


def may_be_repeated(code: str) -> bool:
    """Whether what was refused with this code may succeed later, as it is."""
    return any(kind.code == code and kind.retry_after_seconds for kind in all_errors())
