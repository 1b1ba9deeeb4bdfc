"""The options of whoever opens a store."""

from pathlib import Path
from typing import Self

from pydantic import SecretStr, model_validator

from common.options import Bytes, Options, Seconds, ServiceOptions, Token, env_name, option
from common.storage.kinds import KINDS

SERVED = ("influxdb", "victoriametrics")
SHORTEST_INFLUXDB_RETENTION_SECONDS = 3600

_URL = r"^(https?://[A-Za-z0-9._\[\]:-]+(/[A-Za-z0-9._:/-]*)?)?$"


class StorePlace(Options):
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
    influxdb_url: str = option(
        "INFLUXDB_URL",
        "",
        "Where the server of the store `influxdb` is, as http://HOST:PORT.",
        pattern=_URL,
    )
    influxdb_token: Token = option(
        "INFLUXDB_TOKEN", SecretStr(""), "Token that may read and write the bucket."
    )
    influxdb_org: str = option("INFLUXDB_ORG", "", "Organization that the bucket belongs to.")
    influxdb_bucket: str = option(
        "INFLUXDB_BUCKET", "", "Bucket; the collector makes it, the API never does."
    )
    influxdb_ca_file: Path | None = option(
        "INFLUXDB_CA_FILE",
        None,
        "CAs (PEM) that the certificate of INFLUXDB_URL must be of; the system's by default.",
    )
    influxdb_timeout_seconds: Seconds = option(
        "INFLUXDB_TIMEOUT", 10.0, "Longest an answer of InfluxDB may take.", gt=0, le=600
    )

    victoriametrics_url: str = option(
        "VICTORIAMETRICS_URL",
        "",
        "Where the server of the store `victoriametrics` is, as http://HOST:PORT.",
        pattern=_URL,
    )
    victoriametrics_insert_url: str = option(
        "VICTORIAMETRICS_INSERT_URL",
        "",
        "Of a cluster instead: where it is written, as http://HOST:8480/insert/0/prometheus.",
        pattern=_URL,
    )
    victoriametrics_select_url: str = option(
        "VICTORIAMETRICS_SELECT_URL",
        "",
        "Of a cluster instead: where it is asked, as http://HOST:8481/select/0/prometheus.",
        pattern=_URL,
    )
    victoriametrics_durability: str = option(
        "VICTORIAMETRICS_DURABILITY",
        "disk",
        "When a write is done: `disk` when it is on the server's disk, `accepted` when the server "
        "has it in memory, which is all that a cluster tells.",
        pattern="^(disk|accepted)$",
    )
    victoriametrics_db: str = option(
        "VICTORIAMETRICS_DB",
        "telemetry",
        "Value of the label `db` of all series; stores of other names share the server.",
        pattern=r"^[A-Za-z0-9._-]{1,128}$",
    )
    victoriametrics_token: Token = option(
        "VICTORIAMETRICS_TOKEN", SecretStr(""), "Bearer token, where one is asked for."
    )
    victoriametrics_username: str = option(
        "VICTORIAMETRICS_USERNAME", "", "User, where a password is asked for."
    )
    victoriametrics_password: SecretStr = option(
        "VICTORIAMETRICS_PASSWORD", SecretStr(""), "Password of that user."
    )
    victoriametrics_ca_file: Path | None = option(
        "VICTORIAMETRICS_CA_FILE",
        None,
        "CAs (PEM) that the server's certificate must be of; the system's by default.",
    )
    victoriametrics_timeout_seconds: Seconds = option(
        "VICTORIAMETRICS_TIMEOUT",
        10.0,
        "Longest an answer of VictoriaMetrics may take.",
        gt=0,
        le=600,
    )

    def place(self) -> str:
        """Where the store is, for people."""
        if self.store == "victoriametrics":
            where = self.victoriametrics_url or self.victoriametrics_select_url
            return f"the series of db {self.victoriametrics_db} at {where}"
        if self.store == "influxdb":
            return f"the bucket {self.influxdb_bucket} at {self.influxdb_url}"
        return str(self.jsonl_path if self.store == "jsonl" else self.sqlite_path)

    @model_validator(mode="after")
    def victoriametrics_is_told_where(self) -> Self:
        """Refuse the store `victoriametrics` without a place, or with what its place cannot do."""
        if self.store != "victoriametrics":
            return self
        cluster = (self.victoriametrics_insert_url, self.victoriametrics_select_url)
        if bool(self.victoriametrics_url) == any(cluster) or any(cluster) != all(cluster):
            raise ValueError(
                "STORE=victoriametrics needs VICTORIAMETRICS_URL, or both "
                "VICTORIAMETRICS_INSERT_URL and VICTORIAMETRICS_SELECT_URL"
            )
        if all(cluster) and self.victoriametrics_durability != "accepted":
            raise ValueError(
                "a cluster does not tell what is on its disks: with VICTORIAMETRICS_INSERT_URL "
                "set VICTORIAMETRICS_DURABILITY=accepted"
            )
        if has_text(self, "victoriametrics_token") and self.victoriametrics_username:
            raise ValueError(
                "VICTORIAMETRICS_TOKEN and VICTORIAMETRICS_USERNAME exclude each other"
            )
        return self

    @model_validator(mode="after")
    def store_is_told_where(self) -> Self:
        """Refuse the store `influxdb` without a place, or with a retention it cannot keep."""
        if self.store != "influxdb":
            return self
        table = type(self).model_fields
        needed = ("influxdb_url", "influxdb_token", "influxdb_org", "influxdb_bucket")
        missing = [env_name(name, table[name]) for name in needed if not has_text(self, name)]
        if missing:
            raise ValueError(f"STORE=influxdb needs {', '.join(missing)}")
        if 0 < self.retention_seconds < SHORTEST_INFLUXDB_RETENTION_SECONDS:
            raise ValueError("STORE_RETENTION must be 0, or 1h or more, when STORE=influxdb")
        return self


class StoreOptions(StorePlace, ServiceOptions):
    """What a service with a store takes."""


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


def has_text(options: StorePlace, name: str) -> bool:
    """Whether an option that is text or a secret was given."""
    value = getattr(options, name)
    return bool(value.get_secret_value() if isinstance(value, SecretStr) else value)
