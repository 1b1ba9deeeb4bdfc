"""The options of whoever opens a store."""

from pathlib import Path

from common.options import Bytes, Seconds, ServiceOptions, option

KINDS = ("sqlite", "jsonl", "memory")


class StoreOptions(ServiceOptions):
    """Which store it is, and where."""

    store: str = option("STORE", "sqlite", "Kind of store.", pattern=f"^({'|'.join(KINDS)})$")
    sqlite_path: Path = option(
        "SQLITE_PATH",
        Path("data/telemetry.db"),
        "File of the store `sqlite`; the collector makes it, the API never does.",
    )
    retention_seconds: Seconds = option(
        "STORE_RETENTION",
        0.0,
        "How long points are kept; the collector deletes what is older. 0 is for ever.",
        ge=0,
    )
    jsonl_path: Path = option(
        "JSONL_PATH",
        Path("data/jsonl"),
        "Directory of the store `jsonl`; the collector makes it, the API never does.",
    )
    jsonl_file_bytes: Bytes = option(
        "JSONL_FILE_BYTES", 4 << 20, "Size at which a GPU's next file begins.", ge=4096
    )
    jsonl_files: int = option(
        "JSONL_FILES", 8, "Files kept of each GPU; above it the oldest is deleted.", ge=2
    )
    jsonl_entries: int = option(
        "MAX_ENTRIES", 1000, "Newest samples of each GPU that `jsonl` keeps in memory.", ge=1
    )
    jsonl_gpus: int = option(
        "JSONL_GPUS", 1000, "GPUs whose samples `jsonl` keeps in memory, the last used.", ge=1
    )


class StoreWriterOptions(StoreOptions):
    """What else the one who writes a store is told."""

    rollup_retention_seconds: Seconds = option(
        "STORE_ROLLUP_RETENTION",
        0.0,
        "How long the rollups of `sqlite` are kept, of minutes and hours. 0 is for ever.",
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
