"""The collector's options table."""

from pathlib import Path
from typing import Self

from pydantic import model_validator

from common.options import Bytes, Seconds, option
from common.queue.options import QueueOptions, check_direct
from common.storage.options import StoreWriterOptions

SPOOLED = "spooled"
STORED = "stored"


class CollectorOptions(QueueOptions, StoreWriterOptions):
    """Every knob of a collector, with its environment name, default and bounds."""

    port: int = option("PORT", 7090, "Port to listen on; 0 takes a free one.", ge=0, le=65535)
    data_dir: Path | None = option(
        "DATA_DIR", None, "Directory of this collector's spool; required unless ACK_MODE=stored."
    )
    ack_mode: str = option(
        "ACK_MODE",
        SPOOLED,
        "When a message is acked: `spooled`, once it is synced to DATA_DIR; `stored`, once the "
        "store has it, for pods without a disk.",
        pattern=f"^({SPOOLED}|{STORED})$",
    )
    instance_id: str = option("INSTANCE_ID", "collector-0", "Name of this collector in its logs.")
    direct: bool = option(
        "MSG_QUEUE_DIRECT",
        False,
        "Read straight from the brokers that the proxy at QUEUE_URL names; it stands by.",
    )
    topic: str = option("MSG_QUEUE_TOPIC", "telemetry", "Topic consumed.")
    group: str = option("CONSUMER_GROUP", "collectors", "Group whose work is shared.")
    buffer_messages: int = option(
        "QUEUE_BUFFER_SIZE", 400, "Messages taken from the queue and not yet acked.", ge=1
    )
    queue_workers: int = option(
        "QUEUE_WORKERS",
        1,
        "Streams read from our brokers at once; they share the buffer. Other engines have one.",
        ge=1,
        le=64,
    )
    handlers: int = option(
        "MAX_CONCURRENT_HANDLERS",
        32,
        "Deliveries being validated and spooled; further ones are not read from the streams.",
        ge=1,
        le=10_000,
    )
    delivery_messages: int = option(
        "DELIVERY_SIZE", 20, "Most messages in one event of the queue.", ge=1, le=10_000
    )
    batch_points: int = option("BATCH_SIZE", 5000, "Points that make a write full.", ge=1)
    flush_seconds: Seconds = option(
        "FLUSH_INTERVAL", 1.0, "Longest a point waits for its write to fill.", gt=0, le=60
    )
    spool_bytes: Bytes = option(
        "SPOOL_BYTES", 1 << 30, "Spool size above which consumption stops.", ge=1 << 20
    )
    spool_segment_bytes: Bytes = option(
        "SPOOL_SEGMENT_BYTES", 16 << 20, "Size of a spool file.", ge=4096
    )
    spool_memory_points: int = option(
        "SPOOL_MEMORY_POINTS", 300_000, "Spooled points also kept decoded in memory.", ge=0
    )

    @model_validator(mode="after")
    def spool_has_a_place(self) -> Self:
        """Refuse a spool that would lie nowhere."""
        if self.ack_mode == SPOOLED and self.data_dir is None:
            raise ValueError("DATA_DIR is required with ACK_MODE=spooled")
        return self

    @model_validator(mode="after")
    def a_proxy_to_go_around(self) -> Self:
        """Refuse MSG_QUEUE_DIRECT without our own proxy."""
        check_direct(self, self.direct)
        return self

    @property
    def spool_directory(self) -> Path | None:
        """Where the spool lies, or lay when this collector still had one."""
        return self.data_dir and self.data_dir / "spool"
