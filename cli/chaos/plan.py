"""What a run of chaos is to be, and all that its seed decides about the stack."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cli.stack import TOPIC

RAW_TOPIC, RAW_GROUP, ORDERED_GROUP, LATE_GROUP = "chaos", "shared", "alone", "late"
REST_SECONDS = 60.0
LONGEST_PAUSE_SECONDS = 40.0


@dataclass(frozen=True)
class ChaosPlan:
    """How long, by which seed, with how many of each; ``only`` names the strikes, none is all.

    ``data_dir`` keeps what the run leaves, None is a temporary directory. ``child`` is the module
    that runs a service.
    """

    seed: int
    seconds: float
    data_dir: Path | None = None
    brokers: int = 3
    proxies: int = 2
    collectors: int = 2
    only: tuple[str, ...] = ()
    rest_seconds: float = REST_SECONDS
    child: tuple[str, ...] = ("cli.chaos.child",)

    @property
    def longest_pause_seconds(self) -> float:
        """How long a process may be paused, so that a short run sees other things too."""
        return min(LONGEST_PAUSE_SECONDS, max(self.seconds / 12, 1.0))


@dataclass(frozen=True)
class Settings:
    """Options of the services, by environment name."""

    partitions: int
    broker: Mapping[str, str]
    proxy: Mapping[str, str]
    collectors: tuple[Mapping[str, str], ...]
    streamer: Mapping[str, str]

    def told(self) -> dict[str, Mapping[str, str]]:
        """What a report says of them."""
        each = {f"collector-{n}": options for n, options in enumerate(self.collectors)}
        return {
            "broker": self.broker,
            "proxy": self.proxy,
            **each,
            "streamer": self.streamer,
        }


def settings_of(plan: ChaosPlan) -> Settings:
    """Options that a seed decides: small limits, so that what is rare elsewhere is common here."""
    rng = random.Random(plan.seed)  # noqa: S311  no secret: a seed must give the same again
    partitions = rng.choice((4, 8, 16))
    return Settings(
        partitions=partitions,
        broker={
            "PARTITIONS_PER_TOPIC": str(partitions),
            "VISIBILITY_TIMEOUT": rng.choice(("2s", "5s", "8s")),
            "MAX_DELIVERIES": "100000",
            "HEARTBEAT": "1s",
            "SEGMENT_BYTES": rng.choice(("16KiB", "128KiB", "1MiB")),
            "QUEUE_SIZE": rng.choice(("10", "1000", "100000")),
            "QUEUE_BYTES": "1MiB",
            "RETENTION": rng.choice(("1s", "10s", "1h")),
            "RETENTION_CHECK": "2s",
            "CHECKPOINT_INTERVAL": rng.choice(("200ms", "1s", "5s")),
            "DISK_THREADS": rng.choice(("1", "4")),
            "DISK_RESERVE": "0",
        },
        proxy={
            "MEMBERSHIP_INTERVAL": "200ms",
            "REQUEST_TIMEOUT": "5s",
            "STREAM_IDLE_TIMEOUT": "5s",
            "HEARTBEAT": "1s",
        },
        collectors=tuple(_collector(rng) for _ in range(plan.collectors)),
        streamer={
            "MSG_QUEUE_TOPIC": TOPIC,
            "FOLLOW": "true",
            "EVENT_TIME": "keep",
            "BATCH_SIZE": rng.choice(("1", "8", "50")),
            "LINGER": "100ms",
            "CHECKPOINT_INTERVAL": rng.choice(("50ms", "1s")),
            "MSG_QUEUE_DIRECT": rng.choice(("false", "true")),
        },
    )


def _collector(rng: random.Random) -> Mapping[str, str]:
    return {
        "MSG_QUEUE_TOPIC": TOPIC,
        "BATCH_SIZE": rng.choice(("50", "500", "5000")),
        "FLUSH_INTERVAL": rng.choice(("100ms", "1s", "3s")),
        "DELIVERY_SIZE": rng.choice(("1", "4", "20")),
        "QUEUE_BUFFER_SIZE": rng.choice(("20", "400")),
        "SPOOL_SEGMENT_BYTES": rng.choice(("4096", "65536", "1MiB")),
        "SPOOL_MEMORY_POINTS": rng.choice(("0", "1000", "300000")),
        "MSG_QUEUE_DIRECT": rng.choice(("false", "true")),
    }
