"""How a service reads its options: flags first, then the environment, then ``NAME_FILE``.

One pydantic-settings class per service is the table; this module is the only place that
reads the environment.
"""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn, Self

from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from common.option_values import parse_duration, parse_index, parse_list, parse_size

EXIT_BAD_OPTIONS = 2
EXIT_CANNOT_START = 3

_PLAIN_WORDS = {
    "Value error, ": "",
    "Input should be": "must be",
    "Value should have": "must have",
    "items after validation": "characters",
}

_TOKEN = re.compile(r"[!-~]*")


def check_token(value: SecretStr) -> SecretStr:
    """Refuse a token that cannot be sent in a header as it is."""
    if not _TOKEN.fullmatch(value.get_secret_value()):
        raise ValueError("must be printable ASCII without spaces")
    return value


Token = Annotated[SecretStr, AfterValidator(check_token)]
Seconds = Annotated[float, BeforeValidator(parse_duration)]
Bytes = Annotated[int, BeforeValidator(parse_size)]
Index = Annotated[int, BeforeValidator(parse_index)]
Names = Annotated[tuple[str, ...], BeforeValidator(parse_list)]


def option(
    env: str, default: Any, help_text: str, *, also: tuple[str, ...] = (), **bounds: Any
) -> Any:
    """One row of a service's table: environment name, default, help and bounds.

    ``also`` are other names of the same. The flag is the environment name in kebab case.
    ``default=...`` means required.
    """
    names = AliasChoices(env, *also)
    return Field(default, validation_alias=names, description=help_text, **bounds)


class Contradiction:
    """Stands for the value of an option whose names were given different values."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names


def refuse_contradiction(value: Any) -> Any:
    """For options with several names: the environment must not say two things."""
    if isinstance(value, Contradiction):
        raise ValueError(f"{' and '.join(value.names)} are one option, and differ")
    return value


class SecretFiles(PydanticBaseSettingsSource):
    """Secrets from files: ``NAME_FILE`` names a file that holds what ``NAME`` would."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        names = env_names(field_name, field) if is_secret(field) else []
        found = {name: text for name in names if (text := secret_file(name)) is not None}
        return next(iter(found.values()), None), env_name(field_name, field), False

    def __call__(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for field_name, field in self.settings_cls.model_fields.items():
            value, key, _ = self.get_field_value(field, field_name)
            if value is not None:
                found[key] = value
        return found


class PlainEnvironment(EnvSettingsSource):
    """The environment as text: lists are ours to split, an empty value is no value."""

    def prepare_field_value(
        self, field_name: str, field: FieldInfo, value: Any, value_is_complex: bool
    ) -> Any:
        return value

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """The value, or the contradiction between the names of an option that has several."""
        names = env_names(field_name, field)
        if len(names) > 1:
            found = {name: text for name in names if (text := given_by(name, field))}
            if len(set(found.values())) > 1:
                return Contradiction(list(found)), names[0], False
        return super().get_field_value(field, field_name)


def secret_file(name: str) -> str | None:
    """What the file holds that ``NAME_FILE`` names."""
    path = os.environ.get(f"{name}_FILE")
    return Path(path).read_text(encoding="utf-8").strip() if path else None


def given_by(name: str, field: FieldInfo) -> str | None:
    """What the environment says under one name, by itself or through a file."""
    return os.environ.get(name) or (secret_file(name) if is_secret(field) else None)


class Options(BaseSettings):
    """Base of every options table."""

    model_config = SettingsConfigDict(
        populate_by_name=True, env_ignore_empty=True, extra="forbid", frozen=True
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        environment = PlainEnvironment(settings_cls, env_ignore_empty=True)
        return init_settings, environment, SecretFiles(settings_cls)

    @classmethod
    def load(cls, flags: Mapping[str, Any]) -> Self:
        """Read the table; on nonsense name the option, never a secret, and exit with 2.

        ``flags`` maps field names to what was given on the command line.
        """
        try:
            return cls(**flags)
        except ValidationError as error:
            refuse([describe_problem(cls, problem) for problem in error.errors()])
        except OSError as error:
            refuse([f"{error.filename}: {error.strerror}"])


class ServiceOptions(Options):
    """What every service takes."""

    host: str = option("HOST", "127.0.0.1", "Address to listen on.")
    port: int = option("PORT", 0, "Port to listen on; 0 takes a free one.", ge=0, le=65535)
    log_level: str = option(
        "LOG_LEVEL",
        "info",
        "Least severe log line written.",
        pattern="^(debug|info|warning|error)$",
    )
    service_token: Token = option(
        "SERVICE_TOKEN", ..., "Shared secret of all services, 16 characters or more.", min_length=16
    )
    tls_cert_file: Path | None = option(
        "TLS_CERT_FILE", None, "Certificate chain (PEM) to serve HTTPS with; followed when renewed."
    )
    tls_key_file: Path | None = option("TLS_KEY_FILE", None, "Its private key (PEM).")
    tls_ca_file: Path | None = option(
        "TLS_CA_FILE", None, "CAs (PEM) that other services' certificates must be of."
    )
    max_header_bytes: Bytes = option(
        "MAX_HEADER_BYTES", 32 << 10, "Largest head of a request.", ge=1024, le=1 << 20
    )
    read_timeout_seconds: Seconds = option(
        "READ_TIMEOUT", 30.0, "How long a request's head, and its body, may take.", gt=0, le=3600
    )
    write_timeout_seconds: Seconds = option(
        "WRITE_TIMEOUT", 60.0, "How long a client may leave an answer unread.", gt=0, le=3600
    )
    max_connections: int = option(
        "MAX_CONNECTIONS",
        10_000,
        "Open connections; over it only probes are answered.",
        ge=1,
        le=1_000_000,
    )
    shutdown_grace_seconds: Seconds = option(
        "SHUTDOWN_GRACE", 4.0, "Longest a stop may take before what is left is cut.", gt=0, le=600
    )

    @model_validator(mode="after")
    def certificate_has_its_key(self) -> Self:
        """Refuse half of what HTTPS needs."""
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError("TLS_CERT_FILE and TLS_KEY_FILE go together")
        return self


def env_name(field_name: str, field: FieldInfo) -> str:
    """Return the environment name of a row of a table."""
    return env_names(field_name, field)[0]


def env_names(field_name: str, field: FieldInfo) -> list[str]:
    """Return every environment name of a row of a table, the one it goes by first."""
    alias = field.validation_alias
    return [*map(str, alias.choices)] if isinstance(alias, AliasChoices) else [field_name.upper()]


def flag_name(field_name: str, field: FieldInfo) -> str:
    """Return the command-line flag of a row of a table."""
    return as_flag(env_name(field_name, field))


def as_flag(name: str) -> str:
    """An environment name as a command-line flag."""
    return "--" + name.lower().replace("_", "-")


def other_flags(field: FieldInfo) -> list[str]:
    """Return other command-line flags of a row of a table."""
    extra = field.json_schema_extra
    short = [str(extra["flag"])] if isinstance(extra, dict) and "flag" in extra else []
    return [*map(as_flag, env_names("", field)[1:]), *short]


def on_command_line(field: FieldInfo) -> bool:
    """Whether a row has a flag: a command line is there for everyone to read.

    An address that may hold a password has one, and is refused there with a password in it.
    """
    extra = field.json_schema_extra
    return not is_secret(field) or (isinstance(extra, dict) and "on_command_line" in extra)


def default_text(field: FieldInfo) -> str:
    """The default of a row as one would write it; a default is no secret."""
    default = field.default
    if isinstance(default, SecretStr):
        return default.get_secret_value()
    return str(default).lower() if isinstance(default, bool) else str(default)


def is_secret(field: FieldInfo) -> bool:
    """Whether a row holds what must never be shown."""
    return field.annotation is SecretStr


def describe_problem(table: type[Options], problem: Any) -> str:
    """Say which option is wrong and why, without the value of a secret."""
    reason = say_plainly(problem["msg"])
    if not problem["loc"]:  # a rule between options, which names them itself
        return reason
    fields = {env_name(name, field): field for name, field in table.model_fields.items()}
    given = str(problem["loc"][0])
    name = env_name(given, table.model_fields[given]) if given in table.model_fields else given
    if problem["type"] == "missing":
        return f"{name} is required"
    if name not in fields or is_secret(fields[name]):
        return f"{name}: {reason}"
    return f"{name}: {reason}, got {problem['input']}"


def say_plainly(message: str) -> str:
    """A validator's message in the words of an option."""
    for theirs, ours in _PLAIN_WORDS.items():
        message = message.replace(theirs, ours)
    return message


def refuse(problems: list[str], exit_code: int = EXIT_BAD_OPTIONS) -> NoReturn:
    """Print each problem on stderr and leave, if not told otherwise with the code for options."""
    for problem in problems:
        sys.stderr.write(f"error: {problem}\n")
    raise SystemExit(exit_code)
