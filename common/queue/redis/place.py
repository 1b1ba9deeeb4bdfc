"""What a ``redis://`` URL says, and how the keys in that database are named.

Every key begins with ``telemetry-stack:``. A topic is the hash ``telemetry-stack:T`` (fields
``format``, ``partitions``) and for each partition N

- ``telemetry-stack:{T:N}``: a stream, its entries ``0-1``, ``0-2``, ...: the second number is the
  message's offset. Field ``p`` is the payload; field ``g``, after a redrive, the one group that it
  is for.
- ``telemetry-stack:{T:N}:sent:KEY``: the offset that a send with this idempotency key got; expires.
- ``telemetry-stack:{T:N}:dead:G``: a stream, the dead letters of group G: ``p`` payload, ``o``
  offset, ``n`` attempts, ``r`` reason, ``e`` error, ``i`` the letter's id. An entry's own time is
  when it died.
- ``telemetry-stack:{T:N}:dead:G:ids``: a sorted set of the newest ids that consumers gave letters.
"""

from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from common.errors import InvalidRequest
from common.option_values import parse_duration
from common.wire import MAX_PARTITIONS

PREFIX = "telemetry-stack"
DEFAULT_PORT = 6379
MS_PER_SECOND = 1000
WORDS = ("partitions", "visibility", "max_deliveries")


class RedisPlace(NamedTuple):
    """A database, and how a topic in it is used.

    ``partitions`` are those of a topic that is made by its first use. A message that its consumer
    leaves alone for ``visibility_ms`` goes to another, ``max_deliveries`` times at most.
    """

    host: str
    port: int
    database: int
    username: str | None
    password: str | None
    tls: bool
    partitions: int = 4
    visibility_ms: int = 30_000
    max_deliveries: int = 10


def read_place(url: str) -> RedisPlace:
    """Read ``redis[s]://[user[:password]@]host[:port][/database][?...]``; raises InvalidRequest.

    The error shows nothing of the URL.
    """
    try:
        parts = urlsplit(url)
        given = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True))
        unknown = given.keys() - set(WORDS)
        if unknown or parts.hostname is None:
            raise ValueError
        return RedisPlace(
            parts.hostname,
            parts.port or DEFAULT_PORT,
            int(parts.path.strip("/") or 0),
            unquote(parts.username) if parts.username else None,
            unquote(parts.password) if parts.password else None,
            parts.scheme == "rediss",
            _between(given.get("partitions", "4"), 1, MAX_PARTITIONS),
            _between(round(parse_duration(given.get("visibility", "30s")) * MS_PER_SECOND), 100),
            _between(given.get("max_deliveries", "10"), 1),
        )
    except ValueError:
        raise InvalidRequest(
            "QUEUE_URL must be redis://[user[:password]@]host[:port][/database], with user and "
            f"password percent-encoded, and after a question mark of {', '.join(WORDS)} alone"
        ) from None


def _between(value: str | int, least: int, most: int = 1 << 31) -> int:
    number = int(value)
    if not least <= number <= most:
        raise ValueError
    return number


def topic_key(topic: str) -> str:
    """The hash of a topic."""
    return f"{PREFIX}:{topic}"


def stream_key(topic: str, partition: int) -> str:
    """The stream of a partition."""
    return f"{PREFIX}:{{{topic}:{partition}}}"


def sent_key(stream: str, idempotency_key: str) -> str:
    """Where the answer to a send is remembered."""
    return f"{stream}:sent:{idempotency_key}"


def dead_key(stream: str, group: str) -> str:
    """The stream of a group's dead letters of a partition."""
    return f"{stream}:dead:{group}"


def ids_key(dead: str) -> str:
    """The ids of letters that consumers wrote."""
    return f"{dead}:ids"
