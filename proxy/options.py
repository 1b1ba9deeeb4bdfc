"""The proxy's options table."""

from pathlib import Path

from common.options import Bytes, Names, Seconds, ServiceOptions, option


class ProxyOptions(ServiceOptions):
    """Every knob of a proxy, with its environment name, default and bounds."""

    port: int = option("PORT", 7080, "Port to listen on; 0 takes a free one.", ge=0, le=65535)
    brokers: Names = option("BROKERS", (), "The brokers: name=url,name=url or url,url.")
    brokers_file: Path | None = option(
        "BROKERS_FILE", None, "File that lists the brokers, read again while running."
    )
    broker_service: str = option(
        "BROKER_SERVICE", "", "Headless service of a StatefulSet of that name."
    )
    broker_count: int = option(
        "BROKER_COUNT",
        0,
        "Its replicas that are there whatever DNS says; 0 leaves it to DNS.",
        ge=0,
        le=1000,
    )
    broker_port: int = option("BROKER_PORT", 7070, "Port of those replicas.", ge=1, le=65535)
    namespace: str = option("NAMESPACE", "", "Namespace of that service; empty means our own.")
    membership_seconds: Seconds = option(
        "MEMBERSHIP_INTERVAL", 5.0, "How often BROKERS_FILE or DNS is read again.", gt=0, le=3600
    )
    member_expiry_seconds: Seconds = option(
        "MEMBER_EXPIRY",
        60.0,
        "How long a broker that left the list is still served while it does not answer.",
        gt=0,
        le=86400,
    )
    virtual_nodes: int = option(
        "VIRTUAL_NODES", 150, "Places of a broker on the ring.", ge=1, le=10_000
    )
    probe_seconds: Seconds = option(
        "PROBE_INTERVAL", 0.5, "How often each broker is asked whether it is ready.", gt=0, le=60
    )
    probe_timeout_seconds: Seconds = option(
        "PROBE_TIMEOUT", 1.0, "How long it may take to say so.", gt=0, le=60
    )
    breaker_seconds: Seconds = option(
        "BREAKER_COOL_DOWN", 1.0, "How long a broker that failed is left alone.", gt=0, le=60
    )
    connect_seconds: Seconds = option(
        "CONNECT_TIMEOUT",
        2.0,
        "How long a broker may take to accept, or to begin a stream.",
        gt=0,
        le=60,
    )
    request_seconds: Seconds = option(
        "REQUEST_TIMEOUT", 30.0, "How long a broker may take to answer; not for streams.", gt=0
    )
    idle_seconds: Seconds = option(
        "STREAM_IDLE_TIMEOUT", 45.0, "Longest silence of a broker's stream.", gt=0
    )
    heartbeat_seconds: Seconds = option(
        "HEARTBEAT", 15.0, "Longest silence of an event stream.", gt=0, le=60
    )
    send_timeout_seconds: Seconds = option(
        "SEND_TIMEOUT", 30.0, "How long a consumer may leave its stream unread.", gt=0, le=3600
    )
    max_body_bytes: Bytes = option("MAX_BODY_BYTES", 16 << 20, "Largest body taken.", ge=1)
    max_event_bytes: Bytes = option("MAX_EVENT_BYTES", 64 << 20, "Largest event passed on.", ge=1)
