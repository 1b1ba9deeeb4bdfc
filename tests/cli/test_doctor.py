"""`telemetry doctor`: each misconfiguration is planted for real, found, and named with a remedy."""

import os
import socket
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pydantic import SecretStr

from api.options import ApiOptions
from cli.doctor import cluster, disk, examine, machine, secrets, stores
from cli.doctor.examine import Patient
from cli.doctor.finding import Finding, Level, Ward
from cli.doctor.local import patients_of
from common.journal import position
from common.journal.files import DiskFiles
from common.keys import create_key, save_keys
from common.models import Gpu, Sample
from common.storage.base import StoreStats
from common.storage.sqlite.store import SqliteStore
from tests.cli.command import telemetry
from tests.support import proxy as proxies
from tests.support.broker import running_broker
from tests.support.client import TOKEN
from tests.support.faulty import FaultyBroker, http_answer, opened
from tests.support.mounts import tmpfs

GOOD_TOKEN = "q9Xw3-uLk7VbT2mZ"
DAY_MS = 86_400_000


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SERVICE_TOKEN", raising=False)


async def found(service: str, **given: str) -> list[Finding]:
    """What is wrong with one service whose queue is not looked at."""
    given.setdefault("SERVICE_TOKEN", GOOD_TOKEN)
    patient = Patient(service, given, listens="PORT" in given, queue="MSG_QUEUE_ADDR" in given)
    return [each for each in await examine.examine_service(patient) if each.level is not Level.OK]


def of(findings: list[Finding], check: str) -> Finding:
    """The one finding of a check; it has a remedy."""
    [finding] = [each for each in findings if each.check == check]
    assert finding.remedy
    return finding


async def found_at(url: str, token: str = GOOD_TOKEN) -> list[Finding]:
    """What is wrong with a queue."""
    ward = Ward("collector")
    await cluster.check_queue(ward, "MSG_QUEUE_ADDR", url, SecretStr(token))
    return [each for each in ward.findings if each.level is not Level.OK]


async def test_nothing_is_found_where_nothing_is_wrong(tmp_path: Path) -> None:
    async with proxies.cluster(tmp_path, 2) as stack:
        assert await found_at(stack.url, TOKEN) == []
        directory = tmp_path / "collector"
        findings = await found(
            "collector",
            DATA_DIR=str(directory),
            SQLITE_PATH=str(directory / "telemetry.db"),
            MSG_QUEUE_ADDR=stack.url,
            SERVICE_TOKEN=TOKEN,
        )
    assert [each for each in findings if each.check != "durability"] == []


class TestOptions:
    async def test_a_value_out_of_bounds(self, tmp_path: Path) -> None:
        finding = of(await found("broker", DATA_DIR=str(tmp_path), QUEUE_SIZE="-5"), "options")
        assert finding.what == "QUEUE_SIZE: must be greater than or equal to 1, got -5"
        assert "Messages a partition keeps in memory" in finding.remedy

    async def test_a_required_option_that_is_missing(self) -> None:
        assert of(await found("broker"), "options").what == "DATA_DIR is required"

    async def test_brokers_that_nobody_names(self) -> None:
        patient = Patient("proxy", {"SERVICE_TOKEN": GOOD_TOKEN}, listens=False)
        findings = await examine.examine_service(patient)
        assert (
            "no broker is named"
            in of([each for each in findings if each.level is Level.ERROR], "brokers").what
        )


class TestSecrets:
    @pytest.mark.parametrize("token", ["a" * 32, "changeme-changeme-123", "telemetry-stack-token"])
    async def test_a_token_that_can_be_guessed(self, tmp_path: Path, token: str) -> None:
        finding = of(await found("broker", DATA_DIR=str(tmp_path), SERVICE_TOKEN=token), "token")
        assert token not in str(finding)

    def test_keys_that_others_can_read(self, tmp_path: Path) -> None:
        finding = of(self.keys_found(tmp_path, mode=0o644), "secret file")
        assert "chmod 600" in finding.remedy

    def test_keys_that_have_all_ended(self, tmp_path: Path) -> None:
        findings = self.keys_found(tmp_path, ends=timedelta(days=-1))
        assert "none of the 1 keys" in of(findings, "api keys").what

    def test_a_key_that_ends_soon(self, tmp_path: Path) -> None:
        finding = of(self.keys_found(tmp_path, ends=timedelta(days=3)), "api keys")
        assert (finding.level, "key fleet ends" in finding.what) == (Level.WARNING, True)

    def test_a_file_of_keys_that_is_not_there(self, tmp_path: Path) -> None:
        ward = Ward("api")
        secrets.check_keys(ward, tmp_path / "none.json")
        assert "telemetry keys create" in of(ward.findings, "api keys").remedy

    def keys_found(
        self, tmp_path: Path, mode: int = 0o600, ends: timedelta | None = None
    ) -> list[Finding]:
        path, now = tmp_path / "keys.json", datetime.now(UTC)
        save_keys(path, [create_key("fleet", ["read"], now + ends if ends else None)[1]])
        path.chmod(mode)
        ward = Ward("api")
        secrets.check_keys(ward, path, now)
        return [each for each in ward.findings if each.level is not Level.OK]


class TestDisk:
    @pytest.fixture
    def small(self, tmp_path: Path) -> Iterator[Path]:
        with tmpfs(tmp_path / "small", "size=1m") as path:
            yield path

    async def test_a_log_in_memory(self, small: Path) -> None:
        finding = of(await found("broker", DATA_DIR=str(small / "logs")), "durability")
        assert "is on tmpfs" in finding.what

    def test_a_log_in_the_layer_of_a_container(self, tmp_path: Path) -> None:
        mounts = f"overlay / overlay rw 0 0\n/dev/sda1 {tmp_path} ext4 rw 0 0\n"
        assert disk.file_system(tmp_path / "broker-0", mounts) == "ext4"
        ward = Ward("broker")
        disk.check_durable(ward, "DATA_DIR", Path("/var"), disk.file_system(Path("/var"), mounts))
        assert "mount a volume" in of(ward.findings, "durability").remedy

    async def test_no_room_below_the_reserve(self, small: Path) -> None:
        finding = of(await found("broker", DATA_DIR=str(small)), "disk space")
        assert "DISK_RESERVE" in finding.what

    async def test_a_spool_larger_than_its_disk(self, small: Path) -> None:
        findings = await found(
            "collector", DATA_DIR=str(small), SQLITE_PATH=str(small / "t.db"), SPOOL_BYTES="2GiB"
        )
        assert "SPOOL_BYTES" in of(findings, "disk space").what

    async def test_a_directory_that_cannot_be_written_to(self, tmp_path: Path) -> None:
        with tmpfs(tmp_path / "shut", "size=1m", "ro") as path:
            finding = of(await found("broker", DATA_DIR=str(path)), "directory")
        assert "cannot be written to" in finding.what

    async def test_a_directory_of_another_broker(self, tmp_path: Path) -> None:
        position.save(DiskFiles(), tmp_path / "broker", {"name": "broker-7", "draining": False})
        finding = of(await found("broker", DATA_DIR=str(tmp_path)), "directory")
        assert "belongs to broker-7" in finding.what

    def test_a_disk_that_syncs_slowly(self, tmp_path: Path) -> None:
        ticks = iter(range(100))
        ward = Ward("broker")
        disk.check_sync_time(ward, "DATA_DIR", tmp_path, clock=lambda: float(next(ticks)))
        assert "1000.0 ms" in of(ward.findings, "fsync").what
        assert list(tmp_path.iterdir()) == []


class TestMachine:
    def test_a_clock_that_was_never_set(self) -> None:
        ward = Ward("machine")
        machine.check_clock(ward, now=86_400.0)
        assert "1970-01-02" in of(ward.findings, "clock").what

    async def test_clocks_that_differ(self) -> None:
        ready = http_answer(
            200, {"ready": True, "reasons": []}, Date="Thu, 01 Jan 2026 00:00:00 GMT"
        )
        broker = FaultyBroker("b", http_answer(404, {}), ready=ready)
        async with opened(broker):
            findings = await found_at(broker.url)
        assert "chrony" in of(findings, "clock").remedy

    async def test_a_port_that_is_taken(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            findings = await found("broker", DATA_DIR=str(tmp_path), PORT=port)
        assert f":{port} is taken" in of(findings, "port").what

    def test_too_few_descriptors(self) -> None:
        ward = Ward("broker")
        machine.check_descriptors(ward, 2000, limit=1024)
        assert "ulimit -n 2256" in of(ward.findings, "descriptors").remedy


class TestQueue:
    async def test_nobody_listens(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as once:
            port = once.getsockname()[1]
        assert "nobody answers" in of(await found_at(f"http://127.0.0.1:{port}"), "queue").what

    async def test_another_program_listens(self) -> None:
        page = http_answer(200, b"<html>")
        other = FaultyBroker("b", page, ready=page)
        async with opened(other):
            assert "another program" in of(await found_at(other.url), "queue").what

    async def test_another_token(self, tmp_path: Path) -> None:
        async with running_broker(tmp_path) as broker:
            finding = of(await found_at(broker.url, "another-token-of-somebody"), "token")
        assert "same SERVICE_TOKEN" in finding.remedy

    async def test_a_broker_that_is_away(self, tmp_path: Path) -> None:
        async with proxies.cluster(tmp_path, 2) as stack:
            await stack.gates["broker-1"].shut()
            await stack.until_ready_is("broker-1", ready=False)
            findings = await found_at(stack.url, TOKEN)
        assert "broker-1 is not ready" in of(findings, "brokers").what

    def test_fewer_partitions_than_brokers(self) -> None:
        finding = self.spread(["a", "b"], ["a", "b", "c"])
        assert "2 partitions for 3 brokers" in finding.what

    def test_a_broker_with_far_too_many_partitions(self) -> None:
        assert "a owns 6 of the 8" in self.spread(["a"] * 6 + ["b"] * 2, ["a", "b"]).what

    def spread(self, owners: list[str], listed: list[str]) -> Finding:
        ward = Ward("collector")
        cluster.check_spread(ward, "t", owners, listed)
        return of(ward.findings, "ring")


class TestStore:
    def test_a_file_that_is_not_ours(self, tmp_path: Path) -> None:
        path = tmp_path / "other.db"
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE accounts(id)")
        assert "not a telemetry store" in of(self.found(path), "store").what

    def test_a_retention_that_the_disk_cannot_hold(self, tmp_path: Path) -> None:
        path = tmp_path / "telemetry.db"
        os.truncate(path, 0) if path.exists() else path.touch()
        os.truncate(path, 1 << 40)  # as large as a terabyte, with nothing in it
        stats = StoreStats(1, 1, 1, 10, 10, oldest_ms=0, newest_ms=DAY_MS)
        ward = Ward("collector")
        stores.check_growth(ward, path, stats, retention_seconds=365 * 86_400.0)
        assert "STORE_RETENTION of 365 days" in of(ward.findings, "retention").what

    def test_points_that_are_kept_for_ever(self, tmp_path: Path) -> None:
        path, now = tmp_path / "telemetry.db", 1_752_871_354_000
        store = SqliteStore(path)
        store.write([Sample(Gpu(uuid="GPU-a"), now + n * DAY_MS, {"util": 1.0}) for n in (0, 1)])
        store.close()
        finding = of(self.found(path), "retention")
        assert (finding.level, finding.remedy) == (Level.WARNING, "set STORE_RETENTION")

    def found(self, path: Path) -> list[Finding]:
        ward = Ward("api")
        options = ApiOptions(
            sqlite_path=path, api_keys_file=path, service_token=SecretStr(GOOD_TOKEN)
        )
        stores.check_store(ward, options)
        return [each for each in ward.findings if each.level is not Level.OK]


class TestSource:
    async def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        finding = of(await found("streamer", CSV_PATH=str(tmp_path / "none.csv")), "source")
        assert "--dry-run" in finding.remedy

    async def test_a_file_that_is_no_telemetry(self, tmp_path: Path) -> None:
        path = tmp_path / "people.csv"
        path.write_text("name,age\nAda,36\n")
        assert "neither a GPU" in of(await found("streamer", CSV_PATH=str(path)), "source").what


class TestCommand:
    def test_findings_for_people_and_the_exit_code(self, tmp_path: Path) -> None:
        done = telemetry("doctor", "broker")
        assert done.returncode == 1
        assert "FAIL broker, options: DATA_DIR is required\n       do: " in done.stdout

    def test_findings_for_machines(self) -> None:
        done = telemetry("doctor", "broker", "--json")
        rows: list[dict[str, Any]] = msgspec.json.decode(done.stdout)
        assert {row["level"] for row in rows} == {"ok", "error"}
        assert set(rows[0]) == {"level", "service", "check", "what", "remedy"}

    def test_no_stack_and_no_service(self, tmp_path: Path) -> None:
        done = telemetry("doctor", "--data-dir", str(tmp_path))
        assert (done.returncode, "name the services" in done.stderr) == (2, True)

    async def test_a_stack_of_a_directory(self, tmp_path: Path) -> None:
        private = tmp_path / "secrets"
        private.mkdir()
        (private / "service-token").write_text(GOOD_TOKEN + "\n")
        save_keys(private / "api-keys.json", [create_key("local", ["admin"])[1]])
        (tmp_path / "broker-0").mkdir()
        patients = patients_of(tmp_path, "http://127.0.0.1:1")
        assert [each.service for each in patients] == ["broker", "collector", "api"]
        findings = await examine.examine(patients)
        assert not [each for each in findings if each.level is Level.ERROR]
