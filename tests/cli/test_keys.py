"""Keys made and taken away by command, as the API sees them."""

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from starlette.types import Scope

from common.errors import Forbidden, Unauthorized
from common.keys import KeyRing, load_keys, require
from tests.cli.command import telemetry


def keys(file: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return telemetry("keys", *arguments, "--file", str(file))


def made(file: Path, *arguments: str) -> str:
    """The text of a new key: all that is on standard output."""
    done = keys(file, "create", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout.removesuffix("\n")


def showing(text: str) -> Scope:
    return {"type": "http", "headers": [(b"x-api-key", text.encode())]}


def test_the_life_of_a_key(tmp_path: Path) -> None:
    file = tmp_path / "secrets" / "keys.json"
    reader = made(file, "dashboards")
    ring = KeyRing(file)
    key = ring.authenticate(showing(reader))
    require(key, "read")
    with pytest.raises(Forbidden):
        require(key, "write")
    writer = made(file, "edge", "--scope", "read", "--scope", "write", "--days", "30")
    require(ring.authenticate(showing(writer)), "write")

    listed = keys(file, "list", "--json")
    assert [(row["id"], row["scopes"]) for row in json.loads(listed.stdout)] == [
        ("dashboards", ["read"]),
        ("edge", ["read", "write"]),
    ]
    table = keys(file, "list").stdout
    assert "dashboards" in table
    assert "never" in table
    everything = listed.stdout + table + file.read_text()
    for text in (reader, writer):
        assert text.split("_", 2)[2] not in everything

    assert keys(file, "revoke", "dashboards").returncode == 0
    with pytest.raises(Unauthorized):
        ring.authenticate(showing(reader))
    assert ring.authenticate(showing(writer)).id == "edge"
    assert "no key is left" in keys(file, "revoke", "edge").stderr
    assert file.stat().st_mode & 0o777 == 0o600


def test_an_end_that_is_past_is_said(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    text = made(file, "old", "--until", "2020-01-01T00:00:00Z")
    assert "(over)" in keys(file, "list").stdout
    with pytest.raises(Unauthorized):
        KeyRing(file).authenticate(showing(text))


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["create", "A_b"], "1 to 64"),
        (["create", "there"], "already"),
        (["create", "x", "--scope", "root"], "root"),
        (["create", "x", "--days", "0"], "days"),
        (["create", "x", "--until", "soon"], "RFC 3339"),
        (["create", "x", "--days", "1", "--until", "2030-01-01T00:00:00Z"], "not both"),
        (["revoke", "nobody"], "no key"),
    ],
)
def test_what_cannot_be_done_changes_nothing(
    tmp_path: Path, arguments: list[str], problem: str
) -> None:
    file = tmp_path / "keys.json"
    made(file, "there")
    before = file.read_text()
    done = keys(file, *arguments)
    assert done.returncode == 2
    assert problem in done.stderr
    assert "Traceback" not in done.stderr
    assert file.read_text() == before


def test_a_file_that_is_none_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text("not keys")
    for arguments in (["create", "x"], ["list"], ["revoke", "x"]):
        done = keys(file, *arguments)
        assert (done.returncode, file.read_text()) == (2, "not keys")
        assert "keys.json" in done.stderr
    assert keys(tmp_path / "none.json", "list").returncode == 2


def test_commands_at_once_lose_no_key(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: made(file, f"key-{number}"), range(4)))
    assert {key.id for key in load_keys(file)} == {f"key-{number}" for number in range(4)}
