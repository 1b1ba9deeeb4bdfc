"""InfluxDB behind TLS: trusted by the CAs that were named, and by nothing else."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.storage.base import StoreRefused
from tests.storage.samples import sample
from tests.support.influx import InfluxServer, running_influxd
from tests.support.needs import need_programs
from tests.support.stores import opening_bucket


def certificate(directory: Path, name: str) -> tuple[Path, Path]:
    """A certificate of its own authority, and its key."""
    need_programs("openssl")
    paths = directory / f"{name}.pem", directory / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"]
    command += ["ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=influxdb"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-out", str(paths[0]), "-keyout", str(paths[1])]
    subprocess.run(command, check=True, capture_output=True)
    return paths


@pytest.fixture
def server(tmp_path: Path) -> Iterator[InfluxServer]:
    with running_influxd(tmp_path / "influxd", certificate(tmp_path, "ours")) as server:
        yield server


def test_its_ca_is_trusted_and_another_is_not(tmp_path: Path, server: InfluxServer) -> None:
    ours, (another, _) = tmp_path / "ours.pem", certificate(tmp_path, "another")
    for open_it in opening_bucket(server, "bucket"):
        store = open_it(influxdb_ca_file=ours)
        store.write([sample("a", 0, m=1)])
        assert store.stats().points == 1
        for wrong in (another, None):
            with pytest.raises(StoreRefused, match="certificate"):
                open_it(writable=False, influxdb_ca_file=wrong).stats()
        with pytest.raises(StoreRefused):
            open_it(writable=False, influxdb_ca_file=tmp_path / "absent").stats()
