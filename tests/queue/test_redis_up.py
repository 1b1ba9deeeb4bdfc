"""`telemetry up` on Redis: what a client posts to the API is stored, and asked for again."""

import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import Started, started
from tests.support.ports import free_port
from tests.support.redis import PASSWORD, QUOTED, RedisServer, running_redis

RECORD = {"uuid": "GPU-posted", "metric": "power", "value": 42.0, "time": "2025-07-18T20:42:34Z"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with running_redis(tmp_path / "redis") as found:
        yield found


@pytest.fixture
def stack(tmp_path: Path, server: RedisServer) -> Iterator[Started]:
    ports = ("--api-port", str(free_port()))
    arguments = ("up", "--gpus", "0", "--data-dir", str(tmp_path / "data"), *ports)
    with started(tmp_path, *arguments, QUEUE_URL=server.url()) as up:
        up.until(lambda: "Ctrl-C stops" in up.output())
        yield up


def test_what_is_posted_is_stored_and_no_password_is_shown(
    stack: Started, server: RedisServer, tmp_path: Path
) -> None:
    shown = re.search(r"^queue +(\S+)$", stack.output(), re.M)
    assert shown is not None
    assert shown[1] == f"redis://127.0.0.1:{server.port}/0"
    assert not (tmp_path / "data/broker-0").exists()
    api = re.search(r"^API +(http://\S+)", stack.output(), re.M)
    assert api is not None
    key = (tmp_path / "data/secrets/api-key").read_text().strip()

    def ask(path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{api[1]}{path}", data, {"X-API-Key": key})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())

    assert ask("/telemetry", RECORD)["accepted"] == 1
    stack.until(lambda: ask("/api/v1/gpus?limit=5")["gpus"] != [])
    points = ask("/api/v1/gpus/GPU-posted/telemetry?limit=5")["points"]
    assert [point["value"] for point in points] == [42.0]
    assert "its own tools" in ask("/api/v1/stats")["queue"]["problem"]
    logs = [path.read_text() for path in (tmp_path / "data/logs").glob("*.log")]
    everything = "".join([*logs, stack.output()])
    assert "redis answers" in everything
    assert not [word for word in (PASSWORD, QUOTED) if word in everything]
