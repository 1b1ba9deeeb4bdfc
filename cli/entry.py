"""Entry point of the command ``telemetry``."""

import sys

import typer

from cli.commands import TABLES
from common import garbage, logs


def main() -> None:
    """Run a command; what it has to say stands on stdout alone."""
    logs.configure("warning")  # a service has a level of its own
    with garbage.away():
        app = app_for(sys.argv[1:])
    app()


def app_for(arguments: list[str]) -> typer.Typer:
    """The command line that knows the command; what is none is told by the whole of it."""
    name = arguments[0] if arguments else ""
    if name in TABLES:
        from cli.apps import app_of

        return app_of(name)
    from cli.main import NAMES, own, whole_app

    return own if name in NAMES else whole_app()
