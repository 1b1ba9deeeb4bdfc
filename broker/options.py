"""The broker's options table."""

from pathlib import Path
from typing import Any, Self

from pydantic import model_validator

from common.journal.frame import MAX_LENGTH
from common.option_values import parse_index
from common.options import Bytes, Index, Names, Seconds, ServiceOptions, option

MANY = 1 << 31


class BrokerOptions(ServiceOptions):
    """Every knob of a broker, with its environment name, default and bounds."""

    port: int = option("PORT", 7070, "Port to listen on; 0 takes a free one.", ge=0, le=65535)
    data_dir: Path = option("DATA_DIR", ..., "Directory of this broker's logs; one broker each.")
    broker_name: str = option(
        "BROKER_NAME",
        "broker-0",
        "Name in receipts and message ids; must not change while messages wait.",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$",
    )
    broker_index: Index | None = option(
        "BROKER_INDEX",
        None,
        "Number or StatefulSet pod name; BROKER_NAME is then broker-<number> if it is not given.",
    )
    topics: Names = option("TOPICS", (), "Topics made at start: name:partitions,name:partitions.")
    partitions_per_topic: int = option(
        "PARTITIONS_PER_TOPIC", 4, "Partitions of a topic that a first produce makes.", ge=1, le=256
    )
    max_topics: int = option("MAX_TOPICS", 100, "Topics this broker will hold.", ge=1, le=10_000)
    durability: str = option(
        "DURABILITY",
        "fsync",
        "What a produce reaches when it does not say: memory, disk, fsync.",
        pattern="^(memory|disk|fsync)$",
    )
    queue_size: int = option(
        "QUEUE_SIZE",
        100_000,
        "Messages a partition keeps in memory; more are spilled.",
        ge=1,
        le=MANY,
    )
    queue_bytes: Bytes = option(
        "QUEUE_BYTES", 16 << 20, "Bytes a partition keeps in memory; more are spilled.", ge=1
    )
    pending_bytes: Bytes = option(
        "PENDING_BYTES", 64 << 20, "Bytes a partition holds that wait for the disk.", ge=1
    )
    disk_timeout_seconds: Seconds = option(
        "DISK_TIMEOUT",
        30.0,
        "How long a produce waits for a disk that does not answer.",
        gt=0,
        le=3600,
    )
    segment_bytes: Bytes = option("SEGMENT_BYTES", 32 << 20, "Size of a log file.", ge=4096)
    visibility_timeout_seconds: Seconds = option(
        "VISIBILITY_TIMEOUT",
        30.0,
        "How long a delivered message is one consumer's.",
        gt=0,
        le=43200,
    )
    max_lease_seconds: Seconds = option(
        "MAX_LEASE", 43200.0, "Longest a message stays with one consumer, extended.", gt=0
    )
    max_deliveries: int = option(
        "MAX_DELIVERIES", 10, "Deliveries after which a message is a dead letter.", ge=1, le=MANY
    )
    retry_first_seconds: Seconds = option(
        "RETRY_DELAY", 1.0, "Wait after the first nack for retry; it doubles.", ge=0, le=3600
    )
    retry_last_seconds: Seconds = option(
        "RETRY_DELAY_MAX", 300.0, "Longest such wait.", ge=0, le=86400
    )
    idempotency_seconds: Seconds = option(
        "IDEMPOTENCY_WINDOW", 600.0, "How long an idempotency key is remembered.", ge=0
    )
    idempotency_keys: int = option(
        "IDEMPOTENCY_KEYS", 100_000, "Most idempotency keys a partition remembers.", ge=0, le=MANY
    )
    retention_seconds: Seconds = option(
        "RETENTION", 3600.0, "How long messages stay that every group has settled.", ge=0
    )
    retention_bytes: Bytes = option(
        "RETENTION_BYTES", 1 << 30, "Log size of a partition above which they go sooner.", ge=0
    )
    max_partition_bytes: Bytes = option(
        "MAX_PARTITION_BYTES",
        0,
        "Log size of a partition above which produces are refused; 0 is none.",
        ge=0,
    )
    disk_reserve_bytes: Bytes = option(
        "DISK_RESERVE", 64 << 20, "Bytes of the file system that produces leave free.", ge=0
    )
    retention_check_seconds: Seconds = option(
        "RETENTION_CHECK", 10.0, "How often that is looked at.", gt=0, le=3600
    )
    group_expiry_seconds: Seconds = option(
        "GROUP_EXPIRY",
        604800.0,
        "How long a group nobody uses holds data before it is forgotten; 0 is for ever.",
        ge=0,
    )
    max_groups: int = option("MAX_GROUPS", 100, "Groups a topic will hold.", ge=1, le=10_000)
    max_streams: int = option(
        "MAX_STREAMS", 1000, "Open event streams this broker will serve.", ge=1, le=100_000
    )
    heartbeat_seconds: Seconds = option(
        "HEARTBEAT", 15.0, "Longest silence of an event stream.", gt=0, le=60
    )
    send_timeout_seconds: Seconds = option(
        "SEND_TIMEOUT", 30.0, "How long a consumer may leave its stream unread.", gt=0, le=3600
    )
    checkpoint_seconds: Seconds = option(
        "CHECKPOINT_INTERVAL", 1.0, "How often the groups' places are written down.", gt=0, le=60
    )
    max_body_bytes: Bytes = option(
        "MAX_BODY_BYTES", 16 << 20, "Largest body taken.", ge=1, le=MAX_LENGTH // 2
    )
    max_batch: int = option(
        "MAX_BATCH", 10_000, "Most messages in a request or event.", ge=1, le=MANY
    )
    max_in_flight: int = option(
        "MAX_IN_FLIGHT", 100_000, "Most messages a consumer may hold unacked.", ge=1, le=MANY
    )
    event_bytes: Bytes = option("EVENT_BYTES", 1 << 20, "About the largest batched event.", ge=1)
    disk_threads: int = option("DISK_THREADS", 4, "Threads for file work.", ge=1, le=64)

    @model_validator(mode="before")
    @classmethod
    def name_from_index(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Name a broker by its index when it has no other name."""
        index = given.get("BROKER_INDEX") or given.get("broker_index")
        if index is None or given.get("BROKER_NAME") or given.get("broker_name"):
            return given
        try:
            return given | {"broker_name": f"broker-{parse_index(index)}"}
        except ValueError:
            return given  # the option says what is wrong with it

    @model_validator(mode="after")
    def lease_fits(self) -> Self:
        """Refuse a longest lease that every delivery would go beyond."""
        if self.max_lease_seconds < self.visibility_timeout_seconds:
            raise ValueError("MAX_LEASE must not be below VISIBILITY_TIMEOUT")
        return self
