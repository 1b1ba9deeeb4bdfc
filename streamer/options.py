"""The streamer's options table."""

from pathlib import Path
from typing import Self

from pydantic import model_validator

from common.options import Bytes, Index, Names, Seconds, ServiceOptions, option
from common.queue.options import QueueOptions, check_direct
from streamer.sources.csv_options import CsvOptions
from streamer.sources.paths import STDIN


class StreamerOptions(CsvOptions, QueueOptions, ServiceOptions):
    """Every knob of the streamer, with its environment name, default and bounds."""

    port: int = option("PORT", 7060, "Port to listen on; 0 takes a free one.", ge=0, le=65535)
    generate_gpus: int = option(
        "GENERATE_GPUS",
        0,
        "GPUs of a synthetic fleet that is streamed live in place of a file; 0 is none.",
        ge=0,
        le=100_000,
    )
    scrape_targets: Names = option(
        "SCRAPE_TARGETS",
        (),
        "dcgm-exporters to scrape, with commas: host:port, or the whole URL.",
    )
    scrape_targets_file: Path | None = option(
        "SCRAPE_TARGETS_FILE", None, "File with a target a line, read again when it changes."
    )
    scrape_interval_seconds: Seconds = option(
        "SCRAPE_INTERVAL",
        10.0,
        "How often each target, or with NVML this machine, is asked.",
        ge=0.1,
        le=3600,
    )
    scrape_timeout_seconds: Seconds = option(
        "SCRAPE_TIMEOUT", 10.0, "Longest a target may take, and no longer than the interval.", gt=0
    )
    scrape_max_bytes: Bytes = option(
        "SCRAPE_MAX_BYTES", 8 << 20, "Largest answer of a target that is read.", ge=1024
    )
    nvml: bool = option(
        "NVML", False, "Stream the GPUs of this machine through NVML; needs the extra `nvml`."
    )
    hostname_list: Names = option(
        "HOSTNAME_LIST", (), "Hosts to stream, with commas; none is all of them."
    )
    shard_index: Index = option(
        "SHARD_INDEX", 0, "Which of SHARD_COUNT this is: a number, or a StatefulSet pod name.", ge=0
    )
    shard_count: int = option(
        "SHARD_COUNT",
        1,
        "Streamers that divide the hosts of one source among them.",
        ge=1,
        le=1000,
    )
    direct: bool = option(
        "MSG_QUEUE_DIRECT",
        False,
        "Send straight to the brokers that the proxy at QUEUE_URL names; it stands by.",
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
    collect_interval_seconds: Seconds = option(
        "COLLECT_INTERVAL",
        0.0,
        "Collect for so long, then publish a batch a partition, in place of BATCH_SIZE and LINGER.",
        ge=0,
        le=3600,
    )
    buffer_batches: int = option(
        "BUFFER_BATCHES", 16, "Batches of one partition that may wait to be sent.", ge=1, le=100_000
    )
    buffer_bytes: Bytes = option(
        "BUFFER_BYTES", 32 << 20, "Bytes of all partitions that may wait to be sent.", ge=1 << 16
    )
    workers: int = option(
        "WORKERS",
        0,
        "Sends at the same time; all share one reading. 0 is one a partition, which is the most.",
        ge=0,
        le=1000,
    )
    rate: float = option("RATE", 0.0, "Samples a second; 0 is as fast as it goes.", ge=0)
    csv_delay_ms: float = option(
        "CSV_DELAY_MS", 0.0, "Milliseconds a row, in place of RATE; 0 is none.", ge=0, le=3_600_000
    )
    loop: bool = option("LOOP", False, "Begin again when the file is at its end.")
    duration_seconds: Seconds = option(
        "DURATION", 0.0, "Stop reading after so long and publish what was read; 0 is never.", ge=0
    )
    event_time: str = option(
        "EVENT_TIME",
        "keep",
        "Timestamps: keep those of the file, now, or shift the file to now, spacing kept.",
        pattern="^(keep|now|shift)$",
    )
    checkpoint_file: Path | None = option(
        "CHECKPOINT_FILE", None, "File that remembers how far a file was published; one a streamer."
    )
    checkpoint_interval_seconds: Seconds = option(
        "CHECKPOINT_INTERVAL", 1.0, "How often that is written.", ge=0.01, le=3600
    )
    exit_when_done: bool = option(
        "EXIT_WHEN_DONE", False, "End the process once the whole source is published."
    )
    summary_file: Path | None = option(
        "SUMMARY_FILE", None, "Where the summary is written as JSON at the end."
    )

    @property
    def scrapes(self) -> bool:
        """Whether the source is a set of targets."""
        return bool(self.scrape_targets) or self.scrape_targets_file is not None

    @model_validator(mode="after")
    def one_source(self) -> Self:
        """Refuse a streamer with no source, and one with two."""
        given = (self.csv_path is not None, self.generate_gpus > 0, self.scrapes, self.nvml)
        if sum(given) != 1:
            raise ValueError("give exactly one of CSV_PATH, GENERATE_GPUS, SCRAPE_TARGETS and NVML")
        if self.loop and (self.csv_path == STDIN or self.follow):
            raise ValueError("LOOP needs a file that is read to its end")
        return self

    @model_validator(mode="after")
    def a_proxy_to_go_around(self) -> Self:
        """Refuse MSG_QUEUE_DIRECT without our own proxy."""
        check_direct(self, self.direct)
        return self

    @model_validator(mode="after")
    def one_pace(self) -> Self:
        """Refuse two paces at once."""
        if self.rate and self.csv_delay_ms:
            raise ValueError("give RATE or CSV_DELAY_MS, not both")
        return self

    @model_validator(mode="after")
    def shard_there(self) -> Self:
        """Refuse a shard that does not exist."""
        if self.shard_index >= self.shard_count:
            raise ValueError(
                f"SHARD_INDEX must be below SHARD_COUNT, got {self.shard_index} "
                f"of {self.shard_count}"
            )
        return self
