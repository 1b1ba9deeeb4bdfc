"""What is looked at: dashboards and alerts, as they lie in the repository."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DASHBOARDS = ROOT / "grafana/dashboards"
ALERTS = ROOT / "prometheus/alerts.yml"
RATE_INTERVAL = "15s"


def dashboards() -> dict[str, Any]:
    """Every dashboard by the name of its file."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(DASHBOARDS.glob("*.json"))}


def queries(language: str) -> dict[str, str]:
    """Every query of the dashboards in PromQL (``expr``) or Flux (``query``), by where it is."""
    return {
        f"{name}: {panel['title']} {target['refId']}": target[language]
        for name, dashboard in dashboards().items()
        for panel in dashboard["panels"]
        for target in panel.get("targets", [])
        if language in target
    }


def rules() -> dict[str, Any]:
    """Every alert by its name."""
    groups = yaml.load(ALERTS.read_text(), yaml.CSafeLoader)["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def filled(query: str) -> str:
    """A query as Grafana sends it when everything is chosen."""
    text = query.replace("$__rate_interval", RATE_INTERVAL)
    return re.sub(r"\$\w+", ".*", text)
