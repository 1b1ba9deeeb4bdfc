"""What the commands run is named, and imported late: the names must be of functions."""

import subprocess
import sys
from pkgutil import resolve_name

import pytest
from typer.testing import CliRunner

from cli.apps import app_of
from cli.commands import SERVICES, TABLES
from cli.main import app

IMPORTED = """
import sys
from cli.entry import app_for
app_for(sys.argv[1:])
print(*{name.partition(".")[0] for name in sys.modules})
"""


@pytest.mark.parametrize("name", TABLES)
def test_every_command_runs_a_function_of_its_own_package(name: str) -> None:
    work = TABLES[name].work
    assert callable(resolve_name(work))
    assert work.startswith(f"{name}." if name in SERVICES else "cli.")


@pytest.mark.parametrize("name", TABLES)
def test_a_command_alone_is_what_it_is_among_all(name: str) -> None:
    alone, among_all = (CliRunner().invoke(each, [name, "--help"]) for each in (app_of(name), app))
    assert (alone.exit_code, alone.output) == (among_all.exit_code, among_all.output)
    assert f"Usage: telemetry {name} " in alone.output


def test_a_service_starts_without_the_others() -> None:
    command = [sys.executable, "-c", IMPORTED, "broker"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert not SERVICES.keys() - {"broker"} & set(done.stdout.split())
