"""The options that say which file is read and what it leaves open."""

from datetime import UTC, tzinfo
from pathlib import Path
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, model_validator

from common.clock import Clock
from common.models import MAX_TEXT
from common.options import Names, Options, option
from streamer.sources.base import Source
from streamer.sources.csv_files import CsvFiles
from streamer.sources.csv_follow import CsvFollow
from streamer.sources.csv_stdin import CsvStdin
from streamer.sources.layout import CsvSettings
from streamer.sources.paths import STDIN

LOCAL = "local"


def path_text(value: Any) -> Any:
    """Take a path for its text."""
    return str(value) if isinstance(value, Path) else value


def check_zone(value: str) -> str:
    """Refuse a time zone that this machine does not know."""
    try:
        zone_of(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError('must be "UTC", "local" or a time zone such as "Europe/Berlin"') from None
    return value


def zone_of(name: str) -> tzinfo | None:
    """Return a time zone, None for that of this machine."""
    if name == LOCAL:
        return None
    return UTC if name == "UTC" else ZoneInfo(name)


Paths = Annotated[str, BeforeValidator(path_text)]
Zone = Annotated[str, AfterValidator(check_zone)]


class CsvOptions(Options):
    """What is read, and how."""

    csv_path: Paths | None = option(
        "CSV_PATH",
        None,
        "CSV to read: files with commas between them, patterns, or - for standard input.",
        json_schema_extra={"flag": "--csv"},
    )
    follow: bool = option(
        "FOLLOW", False, "Go on with what is added to the file, across truncation and rotation."
    )
    csv_columns: Names = option(
        "CSV_COLUMNS", (), "Names of the columns, for a file without header or in place of its own."
    )
    csv_hostname: str = option(
        "CSV_HOSTNAME",
        "",
        "Host of rows in a file without a column for it; the file's name if not given.",
        max_length=MAX_TEXT,
    )
    csv_timezone: Zone = option(
        "CSV_TIMEZONE",
        "UTC",
        "Time zone of timestamps without one: UTC, local, or a name such as Europe/Berlin.",
    )
    dry_run: bool = option(
        "DRY_RUN", False, "Say what is understood of the file, send nothing, and end."
    )

    @model_validator(mode="after")
    def one_file_to_follow(self) -> Self:
        """Refuse to follow nothing."""
        if self.follow and self.csv_path in (None, STDIN):
            raise ValueError("FOLLOW needs one file in CSV_PATH")
        return self

    def settings(self) -> CsvSettings:
        """What the options say of a file."""
        return CsvSettings(self.csv_columns, self.csv_hostname, zone_of(self.csv_timezone))


def csv_source(options: CsvOptions, clock: Clock) -> Source:
    """Return the source that CSV_PATH and FOLLOW name; CSV_PATH is given."""
    path = options.csv_path or ""
    if path == STDIN:
        return CsvStdin(options.settings(), clock)
    if options.follow:
        return CsvFollow(path, options.settings(), clock)
    return CsvFiles(path, options.settings())
