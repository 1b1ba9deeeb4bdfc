"""The collector's options table."""

from pathlib import Path

from common.options import Bytes, Seconds, option
from common.storage.options import StoreWriterOptions


class CollectorOptions(StoreWriterOptions):
    """Every knob of a collector, with its environment name, default and bounds."""

    port: int = option("PORT", 7090, "Port to listen on; 0 takes a free one.", ge=0, le=65535)
    data_dir: Path = option("DATA_DIR", ..., "Directory of this collector's spool; one each.")
    instance_id: str = option("INSTANCE_ID", "collector-0", "Name of this collector in its logs.")
    queue_url: str = option("MSG_QUEUE_ADDR", "http://127.0.0.1:7080", "Where the queue is.")
    direct: bool = option(
        "MSG_QUEUE_DIRECT",
        False,
        "Read straight from the brokers that the proxy at MSG_QUEUE_ADDR names; it stands by.",
    )
    topic: str = option("MSG_QUEUE_TOPIC", "telemetry", "Topic consumed.")
    group: str = option("CONSUMER_GROUP", "collectors", "Group whose work is shared.")
    buffer_messages: int = option(
        "QUEUE_BUFFER_SIZE", 400, "Messages taken from the queue and not yet acked.", ge=1
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
        "SPOOL_MEMORY_POINTS", 100_000, "Spooled points also kept decoded in memory.", ge=0
    )
    rejected_bytes: Bytes = option(
        "REJECTED_BYTES", 64 << 20, "Size at which the file of rejects is put aside.", ge=4096
    )
