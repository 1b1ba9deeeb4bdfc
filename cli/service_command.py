"""A command line made from a service's options table: one flag a row."""

import inspect
from collections.abc import Callable, Mapping
from pkgutil import resolve_name
from typing import Annotated, Any

import typer

from common import garbage
from common.options import (
    Options,
    ServiceOptions,
    default_text,
    env_name,
    flag_name,
    is_secret,
    on_command_line,
    other_flags,
    refuse,
)
from common.queue.address import has_password


def plain_command(table: type[Options], work: str) -> Callable[..., None]:
    """Return a function that typer turns into a command that does ``work`` and ends.

    ``work`` is "module:function" of a table that returns an exit code, imported when it is run.
    """

    def run(**flags: Any) -> None:
        raise typer.Exit(resolve_name(work)(table.load(given_flags(table, flags))))

    return with_flags(run, table)


def service_command(
    table: type[ServiceOptions], create_app: str, instead: str = ""
) -> Callable[..., None]:
    """Return a function that typer turns into the command of a service.

    Flags win over the environment; what is not given is left to it. Flags are text here, but for
    those that are on or off: the table alone parses and refuses. ``create_app`` and ``instead`` are
    "module:function", imported when they are run; when ``instead`` returns an exit code of the
    flags, it has done what was asked and no service is run.
    """

    def run(**flags: Any) -> None:
        given = given_flags(table, flags)
        exit_code = resolve_name(instead)(given) if instead else None
        if exit_code is not None:
            raise typer.Exit(exit_code)
        options = table.load(given)
        with garbage.away():
            from common.http.server import serve

            make = resolve_name(create_app)
        serve(options, make)

    return with_flags(run, table)


def given_flags(table: type[Options], flags: Mapping[str, Any]) -> dict[str, Any]:
    """What stands on the command line; leaves the process for a password there."""
    given = {name: value for name, value in flags.items() if value is not None}
    for name, value in given.items():
        field = table.model_fields[name]
        if is_secret(field) and has_password(value):
            refuse_password(flag_name(name, field), env_name(name, field))
    return given


def refuse_password(flag: str, env: str) -> None:
    """Leave the process: everyone on this machine can read its command line."""
    refuse([f"{flag}: everyone can read a command line; with a password use {env} or {env}_FILE"])


def with_flags(run: Callable[..., None], table: type[Options]) -> Callable[..., None]:
    """Give a function of keyword flags the signature that typer reads."""
    parameters = [
        flag_parameter(name, field)
        for name, field in table.model_fields.items()
        if on_command_line(field)
    ]
    annotations = {parameter.name: parameter.annotation for parameter in parameters}
    vars(run).update(__signature__=inspect.Signature(parameters))  # what typer reads
    run.__annotations__ = annotations
    return run


def flag_parameter(name: str, field: Any) -> inspect.Parameter:
    """One row of the table as a keyword parameter with typer's annotation."""
    default = "" if field.is_required() else f" [default: {default_text(field)}]"
    flags = [flag_name(name, field), *other_flags(field)]
    on_or_off = field.annotation is bool
    if on_or_off:
        flags[0] += f"/--no-{flags[0].removeprefix('--')}"
    note = typer.Option(
        *flags,
        help=f"{field.description}{default} [env: {env_name(name, field)}]",
        show_default=False,
        metavar=None if on_or_off else "VALUE",
    )
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[bool | None, note] if on_or_off else Annotated[str | None, note],
    )
