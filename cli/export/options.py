"""What `telemetry export` takes."""

from pathlib import Path
from typing import Self

from pydantic import model_validator

from cli.export.days import Day
from common.options import Names, option
from common.storage.options import StorePlace

FORMATS = ("parquet",)


class ExportOptions(StorePlace):
    """A store, which days of it, and where they go."""

    out: Path = option(
        "EXPORT_DIR", ..., "Folder to export into.", json_schema_extra={"flag": "--out"}
    )
    file_format: str = option(
        "EXPORT_FORMAT",
        "parquet",
        "Kind of the files.",
        pattern=f"^({'|'.join(FORMATS)})$",
        json_schema_extra={"flag": "--format"},
    )
    start: Day | None = option(
        "EXPORT_START",
        None,
        "First day (UTC) to export: a date, or a time of that day; the store's first by default.",
        json_schema_extra={"flag": "--start"},
    )
    end: Day | None = option(
        "EXPORT_END",
        None,
        "Last day (UTC) to export, whole; the store's last by default.",
        json_schema_extra={"flag": "--end"},
    )
    hosts: Names = option(
        "EXPORT_HOSTS", (), "Hosts to export; all by default.", json_schema_extra={"flag": "--host"}
    )
    as_json: bool = option(
        "EXPORT_JSON", False, "Print the summary as JSON.", json_schema_extra={"flag": "--json"}
    )

    @model_validator(mode="after")
    def days_run_forward(self) -> Self:
        """Refuse a range without a day."""
        if self.start is not None and self.end is not None and self.start > self.end:
            raise ValueError("EXPORT_START must not be after EXPORT_END")
        return self
