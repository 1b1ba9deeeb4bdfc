"""What a NATS URL says, and JetStream's errors in our words."""

from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

import nats.errors
import nats.js.errors

from common.errors import (
    BrokerUnreachable,
    DiskFull,
    Forbidden,
    InvalidParameter,
    NotFound,
    PartitionFull,
    TelemetryError,
    TooLarge,
    TopicConflict,
    Unauthorized,
    Unavailable,
)

DEFAULT_PORT = 4222
MAX_PARTITIONS = 256
TLS_SCHEME = "tls"
BAD_REQUEST = 400

_KINDS: dict[int | None, type[TelemetryError]] = {
    10023: DiskFull,  # insufficient resources
    10047: DiskFull,  # insufficient storage
    10054: TooLarge,  # message size exceeds maximum allowed
    10077: PartitionFull,  # maximum messages, or bytes, exceeded
    10058: TopicConflict,  # stream name already in use with another configuration
    10065: TopicConflict,  # subjects overlap with an existing stream
    10059: NotFound,  # stream not found
    10014: NotFound,  # consumer not found
    10037: NotFound,  # no message found
}
_REFUSALS = ("authorization violation", "authentication expired", "authentication revoked")
_FORBIDDEN = "permissions violation"


class NatsAddress(NamedTuple):
    """Where servers are, who we are, and how streams and consumers are made that are not there.

    ``max_bytes`` is of a stream, -1 for as many as the account may have.
    """

    servers: list[str]
    who: dict[str, str]
    tls: bool
    tls_ca_file: Path | None
    partitions: int
    replicas: int
    max_bytes: int
    ack_wait_seconds: float
    max_deliveries: int
    keep_seconds: float


def read_nats_url(url: str, tls_ca_file: Path | None) -> NatsAddress:
    """Read ``nats://[user:password@]host[:port][,host...][?name=value]``; ``tls://`` asks for TLS.

    A user without a password is a token. Raises InvalidParameter, which has no secret.
    """
    parts = urlsplit(url)
    who, _, hosts = parts.netloc.rpartition("@")
    if not hosts:
        raise InvalidParameter("the queue's URL names no host")
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    servers = [f"{parts.scheme}://{_with_port(host)}" for host in hosts.split(",")]
    found = NatsAddress(
        servers,
        _credentials(who),
        parts.scheme == TLS_SCHEME or tls_ca_file is not None,
        tls_ca_file,
        partitions=int(_number(given, "partitions", 4, 1, MAX_PARTITIONS)),
        replicas=int(_number(given, "replicas", 1, 1, 5)),
        max_bytes=int(_number(given, "max_bytes", -1, 1 << 20, 1 << 62)),
        ack_wait_seconds=_number(given, "ack_wait", 30, 1, 43_200),
        max_deliveries=int(_number(given, "max_deliveries", 10, 1, 1_000_000)),
        keep_seconds=_number(given, "keep", 3600, 0, 10**9),
    )
    if given:
        raise InvalidParameter(f"the queue's URL has no parameter {min(given)}")
    return found


def _credentials(who: str) -> dict[str, str]:
    if not who:
        return {}
    user, colon, password = who.partition(":")
    if not colon:
        return {"token": unquote(user)}
    return {"user": unquote(user), "password": unquote(password)}


def _number(given: dict[str, str], name: str, default: float, least: int, most: int) -> float:
    text = given.pop(name, None)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
        raise InvalidParameter(f"{name} in the queue's URL must be {least} to {most}")
    return int(text)


def _with_port(host: str) -> str:
    bare = host.rpartition("]")[2]
    return host if ":" in bare else f"{host}:{DEFAULT_PORT}"


def stream_name(name: str) -> str:
    """A topic's or group's name as JetStream takes it, where a dot parts subjects."""
    return name.replace(".", "~")


def as_telemetry_error(error: BaseException) -> TelemetryError:
    """What the client raised as an error of our tree."""
    if isinstance(error, TelemetryError):
        return error
    words = f"NATS: {_words(error)}"
    if is_refusal(error):
        return Unauthorized(words)
    if _FORBIDDEN in words.lower():
        return Forbidden(words)
    if isinstance(error, nats.errors.MaxPayloadError):
        return TooLarge(words)
    if isinstance(error, nats.js.errors.APIError):
        return _api_error(error, words)
    return BrokerUnreachable(words)


def is_refusal(error: BaseException) -> bool:
    """Whether a server does not take our credentials; the protocol says so in words alone."""
    text = str(error).lower()
    return any(words in text for words in _REFUSALS)


def _words(error: BaseException) -> str:
    """An error's own text, or its name; the client's have their prefix already."""
    if isinstance(error, nats.js.errors.APIError) and error.description:
        return str(error.description)
    return str(error).removeprefix("nats: ") or type(error).__name__


def _api_error(error: Any, words: str) -> TelemetryError:
    if error.err_code in _KINDS:
        return _KINDS[error.err_code](words)
    if error.err_code is None and isinstance(error, nats.js.errors.ServiceUnavailableError):
        return Unavailable(f"{words}; is JetStream enabled?")
    return InvalidParameter(words) if error.code == BAD_REQUEST else Unavailable(words)


def api_error(answer: dict[str, Any]) -> TelemetryError:
    """The error of an answer to a publish; the client's own function raises it."""
    try:
        nats.js.errors.APIError.from_error(answer)
    except nats.js.errors.APIError as error:
        return as_telemetry_error(error)
    return Unavailable("NATS: an answer that is none")
