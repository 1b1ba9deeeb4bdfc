"""What a Kafka URL says, and Kafka's errors in our words."""

from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from confluent_kafka import KafkaError, KafkaException

from common import logs
from common.errors import (
    BrokerUnreachable,
    Forbidden,
    InvalidParameter,
    Overloaded,
    TelemetryError,
    TooLarge,
    Unauthorized,
    Unavailable,
)

log = logs.get("queue")

DEFAULT_PORT = 9092
DEFAULT_PARTITIONS = 4
BROKERS_DEFAULT = -1  # replicas as the brokers are set
MAX_PARTITIONS = 256
REQUEST_SECONDS = 10.0
RECORD_BYTES = 1_000_000  # what librdkafka takes unless told otherwise; a broker's own is 1,048,588

OURS = {
    "acks",
    "auto.offset.reset",
    "bootstrap.servers",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.idempotence",
    "group.id",
    "partition.assignment.strategy",
}

_DEFAULTS = {
    "log_level": 2,  # what matters comes to us as an error
    "reconnect.backoff.max.ms": 2000,
}
_KINDS: dict[int, type[TelemetryError]] = {
    KafkaError.MSG_SIZE_TOO_LARGE: TooLarge,
    KafkaError.RECORD_LIST_TOO_LARGE: TooLarge,
    KafkaError._AUTHENTICATION: Unauthorized,
    KafkaError.SASL_AUTHENTICATION_FAILED: Unauthorized,
    KafkaError.TOPIC_AUTHORIZATION_FAILED: Forbidden,
    KafkaError.GROUP_AUTHORIZATION_FAILED: Forbidden,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: Forbidden,
    KafkaError.INVALID_REPLICATION_FACTOR: Unavailable,  # so many brokers may be up later
    KafkaError.NOT_ENOUGH_REPLICAS: Unavailable,
    KafkaError.INVALID_PARTITIONS: InvalidParameter,
    KafkaError.TOPIC_EXCEPTION: InvalidParameter,
    KafkaError.POLICY_VIOLATION: InvalidParameter,
    KafkaError._INVALID_ARG: InvalidParameter,
    KafkaError._QUEUE_FULL: Overloaded,
}


class KafkaAddress(NamedTuple):
    """librdkafka's settings, and how a topic is made that is not there."""

    settings: dict[str, Any]
    partitions: int
    replicas: int

    @property
    def record_bytes(self) -> int:
        """The largest payload that the client lets through."""
        return int(self.settings.get("message.max.bytes", RECORD_BYTES))


def read_kafka_url(url: str, tls_ca_file: Path | None) -> KafkaAddress:
    """Read ``kafka://[user:password@]host[:port][,host...][?property=value]``.

    ``partitions`` and ``replicas`` are of topics that are made; every other property goes to
    librdkafka. Raises InvalidParameter, which names a property and no secret.
    """
    parts = urlsplit(url)
    who, _, hosts = parts.netloc.rpartition("@")
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    refused = sorted(OURS & given.keys())
    if refused:
        raise InvalidParameter(f"the queue's URL cannot set {', '.join(refused)}")
    if not hosts:
        raise InvalidParameter("the queue's URL names no host")
    partitions = _number(given, "partitions", DEFAULT_PARTITIONS, MAX_PARTITIONS)
    replicas = _number(given, "replicas", BROKERS_DEFAULT, 100)
    settings = {"bootstrap.servers": ",".join(map(_with_port, hosts.split(",")))}
    settings |= _security(who, tls_ca_file) | given
    return KafkaAddress({**_DEFAULTS, **settings}, partitions, replicas)


def _security(who: str, tls_ca_file: Path | None) -> dict[str, str]:
    """Credentials and certificates; with neither, plain text."""
    found: dict[str, str] = {}
    if who:
        user, _, password = who.partition(":")
        found |= {"sasl.username": unquote(user), "sasl.password": unquote(password)}
        found["sasl.mechanism"] = "PLAIN"
    if tls_ca_file is not None:
        found["ssl.ca.location"] = str(tls_ca_file)
    wire = "SSL" if tls_ca_file is not None else "PLAINTEXT"
    return found | {"security.protocol": f"SASL_{wire}" if who else wire}


def _number(given: dict[str, str], name: str, default: int, most: int) -> int:
    text = given.pop(name, None)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= most:
        raise InvalidParameter(f"{name} in the queue's URL must be 1 to {most}")
    return int(text)


def _with_port(host: str) -> str:
    bare = host.rpartition("]")[2]
    return host if ":" in bare else f"{host}:{DEFAULT_PORT}"


def as_telemetry_error(error: Any, complaint: str = "") -> TelemetryError:
    """A KafkaError, or the exception around one, as an error of our tree.

    ``complaint`` is what the client said of its connections meanwhile: the reason behind a timeout.
    """
    if isinstance(error, KafkaException):
        error = error.args[0]
    kind = _KINDS.get(error.code(), BrokerUnreachable)
    words = f"Kafka: {error.name()}: {error.str()}"
    return kind(f"{words}; {complaint}" if complaint and kind is BrokerUnreachable else words)


class Complaints:
    """What librdkafka says of its connections, from whichever thread: the last, and a refusal."""

    def __init__(self) -> None:
        self.last = ""
        self.refusal: TelemetryError | None = None
        self.down = False

    def begin(self) -> None:
        """What was said before is of another request."""
        self.refusal, self.down = None, False

    def hear(self, error: Any) -> None:
        """The callback ``error_cb``."""
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self.down = True
        else:
            self.last = error.str()
        found = as_telemetry_error(error)
        if isinstance(found, Unauthorized | Forbidden):
            self.refusal = found

    @property
    def now(self) -> TelemetryError | None:
        """Why there is no answer and will be none, as far as that was said."""
        if self.refusal is None and self.down:
            return BrokerUnreachable(f"Kafka: no broker answers{': ' * bool(self.last)}{self.last}")
        return self.refusal

    def of(self, error: Any) -> TelemetryError:
        """An error as ours: a refusal of our credentials rather than the timeout it ends in."""
        found = as_telemetry_error(error, self.last)
        return self.refusal or found if isinstance(found, BrokerUnreachable) else found
