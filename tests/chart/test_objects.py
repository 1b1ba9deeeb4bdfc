"""Every object of the chart, over the matrix of ways to install it."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.chart.matrix import MATRIX, NEWEST, OLDEST
from tests.chart.render import (
    CHART,
    KUBERNETES,
    Object,
    containers,
    helm,
    one,
    pod_specs,
    refusal,
    render,
)
from tests.observed.pages import DASHBOARDS
from tests.support.needs import need_programs

MADE_BY_USERS = {"mine", "telemetry-auth", "telemetry-influxdb", "exports"}
CUSTOM = {"PodMonitor", "PrometheusRule"}  # not Kubernetes' own: looked at below
RUN_ONCE = {"Job", "Pod"}

ways = pytest.mark.parametrize("way", MATRIX)


@pytest.fixture(scope="module")
def rendered() -> dict[str, list[Object]]:
    return {way: render(*arguments) for way, arguments in MATRIX.items()}


@ways
def test_helm_lints_it(way: str) -> None:
    done = helm("lint", "--strict", str(CHART), *MATRIX[way])
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("version", [OLDEST, KUBERNETES, NEWEST])
def test_kubernetes_knows_every_field(rendered: dict[str, list[Object]], version: str) -> None:
    """Of every object of the matrix, those that are the same in several ways looked at once."""
    different = {json.dumps(it): it for objects in rendered.values() for it in objects}
    for found in different.values():
        if found["kind"] not in CUSTOM:
            kubernetes_validate.validate(found, version.rpartition(".")[0], strict=True)


def test_the_objects_are_the_same_on_every_version(rendered: dict[str, list[Object]]) -> None:
    def shapes(objects: list[Object]) -> list[Object]:
        return [it for it in objects if it["kind"] != "Secret"]  # whose text is made by chance

    for version in (OLDEST, NEWEST):
        again = render(*MATRIX["everything-on"], version=version)
        assert shapes(again) == shapes(rendered["everything-on"])
    assert "incompatible with Kubernetes" in refusal("--kube-version", "1.26.0")


@ways
def test_every_container_is_probed_bounded_and_restricted(
    rendered: dict[str, list[Object]], way: str
) -> None:
    for owner, container in containers(rendered[way]):
        where = f"{owner['kind']} {owner['metadata']['name']}/{container['name']}"
        if owner["kind"] not in RUN_ONCE:
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                assert probe in container, where
        assert "memory" in container["resources"]["limits"], where
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), where
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, where
    for owner, pod in pod_specs(rendered[way]):
        security = pod["spec"]["securityContext"]
        assert security["runAsNonRoot"], owner["metadata"]["name"]
        assert security["runAsUser"] > 0
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        mounts_token = pod["spec"].get("automountServiceAccountToken", True)
        assert mounts_token == owner["metadata"]["name"].endswith("-prometheus")


@ways
def test_every_service_and_budget_selects_pods_and_every_port_is_theirs(
    rendered: dict[str, list[Object]], way: str
) -> None:
    pods = [pod for _, pod in pod_specs(rendered[way])]
    for found in rendered[way]:
        if found["kind"] not in ("Service", "PodDisruptionBudget"):
            continue
        selector = found["spec"]["selector"]
        chosen = [pod for pod in pods if matches(selector.get("matchLabels", selector), pod)]
        assert chosen, found["metadata"]["name"]
        for port in found["spec"].get("ports", []):
            names = {it["name"] for pod in chosen for it in ports_of(pod)}
            assert port["targetPort"] in names, found["metadata"]["name"]


@ways
def test_every_set_of_pods_has_its_service_and_every_scaler_its_target(
    rendered: dict[str, list[Object]], way: str
) -> None:
    there = {(it["kind"], it["metadata"]["name"]) for it in rendered[way]}
    for found in rendered[way]:
        if found["kind"] == "StatefulSet":
            assert ("Service", found["spec"]["serviceName"]) in there
        if found["kind"] == "HorizontalPodAutoscaler":
            target = found["spec"]["scaleTargetRef"]
            assert (target["kind"], target["name"]) in there
        if found["kind"] == "Ingress":
            for rule in found["spec"]["rules"]:
                for path in rule["http"]["paths"]:
                    assert ("Service", path["backend"]["service"]["name"]) in there


@ways
def test_everything_a_pod_refers_to_is_there(rendered: dict[str, list[Object]], way: str) -> None:
    there = {(it["kind"], it["metadata"]["name"]) for it in rendered[way]}
    keys = {
        (it["kind"], it["metadata"]["name"], key)
        for it in rendered[way]
        if it["kind"] in ("Secret", "ConfigMap")
        for key in {**it.get("data", {}), **it.get("stringData", {})}
    }
    for owner, pod in pod_specs(rendered[way]):
        account = pod["spec"].get("serviceAccountName", "default")
        assert account == "default" or ("ServiceAccount", account) in there
        for kind, name, key in references(pod["spec"]):
            if name in MADE_BY_USERS:
                continue
            assert (kind, name) in there, owner["metadata"]["name"]
            assert key is None or (kind, name, key) in keys, (owner["metadata"]["name"], key)
        volumes = {volume["name"] for volume in pod["spec"].get("volumes", [])}
        claims = {
            claim["metadata"]["name"] for claim in owner["spec"].get("volumeClaimTemplates", [])
        }
        for container in pod["spec"]["containers"]:
            mounted = [mount["name"] for mount in container.get("volumeMounts", [])]
            assert set(mounted) <= volumes | claims


@ways
def test_network_policies_speak_of_pods_that_there_are(
    rendered: dict[str, list[Object]], way: str
) -> None:
    """A policy for a part that is off selects nothing; the ports are those of the pods."""
    pods = [pod for _, pod in pod_specs(rendered[way])]
    for found in rendered[way]:
        if found["kind"] != "NetworkPolicy":
            continue
        chosen = [pod for pod in pods if matches(found["spec"]["podSelector"]["matchLabels"], pod)]
        names = {port["name"] for pod in chosen for port in ports_of(pod)}
        for rule in found["spec"].get("ingress", []) if chosen else []:
            assert {port["port"] for port in rule["ports"]} <= names, found["metadata"]["name"]


def test_the_operators_objects_have_the_shape_that_it_reads() -> None:
    objects = render(*MATRIX["everything-on"])
    (monitor,) = [it for it in objects if it["kind"] == "PodMonitor"]
    (rules,) = [it for it in objects if it["kind"] == "PrometheusRule"]
    assert {it["port"] for it in monitor["spec"]["podMetricsEndpoints"]} == {"http", "api"}
    assert all(
        {"alert", "expr", "labels", "annotations"} <= rule.keys()
        for group in rules["spec"]["groups"]
        for rule in group["rules"]
    )
    assert set(rules["spec"]) == {"groups"}


def matches(selector: Object, pod: Object) -> bool:
    return bool(selector.items() <= pod["metadata"]["labels"].items())


def ports_of(pod: Object) -> list[Any]:
    return [port for it in pod["spec"]["containers"] for port in it.get("ports", [])]


def references(spec: Object) -> Iterator[tuple[str, str, str | None]]:
    """Kind, name and key of each secret and config map that a pod's spec names."""
    for volume in spec.get("volumes", []):
        if "secret" in volume:
            for item in volume["secret"]["items"]:
                yield "Secret", volume["secret"]["secretName"], item["key"]
        if "configMap" in volume:
            yield "ConfigMap", volume["configMap"]["name"], None
    for container in spec["containers"]:
        for row in container.get("env", []):
            source = row.get("valueFrom", {})
            if "secretKeyRef" in source:
                yield "Secret", source["secretKeyRef"]["name"], source["secretKeyRef"]["key"]
    text = json.dumps(spec)
    assert "configMapKeyRef" not in text
    assert "envFrom" not in text


def test_prometheus_takes_the_configuration_and_the_rules(
    rendered: dict[str, list[Object]], tmp_path: Path
) -> None:
    need_programs("promtool")
    for way in ("everything-on", "sqlite-watched"):
        data = one(rendered[way], "ConfigMap", "-prometheus")["data"]
        config = yaml.safe_load(data["prometheus.yml"])
        for job in config["scrape_configs"]:  # Debian's promtool knows no discovery by Kubernetes
            (discovery,) = job.pop("kubernetes_sd_configs")
            assert discovery == {"role": "pod", "namespaces": {"own_namespace": True}}
        (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
        (tmp_path / "alerts.yml").write_text(data["alerts.yml"])
        done = subprocess.run(
            ["promtool", "check", "config", str(tmp_path / "prometheus.yml")],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "rules found" in done.stdout


def test_grafana_gets_the_dashboards_that_its_data_can_fill(
    rendered: dict[str, list[Object]],
) -> None:
    there = {path.name for path in DASHBOARDS.glob("*.json")}
    for way, missing in (("everything-on", set()), ("sqlite-watched", {"gpu-fleet.json"})):
        data = one(rendered[way], "ConfigMap", "-dashboards")["data"]
        assert data.keys() == there - missing
        for text in data.values():
            uid = json.loads(text)["templating"]["list"][0]["current"]["value"]
            sources = one(rendered[way], "ConfigMap", "-grafana")["data"]["datasources.yml"]
            assert f"uid: {uid}\n" in sources


def test_alerts_have_a_link_once_the_page_is_served_somewhere() -> None:
    place = "https://wiki.example/operations"
    given = "monitoring.rules.enabled=true,prometheus.enabled=true,monitoring.runbookUrl=" + place
    objects = render("--set", given)
    groups = one(objects, "PrometheusRule", "")["spec"]["groups"]
    own = yaml.safe_load(one(objects, "ConfigMap", "-prometheus")["data"]["alerts.yml"])["groups"]
    assert own == groups
    for rule in (rule for group in groups for rule in group["rules"]):
        assert rule["annotations"]["runbook_url"] == f"{place}#{rule['alert'].lower()}"
        assert "runbook" not in rule["annotations"]
