"""The streamer's options table."""

from pathlib import Path
from typing import Self

from pydantic import model_validator

from common.options import Seconds, ServiceOptions, option


class StreamerOptions(ServiceOptions):
    """Every knob of the streamer, with its environment name, default and bounds."""

    port: int = option("PORT", 7090, "Port to listen on; 0 takes a free one.", ge=0, le=65535)
    csv_path: Path | None = option("CSV_PATH", None, "DCGM CSV file to read.")
    generate_gpus: int = option(
        "GENERATE_GPUS",
        0,
        "GPUs of a synthetic fleet that is streamed live in place of a file; 0 is none.",
        ge=0,
        le=100_000,
    )
    queue_url: str = option(
        "MSG_QUEUE_ADDR",
        "http://127.0.0.1:7080",
        "URL of the proxy, or of a broker.",
        pattern=r"^https?://\S+$",
    )
    direct: bool = option(
        "MSG_QUEUE_DIRECT",
        False,
        "Send straight to the brokers that the proxy at MSG_QUEUE_ADDR names; it stands by.",
    )
    topic: str = option(
        "MSG_QUEUE_TOPIC",
        "telemetry",
        "Topic that batches are published to.",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$",
    )
    instance_id: str = option(
        "INSTANCE_ID",
        "streamer-0",
        "Name of this streamer in its batches; the same after a restart.",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$",
    )
    batch_size: int = option("BATCH_SIZE", 100, "Samples in a message.", ge=1, le=10_000)
    linger_seconds: Seconds = option(
        "LINGER", 1.0, "How long a batch that is not full may wait.", gt=0, le=3600
    )
    buffer_batches: int = option(
        "BUFFER_BATCHES", 16, "Batches of one partition that may wait to be sent.", ge=1, le=100_000
    )
    rate: float = option("RATE", 0.0, "Samples a second; 0 is as fast as it goes.", ge=0)
    loop: bool = option("LOOP", False, "Begin again when the file is at its end.")
    event_time: str = option(
        "EVENT_TIME",
        "keep",
        "Timestamps: keep those of the file, now, or shift the file to now, spacing kept.",
        pattern="^(keep|now|shift)$",
    )
    exit_when_done: bool = option(
        "EXIT_WHEN_DONE", False, "End the process once the whole source is published."
    )
    summary_file: Path | None = option(
        "SUMMARY_FILE", None, "Where the summary is written as JSON at the end."
    )

    @model_validator(mode="after")
    def one_source(self) -> Self:
        """Refuse a streamer with no source, and one with two."""
        if (self.csv_path is None) == (self.generate_gpus == 0):
            raise ValueError("give exactly one of CSV_PATH and GENERATE_GPUS")
        return self
