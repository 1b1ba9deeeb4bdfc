"""What the commands run is named, and imported late: the names must be of functions."""

import subprocess
import sys
from pkgutil import resolve_name

import pytest
from typer.testing import CliRunner

from cli.apps import app_of
from cli.commands import SERVICES, TABLES
from cli.entry import app_for
from cli.main import NAMES, whole_app

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
    alone, among_all = (
        CliRunner().invoke(each, [name, "--help"]) for each in (app_of(name), whole_app())
    )
    assert (alone.exit_code, alone.output) == (among_all.exit_code, among_all.output)
    assert f"Usage: telemetry {name} " in alone.output


def imported(name: str) -> set[str]:
    """Packages that a command's line imports."""
    command = [sys.executable, "-c", IMPORTED, name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_a_service_starts_without_the_others() -> None:
    assert not SERVICES.keys() - {"broker"} & imported("broker")


@pytest.mark.parametrize("name", ["keys", "up"])
def test_a_command_without_a_table_starts_without_any(name: str) -> None:
    assert not {*SERVICES, "pydantic_settings"} & imported(name)


def test_every_name_leads_to_its_command_and_another_to_all() -> None:
    whole = {command.name for command in whole_app().registered_commands} | {"keys"}
    assert NAMES | TABLES.keys() == whole
    for name in ("", "--help", "no-such"):
        found = {command.name for command in app_for([name]).registered_commands}
        assert found | {"keys"} == whole
