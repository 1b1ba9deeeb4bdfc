"""The command line that typer is given: all of it, or one command of a table alone."""

import typer

from cli.commands import SERVICES, TABLES


def new_app() -> typer.Typer:
    """A command line without commands."""
    return typer.Typer(
        name="telemetry",
        help="GPU telemetry: sources in, a durable queue, a store you can query.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        callback=lambda: None,  # commands keep their names, be there only one
    )


def add(app: typer.Typer, name: str) -> None:
    """Add a command of a table."""
    from cli.service_command import plain_command, service_command

    command = TABLES[name]
    if name in SERVICES:
        run = service_command(command.options, command.work, command.instead)
    else:
        run = plain_command(command.options, command.work)
    app.command(name, help=command.text)(run)


def app_of(name: str) -> typer.Typer:
    """A command line with one command: a service starts without the flags of the others."""
    app = new_app()
    add(app, name)
    return app
