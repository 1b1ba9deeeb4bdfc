"""Whose directory it is, and options that make no sense."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from pydantic import SecretStr, ValidationError

from broker.options import BrokerOptions
from common.journal import position
from common.journal.files import DiskFiles
from common.options import env_name
from tests.broker.test_process import refused
from tests.support.broker import broker_options, running_broker
from tests.support.client import TOKEN
from tests.support.ports import free_port
from tests.support.serving import NotStartedError


def named(**given: Any) -> str:
    return BrokerOptions(
        data_dir=Path("/data"), service_token=SecretStr(TOKEN), **given
    ).broker_name


@pytest.mark.parametrize(
    ("index", "name"),
    [("2", "broker-2"), ("telemetry-broker-10", "broker-10"), ("a-1-3", "broker-3"), ("0", None)],
)
def test_an_index_or_a_pods_name_names_the_broker(
    monkeypatch: pytest.MonkeyPatch, index: str, name: str | None
) -> None:
    monkeypatch.setenv("BROKER_INDEX", index)
    assert named() == (name or "broker-0")
    assert named(broker_name="own") == "own"
    monkeypatch.setenv("BROKER_NAME", "mine")
    assert named() == "mine"


def test_without_either_it_is_broker_0() -> None:
    assert named() == "broker-0"


async def test_a_directory_is_its_brokers_alone(tmp_path: Path) -> None:
    async with running_broker(tmp_path, broker_name="broker-1") as broker:
        await broker.client.produce("t", b"x")
    with pytest.raises(NotStartedError):
        async with running_broker(tmp_path, broker_name="broker-2"):
            pass
    async with running_broker(tmp_path, broker_name="broker-1") as broker:
        assert (await broker.client.request("GET", "/stats")).json["messages"] == 1


async def test_a_wrong_name_and_its_way_out_are_said(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with running_broker(data, broker_name="broker-1"):
        pass
    code, errors = await refused(data, free_port(), BROKER_INDEX="telemetry-broker-2")
    assert code == 2
    assert errors.startswith("error: BROKER_NAME: ")
    for words in ("belongs to broker-1, not broker-2", "a directory of its own", str(data)):
        assert words in errors
    assert "Traceback" not in errors


async def test_a_directory_without_a_name_is_taken_and_a_removed_name_renames(
    tmp_path: Path,
) -> None:
    async with running_broker(tmp_path, broker_name="old"):
        pass
    (tmp_path / "broker").unlink()
    async with running_broker(tmp_path, broker_name="new"):
        pass
    assert msgspec.json.decode((tmp_path / "broker").read_bytes().split(b"\n")[0]) == {
        "name": "new",
        "draining": False,
    }


@pytest.mark.parametrize(
    ("topics", "words"),
    [
        ("t:8", "topic t has 4 partitions on disk, not 8. Write t:4"),
        ("t:2", "topic t has 4 partitions on disk, not 2. Write t:4"),
        ("t:0", "'t:0' must be name:partitions"),
        ("t:257", "'t:257' must be name:partitions"),
        ("t:many", "'t:many' must be name:partitions"),
        ("t:", "'t:' must be name:partitions"),
        ("../t:1", "'../t:1'"),
        (":3", "':3'"),
    ],
)
async def test_topics_that_cannot_be_end_the_start_with_the_way_out(
    tmp_path: Path, topics: str, words: str
) -> None:
    data = tmp_path / "data"
    async with running_broker(data) as broker:
        await broker.client.produce("t", b"x")
    before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    code, errors = await refused(data, free_port(), TOPICS=topics)
    assert (code, "Traceback" in errors) == (2, False)
    assert errors.startswith("error: TOPICS: ")
    assert words in errors
    assert {path: path.read_bytes() for path in data.rglob("*") if path.is_file()} == before


async def test_settings_of_a_later_version_end_the_start_and_stay_as_they_are(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    async with running_broker(data, topics=("t:1",)):
        pass
    state = {"partitions": 1, "settings": {"replicas": 3}}
    position.save(DiskFiles(), data / "topics/t/topic", state)
    code, errors = await refused(data, free_port())
    assert (code, "Traceback" in errors) == (2, False)
    assert "replicas" in errors
    assert "nothing was changed" in errors
    assert position.load(DiskFiles(), data / "topics/t/topic") == state


NONSENSE = ("-1", "abc", "1e400", "nan", "0x10", "1,5", "9" * 400, " ", "a\r\nb" * 10)
FILES = {"DATA_DIR", "TLS_CERT_FILE", "TLS_KEY_FILE", "TLS_CA_FILE"}
TEXTS = {*FILES, "HOST", "TOPICS", "SERVICE_TOKEN", "BROKER_NAME"}
NUMBERS = [
    env_name(name, field)
    for name, field in BrokerOptions.model_fields.items()
    if env_name(name, field) not in TEXTS
]


@pytest.mark.parametrize("name", sorted(NUMBERS))
@pytest.mark.parametrize("value", NONSENSE)
def test_nonsense_in_any_option_is_refused_by_its_name(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refusal(name, value, monkeypatch, capsys).startswith(f"error: {name}: ")


@pytest.mark.parametrize("value", ["", "a" * 15, "a" * 15 + "\n", "\r\n" + "a" * 20, "é" * 20])
def test_a_token_that_cannot_be_sent_is_refused_and_not_shown(
    value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    errors = refusal("SERVICE_TOKEN", value, monkeypatch, capsys)
    assert errors.startswith("error: SERVICE_TOKEN")
    assert not value or value.strip() not in errors


@pytest.mark.parametrize("value", ["a/b", "-a", "x" * 129, "a b", "a\r\nb"])
def test_a_name_that_no_receipt_can_carry_is_refused(
    value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "BROKER_NAME" in refusal("BROKER_NAME", value, monkeypatch, capsys)


def refusal(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    """What is said of an option, with the exit code that goes with it."""
    given = {"DATA_DIR": "/data", "SERVICE_TOKEN": TOKEN} | {name: value}
    for option, text in given.items():
        monkeypatch.setenv(option, text)
    with pytest.raises(SystemExit) as end:
        BrokerOptions.load({})
    assert end.value.code == 2
    return capsys.readouterr().err


def test_a_lease_shorter_than_the_timeout_is_refused() -> None:
    with pytest.raises(ValidationError, match="MAX_LEASE must not be below"):
        broker_options(Path("/data"), max_lease_seconds=1.0)
