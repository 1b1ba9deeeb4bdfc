"""Keys, their file, and the ring that follows it."""

import ast
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from starlette.types import Scope

from common.errors import Forbidden, Unauthorized
from common.keys import (
    Key,
    KeyRing,
    KeysUnusable,
    create_key,
    load_keys,
    require,
    save_keys,
)

NOW = 1_800_000_000.0


class StillClock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = NOW

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def showing(key: str) -> Scope:
    return {"type": "http", "headers": [(b"x-api-key", key.encode())]}


def test_a_key_is_kept_as_a_hash_alone(path: Path) -> None:
    text, key = create_key("ops-1", ["read", "write"])
    save_keys(path, [key])
    assert text.startswith("ts_ops-1_")
    assert text.split("_", 2)[2] not in path.read_text()
    assert load_keys(path) == [key]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("key_id", ["", "A", "a_b", "a" * 65, "a\n", "é"])
def test_a_bad_id_is_refused(key_id: str) -> None:
    with pytest.raises(ValueError, match="1 to 64"):
        create_key(key_id, ["read"])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[" * 100_000,
        '[{"id": "a"}]',
        json.dumps([{"id": "a", "hash": "00", "scopes": ["read"]}]),
        json.dumps([{"id": "a", "hash": "0" * 64, "scopes": []}]),
        json.dumps([{"id": "a", "hash": "0" * 64, "scopes": ["root"]}]),
        json.dumps([{"id": "a", "hash": "0" * 64, "scopes": ["read"], "key": "x"}]),
        json.dumps([{"id": "a", "hash": "0" * 64, "scopes": ["read"], "not_after": "2030-01-01"}]),
        json.dumps([{"id": "a", "hash": "0" * 64, "scopes": ["read"]}] * 2),
        "[]",
    ],
)
def test_a_bad_file_does_not_start(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(KeysUnusable, match=r"keys\.json"):
        KeyRing(path)


def test_no_file_does_not_start(path: Path) -> None:
    with pytest.raises(KeysUnusable, match="No such file"):
        KeyRing(path)


def test_the_end_of_a_key(path: Path) -> None:
    clock = StillClock()
    text, key = create_key("a", ["read"], datetime.fromtimestamp(NOW, UTC) + timedelta(seconds=10))
    save_keys(path, [key])
    ring = KeyRing(path, clock)
    assert ring.authenticate(showing(text)) == key
    clock.now += 11
    assert not ring.still_valid(key)
    with pytest.raises(Unauthorized):
        ring.authenticate(showing(text))


def test_the_ring_follows_its_file(path: Path) -> None:
    (one_text, one), (two_text, two) = create_key("one", ["read"]), create_key("two", ["read"])
    save_keys(path, [one])
    ring = KeyRing(path)
    save_keys(path, [one, two])
    assert ring.authenticate(showing(two_text)) == two
    save_keys(path, [two])
    assert not ring.still_valid(one)
    with pytest.raises(Unauthorized):
        ring.authenticate(showing(one_text))


def test_a_file_that_breaks_later_changes_nothing(path: Path) -> None:
    text, key = create_key("one", ["read"])
    save_keys(path, [key])
    ring = KeyRing(path)
    path.write_text("[{")
    assert ring.authenticate(showing(text)) == key
    path.unlink()
    assert ring.authenticate(showing(text)) == key


def test_a_list_that_is_emptied_lets_nobody_in(path: Path) -> None:
    text, key = create_key("one", ["read"])
    save_keys(path, [key])
    ring = KeyRing(path)
    save_keys(path, [])
    with pytest.raises(Unauthorized):
        ring.authenticate(showing(text))


def test_scopes() -> None:
    reader, admin = Key("a", "0" * 64, ("read",)), Key("b", "0" * 64, ("admin",))
    require(reader, "read")
    require(admin, "write")
    with pytest.raises(Forbidden):
        require(reader, "write")


@pytest.mark.parametrize("module", ["common/keys.py", "common/auth.py"])
def test_secrets_are_compared_in_constant_time(module: str) -> None:
    """No comparison of a digest but by ``hmac.compare_digest``; timing itself is not measured."""
    tree = ast.parse((Path(__file__).parents[2] / module).read_text())
    compared = [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare) and re.search(r"digest|hash|secret", ast.unparse(node))
    ]
    assert compared == []
    assert "hmac.compare_digest(" in ast.unparse(tree)
