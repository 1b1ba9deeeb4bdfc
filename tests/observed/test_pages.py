"""Dashboards and alerts, read: what they name, and whether it is theirs to name."""

import re
import subprocess
from typing import Any

import pytest
import yaml

from tests.observed.pages import ALERTS, ROOT, dashboards, queries, rules
from tests.observed.promql import selectors
from tests.observed.stack import SERVICES
from tests.support.needs import need_programs

ELSEWHERE = {"dcgm-exporter": re.compile(r"DCGM_FI_[A-Z0-9_]+")}  # whose series are not ours
EXPRESSIONS = queries("expr") | {name: rule["expr"] for name, rule in rules().items()}


def test_selectors_are_found_in_a_query() -> None:
    found = selectors(
        'sum by (topic) (rate(a_total{job="x",t=~"$t"}[5m])) / time() > b or c{d="e"}'
    )
    assert [(it.metric, it.jobs) for it in found] == [("a_total", ["x"]), ("c", []), ("b", [])]


@pytest.mark.parametrize("where", EXPRESSIONS)
def test_every_series_is_asked_of_the_service_that_has_it(where: str) -> None:
    for found in selectors(EXPRESSIONS[where]):
        assert found.jobs, f"{found.metric} without a job"
        assert set(found.jobs) <= {*SERVICES, *ELSEWHERE}
        for job in set(found.jobs) & ELSEWHERE.keys():
            assert ELSEWHERE[job].fullmatch(found.metric)


def test_every_dashboard_can_be_told_apart_and_every_panel_placed() -> None:
    pages = dashboards()
    assert set(pages) == {"services", "queue", "api", "infrastructure", "gpu-fleet"}
    assert len({page["uid"] for page in pages.values()}) == len(pages)
    for name, page in pages.items():
        panels = page["panels"]
        assert len({panel["id"] for panel in panels}) == len(panels), name
        assert not any(overlap(a, b) for i, a in enumerate(panels) for b in panels[:i]), name
        for panel in panels:
            if panel["type"] != "row":
                assert panel["datasource"]["uid"] == "${datasource}"
                assert panel["targets"], panel["title"]


def overlap(one: Any, other: Any) -> bool:
    a, b = one["gridPos"], other["gridPos"]
    return bool(
        a["x"] < b["x"] + b["w"]
        and b["x"] < a["x"] + a["w"]
        and a["y"] < b["y"] + b["h"]
        and b["y"] < a["y"] + a["h"]
    )


def test_every_alert_fires_and_is_silent_when_it_should() -> None:
    need_programs("promtool")
    tests = ALERTS.with_name("alerts.test.yml")
    for arguments in (["check", "rules", ALERTS.name], ["test", "rules", tests.name]):
        done = subprocess.run(
            ["promtool", *arguments],
            cwd=ALERTS.parent,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "duplicate" not in done.stderr
    looked_at = {
        (case["alertname"], bool(case["exp_alerts"]))
        for test in yaml.safe_load(tests.read_text())["tests"]
        for case in test["alert_rule_test"]
    }
    assert looked_at == {(name, fires) for name in rules() for fires in (True, False)}


@pytest.mark.parametrize("name", rules())
def test_every_alert_says_what_to_do(name: str) -> None:
    rule = rules()[name]
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^#+ (.+)$", (ROOT / page).read_text(), re.M)
    assert anchor == name.lower()
    assert name in headings


def test_the_configuration_of_the_compose_file_is_one() -> None:
    need_programs("promtool")
    done = subprocess.run(
        ["promtool", "check", "config", str(ROOT / "prometheus/prometheus.yml")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
