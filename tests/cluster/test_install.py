"""The chart on a real control plane, whose controllers make the pods; nobody runs them."""

import pytest

from tests.chart.matrix import MATRIX
from tests.cluster.control_plane import ControlPlane
from tests.cluster.release import RELEASE, Release, values

pytestmark = pytest.mark.timeout(400, func_only=True)  # it may have to wait for its turn

EVERYTHING = (
    "streamer.enabled=true",
    "streamer.options.GENERATE_GPUS=4",
    "store.kind=influxdb",
    "influxdb.enabled=true",
    "prometheus.enabled=true",
    "grafana.enabled=true",
    "collector.replicas=2",
    "proxy.autoscaling.enabled=true",
    "api.autoscaling.enabled=true",
)
HOOKS_OFF = "brokers.drain.enabled=false"  # nobody would run their pods here


@pytest.fixture(scope="module")
def release(plane: ControlPlane) -> Release:
    """Everything of the chart, installed without a warning."""
    found = Release(plane, "everything")
    found.helm("install", *values(*EVERYTHING, HOOKS_OFF), wait=False)
    return found


@pytest.mark.parametrize("way", ["defaults", "prod", "everything-off", "sqlite-watched"])
def test_the_api_server_takes_every_object_without_a_warning(plane: ControlPlane, way: str) -> None:
    release = Release(plane, f"only-{way}")
    arguments = [it for it in MATRIX[way] if it]
    if way == "prod":  # whose operator is not on this control plane
        arguments += values("monitoring.podMonitor.enabled=false", "monitoring.rules.enabled=false")
    release.helm("install", *arguments, wait=False)
    release.helm("uninstall", wait=False)


def test_the_controllers_make_every_pod_and_claim(release: Release) -> None:
    wanted = {
        "broker-0",
        "broker-1",
        "collector-0",
        "collector-1",
        "streamer-0",
        "influxdb-0",
        "prometheus-0",
    }
    several = ("api", "proxy", "grafana")

    def all_there() -> bool:
        names = set(release.pods())
        exact = {f"{RELEASE}-{name}" for name in wanted}
        made = all(any(it.startswith(f"{RELEASE}-{name}-") for it in names) for name in several)
        return exact <= names and made

    release.until(all_there)
    claims = set(release.objects("persistentvolumeclaims"))
    assert claims == {f"data-{RELEASE}-{name}" for name in wanted}
    for found in release.objects("replicasets", "apps/v1").values():
        failures = [it for it in found["status"].get("conditions", []) if it["status"] == "True"]
        assert not failures, "PodSecurity, or a quota, refuses the pods"


def test_budgets_and_autoscalers_find_their_targets(release: Release) -> None:
    budgets = {f"{RELEASE}-{name}" for name in ("broker", "proxy", "collector", "api")}

    def expected() -> dict[str, int]:
        found = release.objects("poddisruptionbudgets", "policy/v1")
        return {name: it.get("status", {}).get("expectedPods", 0) for name, it in found.items()}

    release.until(lambda: expected().keys() == budgets and all(expected().values()))

    def scalers_know() -> bool:
        found = release.objects("horizontalpodautoscalers", "autoscaling/v2").values()
        able = [
            condition["status"] == "True"
            for it in found
            for condition in it.get("status", {}).get("conditions", [])
            if condition["type"] == "AbleToScale"
        ]
        return len(able) == len(found) == 2 and all(able)

    release.until(scalers_know)


def test_every_service_selects_a_pod(release: Release) -> None:
    def selected() -> bool:
        pods = release.pods().values()
        return all(
            any(
                service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
                for pod in pods
            )
            for service in release.objects("services").values()
        )

    release.until(selected)


def test_an_upgrade_a_rollback_and_an_uninstall_leave_what_they_should(release: Release) -> None:
    name = f"{RELEASE}-broker"

    def brokers() -> tuple[int, dict[str, str]]:
        spec = release.objects("statefulsets", "apps/v1")[name]["spec"]
        (container,) = spec["template"]["spec"]["containers"]
        return spec["replicas"], {it["name"]: it.get("value", "") for it in container["env"]}

    secrets = {key: it["data"] for key, it in release.objects("secrets").items()}
    changed = (*EVERYTHING, HOOKS_OFF, "brokers.replicas=3", "brokers.options.RETENTION=2h")
    release.helm("upgrade", *values(*changed), wait=False)
    assert (brokers()[0], brokers()[1].get("RETENTION")) == (3, "2h")
    kept = {key: it["data"] for key, it in release.objects("secrets").items() if key in secrets}
    assert {key: kept[key] for key in kept if "helm" not in key} == {
        key: data for key, data in secrets.items() if "helm" not in key
    }
    release.helm("rollback", "1", wait=False)
    assert (brokers()[0], brokers()[1].get("RETENTION")) == (2, None)
    claims = release.objects("persistentvolumeclaims").keys()
    release.helm("uninstall", wait=False)
    release.until(lambda: not release.objects("statefulsets", "apps/v1"))
    assert release.objects("persistentvolumeclaims").keys() >= claims
    assert f"{RELEASE}-auth" in release.objects("secrets")
    assert not release.objects("services")
