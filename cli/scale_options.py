"""What `telemetry scale` takes."""

from pathlib import Path

from common.options import Options, Seconds, Token, option

DRAIN, RESUME, BOTH = "drain", "resume", "both"


class ScaleOptions(Options):
    """Which brokers, and how many of them are to work; the names are the proxy's."""

    broker_service: str = option(
        "BROKER_SERVICE", ..., "Headless service of a StatefulSet of that name."
    )
    broker_count: int = option("BROKER_COUNT", ..., "Its replicas to come.", ge=1, le=1000)
    broker_port: int = option("BROKER_PORT", 7070, "Port of the brokers.", ge=1, le=65535)
    namespace: str = option("NAMESPACE", "", "Namespace of that service; empty means our own.")
    service_token: Token = option(
        "SERVICE_TOKEN", ..., "Shared secret of all services, 16 characters or more.", min_length=16
    )
    tls_ca_file: Path | None = option(
        "TLS_CA_FILE", None, "CAs (PEM) that the brokers' certificates must be of; makes it https."
    )
    only: str = option(
        "SCALE_ONLY",
        BOTH,
        "Half of the work: drain, resume, or both.",
        pattern="^(drain|resume|both)$",
    )
    timeout_seconds: Seconds = option(
        "SCALE_TIMEOUT", 900.0, "How long brokers may take to be empty, or to answer.", gt=0
    )
