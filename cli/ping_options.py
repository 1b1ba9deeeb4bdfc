"""What `telemetry ping` takes."""

from pathlib import Path

from common.options import Seconds, Token, option
from common.queue.options import QueueOptions


class PingOptions(QueueOptions):
    """What is to answer."""

    service_token: Token = option(
        "SERVICE_TOKEN", ..., "Shared secret of all services, 16 characters or more.", min_length=16
    )
    api: str = option("API_URL", "", "URL of the API; empty leaves it out.")
    tls_ca_file: Path | None = option(
        "TLS_CA_FILE", None, "CAs (PEM) that the certificates must be of."
    )
    timeout_seconds: Seconds = option("PING_TIMEOUT", 30.0, "How long all of it may take.", gt=0)
