"""Metrics of a stack under load, by a real Prometheus."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.observed.pages import filled, queries, rules
from tests.observed.promql import selectors
from tests.observed.stack import (
    SERVICES,
    LiveStack,
    Prometheus,
    get,
    prometheus,
    until,
)
from tests.support.needs import need_programs

EXPRESSIONS = queries("expr")
ASKED = (
    "/api/v1/gpus?limit=5",
    "/api/v1/hosts",
    "/api/v1/stats",
    "/api/v1/gpus/no-such-gpu",
)


@pytest.fixture(scope="module")
def server(stack: LiveStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Prometheus, once it has seen enough of the stack for every rate."""
    need_programs("prometheus")
    directory: Path = tmp_path_factory.mktemp("prometheus")
    with prometheus(directory, stack.targets()) as found:
        until(lambda: all(found.query(f'changes(up{{job="{job}"}}[1m]) * 0') for job in SERVICES))

        def seen_enough() -> bool:
            for path in ASKED:
                stack.ask(path)
            rate = found.query('rate(telemetry_data_points_total{job="collector"}[10s])')
            scrapes = found.query('count_over_time(up{job="api"}[30s])')
            return bool(rate and float(rate[0]["value"][1]) > 0 and int(scrapes[0]["value"][1]) > 5)

        until(seen_enough)
        yield found


@pytest.mark.parametrize("where", EXPRESSIONS)
def test_every_query_of_every_dashboard_finds_something(server: Prometheus, where: str) -> None:
    assert server.query(filled(EXPRESSIONS[where])), EXPRESSIONS[where]


def test_every_alert_is_understood(server: Prometheus) -> None:
    until(lambda: all(rule["health"] != "unknown" for rule in server.alerting_rules()))
    found = {rule["name"]: rule for rule in server.alerting_rules()}
    assert found.keys() == rules().keys()
    assert {name: it.get("lastError") for name, it in found.items() if it["health"] != "ok"} == {}


@pytest.mark.parametrize("service", SERVICES)
def test_prometheus_finds_nothing_to_say_against_the_metrics(
    stack: LiveStack, service: str
) -> None:
    need_programs("promtool")
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=stack.exposition(service),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("where", EXPRESSIONS | {name: it["expr"] for name, it in rules().items()})
def test_every_metric_named_is_registered_by_the_service_it_is_asked_of(
    stack: LiveStack, where: str
) -> None:
    query = EXPRESSIONS.get(where) or rules()[where]["expr"]
    for found in selectors(query):
        for job in set(found.jobs) & set(SERVICES) if found.metric != "up" else ():
            known = labels_by_metric(stack.exposition(job))
            assert found.family in known, f"{job} has no {found.metric}"
            ours = found.matchers.keys() - {"job", "instance"}
            if known[found.family]:  # a family without a series yet says nothing of its labels
                assert ours <= known[found.family], f"{found.metric} of {job}"


def labels_by_metric(text: str) -> dict[str, set[str]]:
    """Every family's name, as queries use it, with the labels of its series."""
    return {
        family.name + ("_total" if family.type == "counter" else ""): {
            label for sample in family.samples for label in sample.labels
        }
        for family in text_string_to_metric_families(text)
    }


CLOSED = {
    "method": re.compile(r"GET|POST|PUT|DELETE|HEAD|OPTIONS|PATCH|OTHER"),
    "status": re.compile(r"[1-5]\d\d"),
    "partition": re.compile(r"\d{1,3}"),
    "topic": re.compile(r"telemetry"),
    "group": re.compile(r"collectors|"),
    "broker": re.compile(r"broker-\d"),
    "le": re.compile(r"[\d.e+-]+|\+Inf"),
    "route": re.compile(r"/[a-z0-9_./{}:-]*|unmatched|other"),
    "reason": re.compile(r"[a-z_]+"),
    "outcome": re.compile(r"[a-z_]+"),
}


@pytest.mark.parametrize("service", SERVICES)
def test_every_label_takes_values_from_its_closed_set(stack: LiveStack, service: str) -> None:
    for family in text_string_to_metric_families(stack.exposition(service)):
        for sample in family.samples:
            for label, value in sample.labels.items():
                assert label in CLOSED, f"{sample.name} has {label}"
                assert CLOSED[label].fullmatch(value), f"{sample.name} has {label}={value}"


def series(stack: LiveStack, service: str) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    return {
        (sample.name, tuple(sorted(sample.labels.items())))
        for family in text_string_to_metric_families(stack.exposition(service))
        for sample in family.samples
    }


def test_no_series_grows_with_paths_or_ids(stack: LiveStack) -> None:
    def ask(number: int) -> None:
        stack.ask(f"/api/v1/gpus/GPU-{number}")
        stack.ask(f"/api/v1/gpus/GPU-{number}/telemetry?limit={number + 1}")
        stack.ask(f"/nothing/{number}")
        stack.queue(f"/nothing/{number}")
        stack.queue(f"/trace/broker-{number + 50}:0:0?topic=telemetry")
        for service in ("broker", "collector", "streamer"):
            get(f"http://{stack.targets()[service][0]}/nothing/{number}")

    ask(0)
    before = {service: series(stack, service) for service in SERVICES}
    for number in range(1, 20):
        ask(number)
    grown = {
        service: {
            name
            for name, labels in series(stack, service) - before[service]
            if dict(labels).get("route") not in ("/metrics", "/ready", "/produce", "/ack")
        }
        for service in SERVICES
    }
    assert not any(grown.values()), grown
