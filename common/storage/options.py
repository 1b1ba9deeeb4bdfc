"""The options of whoever opens a store."""

from pathlib import Path

from common.options import Seconds, ServiceOptions, option

KINDS = ("sqlite",)


class StoreOptions(ServiceOptions):
    """Which store it is, and where."""

    store: str = option("STORE", "sqlite", "Kind of store.", pattern=f"^({'|'.join(KINDS)})$")
    sqlite_path: Path = option(
        "SQLITE_PATH",
        Path("data/telemetry.db"),
        "File of the store `sqlite`; the collector makes it, the API never does.",
    )


class StoreWriterOptions(StoreOptions):
    """What else the one who writes a store is told."""

    retention_seconds: Seconds = option(
        "STORE_RETENTION",
        0.0,
        "How long points are kept; what is older is deleted. 0 is for ever.",
        ge=0,
    )
    max_gpus: int = option(
        "STORE_MAX_GPUS",
        100_000,
        "GPUs that a store will hold; samples of others are refused.",
        ge=1,
    )
    max_metrics: int = option(
        "STORE_MAX_METRICS", 2_000, "Names of metrics; points of others are refused.", ge=1
    )
    max_labels: int = option(
        "STORE_MAX_LABELS", 64, "Names of extra labels; others are left out.", ge=0
    )
    max_label_values: int = option(
        "STORE_MAX_LABEL_VALUES",
        20_000,
        "Values that a label has in a day or two; others become `(overflow)`.",
        ge=1,
    )
