"""The files from which Prometheus and Grafana learn of a local stack.

Where they read YAML it is JSON, which is YAML. Alerts, dashboards and the dashboards' provider are
those of the chart and of docker-compose.
"""

import configparser
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.storage.options import StoreOptions

ROOT = Path(__file__).parents[1]
DASHBOARDS = ROOT / "grafana/dashboards"
PROVIDER = ROOT / "grafana/provisioning/dashboards/dashboards.yml"
ALERTS = ROOT / "prometheus/alerts.yml"
SCRAPE_INTERVAL, EVALUATION_INTERVAL = "5s", "15s"
FLEET = "gpu-fleet.json"
"""The dashboard that asks InfluxDB."""
IN_PROVIDER = "/dashboards"
PRIVATE = 0o700


def write_prometheus(
    directory: Path, targets: Mapping[str, Sequence[str]], scheme: str, ca_file: Path | None
) -> Path:
    """Write Prometheus's configuration: a job for each service, named as the service."""
    job: dict[str, Any] = {"scheme": scheme}
    if ca_file is not None:
        job["tls_config"] = {"ca_file": str(ca_file)}
    config = {
        "global": {"scrape_interval": SCRAPE_INTERVAL, "evaluation_interval": EVALUATION_INTERVAL},
        "rule_files": [str(ALERTS)] if ALERTS.is_file() else [],
        "scrape_configs": [
            {"job_name": name, **job, "static_configs": [{"targets": list(addresses)}]}
            for name, addresses in targets.items()
        ],
    }
    directory.mkdir(parents=True, exist_ok=True, mode=PRIVATE)
    return write_json(directory / "prometheus.yml", config)


def write_provisioning(directory: Path, prometheus_url: str, store: StoreOptions) -> Path:
    """Write Grafana's provisioning and put the dashboards beside it; those its data can fill."""
    provisioning, shown = directory / "provisioning", directory / "dashboards"
    for made in (provisioning, shown):
        shutil.rmtree(made, ignore_errors=True)
    for name in ("dashboards", "datasources", "plugins", "alerting"):
        (provisioning / name).mkdir(parents=True, mode=PRIVATE)
    shown.mkdir(mode=PRIVATE)
    for path in sorted(DASHBOARDS.glob("*.json")):
        if path.name != FLEET or store.store == "influxdb":
            shutil.copyfile(path, shown / path.name)
    provider = PROVIDER.read_text(encoding="utf-8").replace(IN_PROVIDER, json.dumps(str(shown)))
    (provisioning / "dashboards/dashboards.yml").write_text(provider, encoding="utf-8")
    sources = {"apiVersion": 1, "datasources": data_sources(prometheus_url, store)}
    write_json(provisioning / "datasources/datasources.yml", sources)
    return provisioning


def write_settings(
    directory: Path, port: int, provisioning: Path, *, password: Path, secret_key: Path
) -> Path:
    """Write Grafana's settings: it listens here, for its administrator alone, and calls nobody."""
    settings = configparser.ConfigParser(interpolation=None)
    data = directory / "data"
    settings["server"] = {"http_addr": "127.0.0.1", "http_port": str(port)}
    settings["paths"] = {
        "data": str(data),
        "logs": str(data / "log"),
        "plugins": str(data / "plugins"),
        "provisioning": str(provisioning),
    }
    settings["security"] = {
        "admin_password": f"$__file{{{password}}}",
        "secret_key": f"$__file{{{secret_key}}}",
    }
    settings["auth.anonymous"] = {"enabled": "false"}
    settings["users"] = {"allow_sign_up": "false"}
    settings["analytics"] = {"reporting_enabled": "false", "check_for_updates": "false"}
    path = directory / "grafana.ini"
    with path.open("w", encoding="utf-8") as file:
        settings.write(file)
    return path


def data_sources(prometheus_url: str, store: StoreOptions) -> list[dict[str, Any]]:
    """Prometheus, and the store where that is a server; its token stays in the environment."""
    found: list[dict[str, Any]] = [
        {
            "name": "Prometheus",
            "uid": "prometheus",
            "type": "prometheus",
            "access": "proxy",
            "isDefault": True,
            "url": prometheus_url,
        }
    ]
    if store.store == "influxdb":
        place = {"organization": store.influxdb_org, "defaultBucket": store.influxdb_bucket}
        found.append(
            {
                "name": "InfluxDB",
                "uid": "influxdb",
                "type": "influxdb",
                "access": "proxy",
                "url": store.influxdb_url,
                "jsonData": {"version": "Flux", **place},
                "secureJsonData": {"token": "$INFLUXDB_TOKEN"},
            }
        )
    return found


def write_json(path: Path, content: Any) -> Path:
    """Write a file whole; return its path."""
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return path
