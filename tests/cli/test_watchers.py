"""`telemetry up` starts a Prometheus and a Grafana that are there, and tells them of the stack.

Prometheus is the real one. Grafana is a program that writes down how it was started: what it is
given must be what docker-compose and the chart give to a Grafana.
"""

import configparser
import json
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml
from pydantic import SecretStr

from cli.provisioning import write_prometheus, write_provisioning
from cli.supervisor import StackError
from cli.watchers import NOBODY, Watchers, find_watchers, port_near
from common.storage.options import StoreOptions
from tests.chart.render import one, render
from tests.cli.command import Started, children_of, started, telemetry
from tests.observed.stack import Prometheus
from tests.support.needs import need_programs

ROOT = Path(__file__).parents[2]
DASHBOARDS = {path.name for path in (ROOT / "grafana/dashboards").glob("*.json")}
SERVICES = {"broker", "proxy", "collector", "api", "streamer"}
LIMIT_SECONDS = 30.0
RECORDER = f"""#!{sys.executable}
import configparser, http.server, json, os, pathlib, sys
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/api/health" else 404)
        self.end_headers()
started = {{"arguments": sys.argv, "environment": dict(os.environ)}}
pathlib.Path(__file__).with_name("started.json").write_text(json.dumps(started))
settings = configparser.ConfigParser(interpolation=None)
settings.read(sys.argv[sys.argv.index("--config") + 1])
at = settings["server"]["http_addr"], settings.getint("server", "http_port")
http.server.HTTPServer(at, Health).serve_forever()
"""


class Watched:
    """A stack with both beside it, and how the Grafana of the test was started."""

    def __init__(self, up: Started, directory: Path, grafana: Path) -> None:
        self.up = up
        self.data = directory / "data"
        self.grafana = grafana
        started_as = json.loads(grafana.with_name("started.json").read_text())
        self.arguments: list[str] = started_as["arguments"]
        self.environment: dict[str, str] = started_as["environment"]
        self.settings = configparser.ConfigParser(interpolation=None)
        self.settings.read(self.data / "grafana/grafana.ini")

    def address(self, name: str) -> str:
        found = re.search(rf"^{name} +(http://\S+)", self.up.output(), re.M)
        assert found is not None
        return found[1]


@pytest.fixture(scope="module")
def grafana(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program called grafana, installed as from its archive."""
    home = tmp_path_factory.mktemp("grafana")
    (home / "conf").mkdir()
    (home / "conf/defaults.ini").touch()
    (home / "bin").mkdir()
    program = home / "bin/grafana"
    program.write_text(RECORDER)
    program.chmod(0o755)
    return program


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, grafana: Path) -> Iterator[Watched]:
    need_programs("prometheus")
    directory = tmp_path_factory.mktemp("stack")
    ports = ["--api-port", "0", "--proxy-port", "0"]
    arguments = ["up", "--gpus", "2", "--data-dir", str(directory / "data"), *ports]
    with started(directory, *arguments, GRAFANA_BIN=str(grafana)) as up:
        up.until(lambda: "Ctrl-C stops" in up.output())
        yield Watched(up, directory, grafana)


def until(holds: Any) -> None:
    deadline = time.monotonic() + LIMIT_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.05)


def test_prometheus_scrapes_every_process_and_has_the_alerts(watched: Watched) -> None:
    server = Prometheus(watched.address("Prometheus"))
    until(lambda: len(server.query("up == 1")) == len(SERVICES) + 1)  # two brokers
    assert {row["metric"]["job"] for row in server.query("up")} == SERVICES
    in_file = yaml.safe_load((ROOT / "prometheus/alerts.yml").read_text())["groups"]
    alerts = {rule["alert"] for group in in_file for rule in group["rules"]}
    assert {rule["name"] for rule in server.alerting_rules()} == alerts


def test_grafana_is_started_for_its_administrator_alone(watched: Watched) -> None:
    home = watched.grafana.parents[1]
    config = watched.data / "grafana/grafana.ini"
    assert watched.arguments[1:] == ["server", "--config", str(config), "--homepath", str(home)]
    server = watched.settings["server"]
    assert watched.address("Grafana") == f"http://127.0.0.1:{server['http_port']}"
    assert server["http_addr"] == "127.0.0.1"
    assert watched.settings["auth.anonymous"]["enabled"] == "false"
    secrets = set()
    for name in ("admin_password", "secret_key"):
        found = re.fullmatch(r"\$__file\{(.+)\}", watched.settings["security"][name])
        assert found is not None
        assert stat.S_IMODE(Path(found[1]).stat().st_mode) == 0o600
        secrets.add(Path(found[1]).read_text().strip())
    assert all(len(secret) >= 43 for secret in secrets)
    assert len(secrets) == 2
    assert not [name for name, value in watched.environment.items() if "TOKEN" in name and value]
    assert not secrets & set(watched.up.output().split())


def test_compose_gives_a_grafana_the_same_settings(watched: Watched) -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    for name, value in compose["services"]["grafana"]["environment"].items():
        _, section, key = name.removesuffix("__FILE").lower().split("_", 2)
        ours = watched.settings[section][key]
        assert ours.startswith("$__file{") if name.endswith("__FILE") else ours == value


def test_grafana_finds_the_dashboards_that_its_data_can_fill(watched: Watched) -> None:
    provisioning = Path(watched.settings["paths"]["provisioning"])
    provider = yaml.safe_load((provisioning / "dashboards/dashboards.yml").read_text())
    in_compose = ROOT / "grafana/provisioning/dashboards/dashboards.yml"
    place = provider["providers"][0]["options"].pop("path")
    expected = yaml.safe_load(in_compose.read_text())
    expected["providers"][0]["options"].pop("path")
    assert provider == expected
    assert {path.name for path in Path(place).iterdir()} == DASHBOARDS - {"gpu-fleet.json"}
    (source,) = sources_in(provisioning)
    assert source["url"] == watched.address("Prometheus")


def test_neither_outlives_the_stack_however_that_ends(watched: Watched) -> None:
    """Last of this module: it kills what the others ask."""
    programs = {
        pid: Path(f"/proc/{pid}/cmdline").read_text() for pid in children_of(watched.up.process.pid)
    }
    watchers = [pid for pid, line in programs.items() if "cli.child" not in line]
    assert len(watchers) == 2
    watched.up.process.send_signal(signal.SIGKILL)
    watched.up.process.wait()
    until(lambda: not [pid for pid in programs if Path(f"/proc/{pid}/cwd").exists()])


def test_prometheus_believes_the_stacks_own_authority(tmp_path: Path) -> None:
    need_programs("promtool")
    authority = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(authority))
    config = write_prometheus(tmp_path, {"api": ["127.0.0.1:8080"]}, "https", authority)
    command = ["promtool", "check", "config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
    (job,) = yaml.safe_load(config.read_text())["scrape_configs"]
    assert (job["scheme"], job["tls_config"]) == ("https", {"ca_file": str(authority)})


def sources_in(provisioning: Path) -> list[dict[str, Any]]:
    text = (provisioning / "datasources/datasources.yml").read_text()
    found: list[dict[str, Any]] = yaml.safe_load(text)["datasources"]
    return found


def bare(sources: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Data sources without what is a place's own: addresses, and where the token lies."""
    for source in sources:
        source.pop("url")
        source.pop("secureJsonData", None)
    return sources


def test_the_data_sources_are_those_of_compose_and_of_the_chart(tmp_path: Path) -> None:
    options = StoreOptions(
        store="influxdb",
        service_token=SecretStr("0123456789abcdef"),
        influxdb_url="http://127.0.0.1:8086",
        influxdb_token=SecretStr("secret"),
        influxdb_org="telemetry",
        influxdb_bucket="telemetry",
    )
    provisioning = write_provisioning(tmp_path, "http://127.0.0.1:9090", options)
    assert {path.name for path in (tmp_path / "dashboards").iterdir()} == DASHBOARDS
    ours = sources_in(provisioning)
    assert "secret" not in json.dumps(ours).replace("secureJsonData", "")
    values = [
        "--set",
        "store.kind=influxdb,grafana.enabled=true,influxdb.enabled=true,prometheus.enabled=true",
    ]
    chart = one(render(*values), "ConfigMap", "-grafana")["data"]["datasources.yml"]
    assert ours[1]["secureJsonData"] == yaml.safe_load(chart)["datasources"][1]["secureJsonData"]
    expected = bare(ours)
    assert bare(sources_in(ROOT / "grafana/provisioning")) == expected
    assert bare(yaml.safe_load(chart)["datasources"]) == expected


def test_what_is_asked_for_and_is_not_there_ends_the_start(tmp_path: Path) -> None:
    arguments = ["up", "--gpus", "0", "--data-dir", str(tmp_path / "data"), "--grafana"]
    done = telemetry(*arguments, PATH="")
    assert done.returncode == 3
    assert "no grafana: it is not on the PATH; set GRAFANA_BIN" in done.stdout
    assert not (tmp_path / "data").exists()


def test_only_what_is_there_is_started(monkeypatch: pytest.MonkeyPatch, grafana: Path) -> None:
    monkeypatch.setenv("PATH", "")
    assert find_watchers(None, None) == NOBODY
    assert find_watchers(False, False) == NOBODY
    with pytest.raises(StackError, match="no prometheus: it is not on the PATH"):
        find_watchers(None, True)
    monkeypatch.setenv("GRAFANA_BIN", str(grafana))
    assert find_watchers(None, None) == Watchers(grafana)
    assert find_watchers(False, None) == NOBODY
    monkeypatch.setenv("PROMETHEUS_BIN", "/nowhere")
    with pytest.raises(StackError, match="/nowhere is no program"):
        find_watchers(None, None)
    assert find_watchers(None, False) == Watchers(grafana)


def test_a_port_that_somebody_has_is_left_to_them() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        assert port_near(taken) != taken
