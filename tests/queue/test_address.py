"""Where the queue is: one option with two names, an engine by its scheme, a password for nobody."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError
from typer.testing import CliRunner

from cli.main import whole_app
from common.queue.address import QueueAddress, has_password, without_secrets
from common.queue.options import QueueOptions

PASSWORD = "hunter2"
SECRETIVE = {
    f"redis://user:{PASSWORD}@h:6379/2?partitions=8": "redis://h:6379/2",
    f"rediss://:{PASSWORD}@h": "rediss://h",
    f"nats://a:{PASSWORD}@h1:4222,nats://a:{PASSWORD}@h2": "nats://h2",
    f"nats://a:{PASSWORD}@h1,b:{PASSWORD}@h2:4222": "nats://h2:4222",
    f"kafka://a:{PASSWORD}@h1:9092,h2:9092?security.protocol=SASL_SSL": "kafka://h1:9092,h2:9092",
    f"kafka://h1:9092?sasl.password={PASSWORD}": "kafka://h1:9092",
    f"redis://:a/{PASSWORD}@h:6379": "redis://h:6379",
    f"redis://:?{PASSWORD}@h:6379": "redis://...",
    f"kafka://h1:9092?sasl.username=a@b&sasl.password={PASSWORD}": "kafka://...",
    "http://127.0.0.1:7080": "http://127.0.0.1:7080",
}


class Table(QueueOptions):
    """A table with nothing else."""


def load(**flags: Any) -> str:
    return Table.load(flags).queue_url.get_secret_value()


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("QUEUE_URL", "MSG_QUEUE_ADDR", "QUEUE_URL_FILE", "MSG_QUEUE_ADDR_FILE"):
        monkeypatch.delenv(name, raising=False)


def test_without_a_word_it_is_the_proxy_of_this_machine() -> None:
    assert load() == "http://127.0.0.1:7080"


@pytest.mark.parametrize("name", ["QUEUE_URL", "MSG_QUEUE_ADDR"])
def test_either_name_does_and_either_file(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(name, "http://proxy:1")
    assert load() == "http://proxy:1"
    monkeypatch.delenv(name)
    (tmp_path / "url").write_text(f"redis://:{PASSWORD}@h\n")
    monkeypatch.setenv(f"{name}_FILE", str(tmp_path / "url"))
    assert load() == f"redis://:{PASSWORD}@h"


def test_a_flag_wins_over_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MSG_QUEUE_ADDR", "http://a")
    monkeypatch.setenv("QUEUE_URL", "http://b")
    assert load(queue_url="http://c") == "http://c"


def test_two_names_that_say_the_same_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MSG_QUEUE_ADDR", "http://a")
    monkeypatch.setenv("QUEUE_URL", "http://a")
    assert load() == "http://a"


def test_two_names_that_differ_are_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MSG_QUEUE_ADDR", "http://a")
    monkeypatch.setenv("QUEUE_URL", f"redis://:{PASSWORD}@h")
    with pytest.raises(SystemExit) as left:
        load()
    said = capsys.readouterr().err
    assert left.value.code == 2
    assert "QUEUE_URL and MSG_QUEUE_ADDR are one option, and differ" in said
    assert PASSWORD not in said


@pytest.mark.parametrize("url", ["amqp://a:hunter2@h", "h:hunter2", "redis:hunter2", "http://"])
def test_what_is_no_queue_is_refused_by_name(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        load(queue_url=url)
    said = capsys.readouterr().err
    assert "QUEUE_URL: " in said
    assert "redis://" in said
    assert PASSWORD not in said


@pytest.mark.parametrize(("scheme", "extra"), [("redis", "redis"), ("tls", "nats")])
def test_a_missing_client_says_what_to_install(
    scheme: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValidationError) as refused:
        Table(queue_url=SecretStr(f"{scheme}://h"))
    assert f"pip install 'telemetry-stack[{extra}]'" in str(refused.value)


@pytest.mark.parametrize(("url", "shown"), SECRETIVE.items())
def test_nobody_is_shown_a_password(url: str, shown: str) -> None:
    assert without_secrets(url) == shown
    assert has_password(url) == (PASSWORD in url)
    assert PASSWORD not in repr(QueueAddress(url, SecretStr("t")))
    assert PASSWORD not in repr(Table(queue_url=SecretStr(url)))


def test_a_command_line_takes_an_address_and_no_password() -> None:
    url = f"redis://:{PASSWORD}@h"
    for command, flag in (
        ("dlq", "--queue"),
        ("up", "--queue"),
        ("ping", "--queue-url"),
        ("streamer", "--msg-queue-addr"),
    ):
        refused = CliRunner().invoke(whole_app(), [command, flag, url])
        assert refused.exit_code == 2
        assert "with a password use QUEUE_URL or QUEUE_URL_FILE" in refused.output
        assert PASSWORD not in refused.output


def test_a_way_around_the_proxy_needs_one() -> None:
    given = ["--generate-gpus", "1", "--queue-url", "redis://h", "--msg-queue-direct"]
    refused = CliRunner().invoke(whole_app(), ["streamer", *given], env={"SERVICE_TOKEN": "x" * 16})
    assert refused.exit_code == 2
    assert "MSG_QUEUE_DIRECT goes around our proxy, and QUEUE_URL names none" in refused.output
