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
    retention_seconds: Seconds = option(
        "STORE_RETENTION",
        0.0,
        "How long points are kept; the collector deletes what is older. 0 is for ever.",
        ge=0,
    )
