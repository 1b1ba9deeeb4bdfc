"""Where the queue is: one URL, whose scheme chooses the engine and which may hold a password."""

import importlib.util
import re
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from pydantic import SecretStr


class Engine(NamedTuple):
    """A queue engine of others: our module for it, how its classes begin, and the client it needs.

    ``extra`` is the package's extra that brings ``client``.
    """

    module: str
    prefix: str
    client: str
    extra: str


OWN = ("http", "https")
REDIS = Engine("common.queue.redis", "Redis", "redis", "redis")
NATS = Engine("common.queue.jetstream", "Nats", "nats", "nats")
KAFKA = Engine("common.queue.kafka", "Kafka", "confluent_kafka", "kafka")
ENGINES = {"redis": REDIS, "rediss": REDIS, "nats": NATS, "tls": NATS, "kafka": KAFKA}
DEFAULT_URL = "http://127.0.0.1:7080"

_SCHEMES = ", ".join(f"{scheme}://" for scheme in (*OWN, *ENGINES))
_FORM = re.compile(r"([a-z]+)://[^\s/?#]\S*")


class QueueAddress(NamedTuple):
    """Where the queue is, and what is shown there: ``token`` to our own brokers alone.

    With ``direct`` streams and sends go straight to the brokers that the proxy names.
    """

    url: str
    token: SecretStr
    tls_ca_file: Path | None = None
    direct: bool = False

    @property
    def engine(self) -> Engine | None:
        """Whose engine it is; None for our own brokers."""
        return ENGINES.get(scheme_of(self.url))

    def __repr__(self) -> str:
        return f"QueueAddress({without_secrets(self.url)!r})"


def scheme_of(url: str) -> str:
    """What stands before ``://``."""
    return url.partition("://")[0]


def without_secrets(url: str) -> str:
    """The URL for people: no user, no password, no parameter.

    What stands before the last ``@`` is not shown, even if it names other servers: a password may
    hold anything.
    """
    scheme, _, rest = url.partition("://")
    place = re.split(r"[?#]", rest)[0]
    if "@" in rest and "@" not in place:  # a password with a question mark, or a parameter
        return f"{scheme}://..."
    return f"{scheme}://{place.rpartition('@')[2]}"


def has_password(url: str) -> bool:
    """Whether there is something in it that not everyone may read."""
    words = urlsplit(url).query.lower()
    return "@" in url or "password" in words or "secret" in words


def check_url(value: Any) -> Any:
    """Refuse what is no address of a queue, or of one whose client is not installed.

    Raises ValueError, whose text has nothing of the URL but its scheme.
    """
    url = value.get_secret_value()
    found = _FORM.fullmatch(url)
    if found is None:
        raise ValueError(f"must be a URL that begins with one of {_SCHEMES}")
    scheme = found[1]
    if scheme in OWN:
        return value
    if scheme not in ENGINES:
        raise ValueError(f"{scheme}:// is no queue; there are {_SCHEMES}")
    engine = ENGINES[scheme]
    if importlib.util.find_spec(engine.client) is None:
        raise ValueError(
            f"{scheme}:// needs a client: pip install 'telemetry-stack[{engine.extra}]'"
        )
    return value
