"""What the commands run is named, and imported late: the names must be of functions."""

from pkgutil import resolve_name

import pytest

from cli.commands import COMMANDS, SERVICES


@pytest.mark.parametrize("name", [*SERVICES, *COMMANDS])
def test_every_command_runs_a_function_of_its_own_package(name: str) -> None:
    _, path, _ = {**SERVICES, **COMMANDS}[name]
    assert callable(resolve_name(path))
    assert path.startswith(f"{name}." if name in SERVICES else "cli.")
