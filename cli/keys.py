"""`telemetry keys`: who may ask the API."""

import fcntl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from common.clock import from_rfc3339
from common.keys import Key, KeysUnusable, create_key, load_keys, save_keys

EXIT_WRONG = 2
MS_PER_SECOND = 1000
MAX_DAYS = 36_500

keys = typer.Typer(
    name="keys",
    help="Make, list and revoke the API's keys. A running API takes changes up at once.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


class Scope(StrEnum):
    """How far a key may reach, as typer reads it."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


KeysFile = Annotated[
    Path,
    typer.Option("--file", envvar="API_KEYS_FILE", help="File of the keys, as the API has it."),
]
KeyId = Annotated[str, typer.Argument(help="Names the key in logs: 1 to 64 of a-z, 0-9 and '-'.")]
DEFAULT_FILE = Path(".telemetry/secrets/api-keys.json")


@keys.command("create")
def create(
    key_id: KeyId,
    scope: Annotated[
        list[Scope], typer.Option(help="read, write or admin, which is both; repeatable.")
    ] = [Scope.READ],  # noqa: B006 typer reads it and never changes it
    days: Annotated[
        int | None, typer.Option(min=1, max=MAX_DAYS, help="Days until its end; none is no end.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Its end, RFC 3339, instead of --days.")] = None,
    file: KeysFile = DEFAULT_FILE,
) -> None:
    """Make a key and print it, this once: only its hash is kept."""
    end = read_end(days, until)
    with changing(file, may_be_new=True) as kept:
        if any(key.id == key_id for key in kept):
            refuse(f"there is a key {key_id!r} already; revoke it, or take another id")
        try:
            text, key = create_key(key_id, list(dict.fromkeys(each.value for each in scope)), end)
        except ValueError as error:
            refuse(str(error))
        kept.append(key)
    sys.stderr.write(f"key {key_id!r} is in {file}; its text is shown this once:\n")
    sys.stdout.write(text + "\n")


@keys.command("list")
def show(
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
    file: KeysFile = DEFAULT_FILE,
) -> None:
    """List the keys: id, scopes and end; what opens the API is not kept and cannot be shown."""
    kept = read(file, may_be_new=False)
    if as_json:
        rows = [{"id": key.id, "scopes": key.scopes, "not_after": key.not_after} for key in kept]
        sys.stdout.write(msgspec.json.encode(rows).decode() + "\n")
        return
    table = Table("id", "scopes", "end")
    for key in kept:
        table.add_row(key.id, " ".join(key.scopes), describe_end(key))
    Console(highlight=False).print(table)


@keys.command("revoke")
def revoke(key_id: KeyId, file: KeysFile = DEFAULT_FILE) -> None:
    """Take a key away: its next request is refused, and its streams end."""
    with changing(file, may_be_new=False) as kept:
        left = [key for key in kept if key.id != key_id]
        if len(left) == len(kept):
            refuse(f"there is no key {key_id!r} in {file}")
        kept[:] = left
    sys.stderr.write(f"key {key_id!r} is revoked\n")
    if not left:
        sys.stderr.write("warning: no key is left; the API lets nobody in and will not start\n")


def read_end(days: int | None, until: str | None) -> datetime | None:
    """When a key ends; None is never."""
    if days is not None and until is not None:
        refuse("give --days or --until, not both")
    if days is not None:
        return datetime.now(UTC).replace(microsecond=0) + timedelta(days=days)
    if until is None:
        return None
    found = from_rfc3339(until)
    if found is None:
        refuse("--until must be RFC 3339 such as 2027-01-01T00:00:00Z")
    return datetime.fromtimestamp(found / MS_PER_SECOND, UTC)


def describe_end(key: Key) -> str:
    """A key's end for people."""
    if key.not_after is None:
        return "never"
    over = " (over)" if key.not_after < datetime.now(UTC) else ""
    return f"{key.not_after:%Y-%m-%d %H:%M:%S}Z{over}"


@contextmanager
def changing(file: Path, *, may_be_new: bool) -> Iterator[list[Key]]:
    """Lend the list of keys and save what became of it; two commands at once take turns."""
    if may_be_new:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not file.parent.is_dir():
        refuse(f"{file}: No such file or directory")
    with file.with_name(file.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = read(file, may_be_new=may_be_new)
        yield kept
        save_keys(file, kept)


def read(file: Path, *, may_be_new: bool) -> list[Key]:
    """The keys of a file, or none of one that is yet to be made."""
    if may_be_new and not file.exists():
        return []
    try:
        return load_keys(file)
    except KeysUnusable as error:
        refuse(str(error))


def refuse(problem: str) -> NoReturn:
    """Say what is wrong and leave."""
    sys.stderr.write(f"error: {problem}\n")
    raise typer.Exit(EXIT_WRONG)
