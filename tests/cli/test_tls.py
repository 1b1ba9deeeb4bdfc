"""A whole stack that speaks nothing but TLS."""

from pathlib import Path

from tests.cli.command import telemetry
from tests.support.certificates import Certificates


def test_a_file_is_stored_with_tls_on_every_hop(tmp_path: Path) -> None:
    """Streamer, proxy, brokers and collector find each other only by a CA of the test's."""
    certificates = Certificates(tmp_path / "tls")
    csv = tmp_path / "fleet.csv"
    csv.write_text(telemetry("generate", "--gpus", "4", "--seconds", "20").stdout)
    arguments = ["run", "--once", "--csv", str(csv), "--data-dir", str(tmp_path / "data")]
    done = telemetry(*arguments, **certificates.environment)
    assert done.returncode == 0, done.stdout + done.stderr
    logs = {path.name: path.read_text() for path in (tmp_path / "data/logs").iterdir()}
    assert len(logs) >= 5
    assert "http://" not in "".join(logs.values())
