"""`telemetry run` and `up` with their points in InfluxDB."""

from pathlib import Path

import pytest

from common.storage.base import Store
from tests.cli.command import started, telemetry
from tests.cli.test_run import numbers
from tests.support.influx import ORG, TOKEN, InfluxServer
from tests.support.stores import OpenStore


@pytest.fixture
def store(open_bucket: OpenStore) -> Store:
    return open_bucket(writable=False)


@pytest.fixture
def environment(influxd: InfluxServer, bucket: str, tmp_path: Path) -> dict[str, str]:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    return {
        "INFLUXDB_URL": influxd.url,
        "INFLUXDB_TOKEN_FILE": str(token),
        "INFLUXDB_ORG": ORG,
        "INFLUXDB_BUCKET": bucket,
    }


def test_a_file_is_stored_there_and_the_books_are_counted_there(
    tmp_path: Path, small_fleet: Path, environment: dict[str, str], store: Store
) -> None:
    arguments = ["run", "--once", "--csv", str(small_fleet), "--data-dir", str(tmp_path / "data")]
    for _ in range(2):
        done = telemetry(*arguments, "--store", "influxdb", **environment)
        assert done.returncode == 0, done.stdout + done.stderr
        assert environment["INFLUXDB_BUCKET"] in done.stdout
        books = numbers(done.stdout)
        assert (books["points stored"], books["lost"], books["GPUs"]) == (1200, 0, 24)
    assert store.stats().points == 1200
    assert not (tmp_path / "data" / "telemetry.db").exists()


def test_without_the_server_named_it_says_what_is_missing(
    tmp_path: Path, small_fleet: Path, environment: dict[str, str]
) -> None:
    del environment["INFLUXDB_ORG"]
    done = telemetry(
        *("run", "--once", "--csv", str(small_fleet), "--data-dir", str(tmp_path / "data")),
        *("--store", "influxdb"),
        **environment,
    )
    assert done.returncode == 2
    assert done.stderr == "error: STORE=influxdb needs INFLUXDB_ORG\n"


def test_a_kind_that_is_not_there_is_named(tmp_path: Path, small_fleet: Path) -> None:
    arguments = ["run", "--once", "--csv", str(small_fleet), "--data-dir", str(tmp_path / "data")]
    done = telemetry(*arguments, "--store", "tape")
    assert done.returncode == 2
    assert "STORE" in done.stderr
    assert "tape" in done.stderr


def test_the_whole_stack_runs_over_it(
    tmp_path: Path, environment: dict[str, str], store: Store
) -> None:
    places = ["--data-dir", str(tmp_path / "data"), "--api-port", "0", "--proxy-port", "0"]
    arguments = ["up", "--gpus", "4", "--brokers", "1", "--store", "influxdb", *places]
    with started(tmp_path, *arguments, **environment) as up:
        up.until(lambda: "ask for it" in up.output())
        assert store.stats().gpus == 4
        assert up.end() == 0


def test_the_doctor_names_a_wrong_token(tmp_path: Path, environment: dict[str, str]) -> None:
    del environment["INFLUXDB_TOKEN_FILE"]
    wrong = {"INFLUXDB_TOKEN": "canary-token-of-nobody", "STORE": "influxdb"}
    collector = {"DATA_DIR": str(tmp_path), "SERVICE_TOKEN": "q9Xw3-uLk7VbT2mZ"}
    done = telemetry("doctor", "collector", **environment, **wrong, **collector)
    assert done.returncode != 0
    assert "unauthorized" in done.stdout
    assert "INFLUXDB_TOKEN" in done.stdout
    assert "canary-token-of-nobody" not in done.stdout + done.stderr
