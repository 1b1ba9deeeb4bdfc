"""docker-compose.yml and its neighbours: valid, and in the words of the options tables."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.commands import SERVICES
from common.keys import KeyRing
from common.options import env_name
from tests.support.needs import need_programs

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
TABLES = {name: service.options for name, service in SERVICES.items()}
OURS = {
    name: service for name, service in COMPOSE["services"].items() if service.get("build") == "."
}


def command_of(name: str) -> str:
    found: str = OURS[name]["command"][0]
    return found


def test_compose_takes_the_file() -> None:
    need_programs("docker-compose")
    done = subprocess.run(
        ["docker-compose", "-f", "docker-compose.yml", "config", "--quiet"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_every_service_is_run_and_nothing_else_of_ours() -> None:
    assert {command_of(name) for name in OURS} == set(SERVICES)
    assert COMPOSE["services"].keys() - OURS.keys() == {"influxdb", "prometheus", "grafana"}


@pytest.mark.parametrize("name", OURS)
def test_a_service_accepts_the_environment_it_is_given(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    table = TABLES[command_of(name)]
    known = {env_name(field, row) for field, row in table.model_fields.items()}
    secret = tmp_path / "secret"
    secret.write_text("a-secret-of-the-compose-tests")
    for variable, value in OURS[name]["environment"].items():
        assert variable.removesuffix("_FILE") in known or variable in known, variable
        inside = value.startswith("/run/secrets/") and variable not in known
        monkeypatch.setenv(variable, str(secret) if inside else value)
    options = table.load({})
    port = OURS[name].get("ports", [f"::{options.port}"])[0].rpartition(":")[2]
    assert int(port) == options.port
    assert f":{options.port}/ready" in OURS[name]["healthcheck"]["test"][-1]


@pytest.mark.parametrize("name", OURS)
def test_a_service_has_no_more_rights_than_it_needs(name: str) -> None:
    service = OURS[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    for address in service.get("ports", []):
        assert address.startswith("127.0.0.1:")
    used = {Path(value).name for value in service["environment"].values() if "/secrets/" in value}
    assert used == set(service["secrets"])


def test_every_secret_is_a_file_that_the_script_makes(tmp_path: Path) -> None:
    def make() -> dict[str, str]:
        subprocess.run([ROOT / "deploy/make-secrets", tmp_path], check=True, capture_output=True)
        return {path.name: path.read_text() for path in tmp_path.iterdir()}

    first = make()
    assert set(COMPOSE["secrets"]) == first.keys() - {"api-key"}
    assert make() == first, "secrets that are there stay"
    secrets = [value for name, value in first.items() if name != "api-keys.json"]
    assert len(set(secrets)) == len(secrets)
    assert all(len(value) >= 43 for value in secrets)
    scope = {"type": "http", "headers": [(b"x-api-key", first["api-key"].encode())]}
    assert KeyRing(tmp_path / "api-keys.json").authenticate(scope).allows("admin")


def test_prometheus_scrapes_every_service_where_it_listens() -> None:
    jobs = yaml.safe_load((ROOT / "prometheus/prometheus.yml").read_text())["scrape_configs"]
    scraped = {
        (job["job_name"], target)
        for job in jobs
        for row in job["static_configs"]
        for target in row["targets"]
    }
    ports = {name: TABLES[command_of(name)].model_fields["port"].default for name in OURS}
    assert scraped == {(command_of(name), f"{name}:{ports[name]}") for name in OURS}


def test_grafana_finds_its_dashboards_and_data_where_they_are() -> None:
    grafana = COMPOSE["services"]["grafana"]
    mounts = dict(volume.split(":")[:2] for volume in grafana["volumes"])
    provisioning = ROOT / "grafana/provisioning"
    (provider,) = yaml.safe_load((provisioning / "dashboards/dashboards.yml").read_text())[
        "providers"
    ]
    assert mounts["./grafana/dashboards"] == provider["options"]["path"]
    sources = yaml.safe_load((provisioning / "datasources/datasources.yml").read_text())
    for source in sources["datasources"]:
        host, port = re.fullmatch(r"http://([a-z]+):(\d+)", source["url"]).groups()  # type: ignore[union-attr]
        assert host in COMPOSE["services"]
        assert port in ("9090", "8086")


def test_the_cluster_for_kind_is_one() -> None:
    cluster: Any = yaml.safe_load((ROOT / "deploy/kind/cluster.yaml").read_text())
    assert cluster.keys() == {"kind", "apiVersion", "name", "nodes"}
    assert (cluster["kind"], cluster["apiVersion"]) == ("Cluster", "kind.x-k8s.io/v1alpha4")
    assert {node["role"] for node in cluster["nodes"]} <= {"control-plane", "worker"}
    script = (ROOT / "deploy/kind/up").read_text()
    subprocess.run(["sh", "-n", ROOT / "deploy/kind/up"], check=True)
    assert f"--context kind-{cluster['name']} " in script
    for path in re.findall(r"\$chart/([\w.-]+)", script):
        assert (ROOT / "charts/telemetry-stack" / path).exists()
