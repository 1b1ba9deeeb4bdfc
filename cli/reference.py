"""``docs/configuration.md`` from the options tables: ``python -m cli.reference`` prints it."""

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from cli.commands import SERVICES, TABLES
from common.options import (
    Options,
    ServiceOptions,
    default_text,
    env_names,
    flag_name,
    is_secret,
    on_command_line,
    other_flags,
)

_HEAD = """# Configuration

Made by `make docs` from the options tables in the code; a test compares the two.

A flag wins over its environment variable. `NAME_FILE` names a file that holds the value of a secret
`NAME`. Durations are written `30s`, `500ms`, `12h` or as seconds, sizes `64MiB` or as bytes, lists
with commas. An option that makes no sense is named on stderr and the service leaves with exit code
2. Variables that no table knows are ignored; flags that no table knows are refused. What is `false`
or `true` has a flag without value: `--loop`, or `--no-loop` against the environment.
"""


def reference() -> str:
    """The whole page."""
    sections = [_HEAD, "## Every service\n", option_table(ServiceOptions, set())]
    shared = set(ServiceOptions.model_fields) - {"port"}
    for name, command in TABLES.items():
        left_out = shared if name in SERVICES else set()
        sections += [f"## `telemetry {name}`\n", f"{command.text}\n"]
        sections.append(option_table(command.options, left_out))
    return "\n".join(sections)


def option_table(options: type[Options], left_out: set[str]) -> str:
    """One options table as Markdown."""
    rows = ["| flag | environment | default | meaning |", "| --- | --- | --- | --- |"]
    rows += [
        f"| {flag_of(name, field)} | {env_of(name, field)} | {default_of(field)} "
        f"| {field.description} |"
        for name, field in options.model_fields.items()
        if name not in left_out
    ]
    return "\n".join(rows) + "\n"


def flag_of(name: str, field: FieldInfo) -> str:
    """The flag; a secret has none, since a command line is there for everyone to read."""
    if not on_command_line(field):
        return ""
    return ", ".join(f"`{flag}`" for flag in (flag_name(name, field), *other_flags(field)))


def env_of(name: str, field: FieldInfo) -> str:
    """Its names in the environment."""
    return ", ".join(f"`{each}`" for each in env_names(name, field))


def default_of(field: FieldInfo) -> str:
    """The default as one would write it."""
    if field.is_required():
        return "required, `_FILE`" if is_secret(field) else "required"
    if field.default in (None, (), SecretStr("")) or not default_text(field):
        return ""
    return f"`{default_text(field)}`"


if __name__ == "__main__":
    print(reference(), end="")
