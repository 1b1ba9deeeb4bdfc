"""The command line that typer is given: all of it, or one command of a table alone."""

import typer

from cli.commands import COMMANDS, SERVICES
from cli.service_command import plain_command, service_command


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
    if name in SERVICES:
        instead = "streamer.dry_run:dry_run" if name == "streamer" else ""
        service = SERVICES[name]
        run = service_command(service.options, service.work, instead)
    else:
        run = plain_command(COMMANDS[name].options, COMMANDS[name].work)
    app.command(name, help=(SERVICES | COMMANDS)[name].text)(run)


def app_of(name: str) -> typer.Typer:
    """A command line with one command: a service starts without the flags of the others."""
    app = new_app()
    add(app, name)
    return app
