"""A release whose pods are acted out: telemetry flows, and pods come and go under it."""

import subprocess
import sys

import pytest

from tests.cluster.control_plane import ControlPlane
from tests.cluster.life import Life, give_export
from tests.cluster.node import Nodes
from tests.cluster.release import RELEASE, Release, values

pytestmark = pytest.mark.timeout(900, func_only=True)  # it may have to wait for its turn

GPUS, SECONDS, METRICS, RATE = 8, 120, 10, 12
PARTITIONS = 4
FED = (
    "streamer.enabled=true",
    "streamer.input.configMap=export",
    "streamer.options.CSV_PATH=/input/export.csv.gz",
    f"streamer.options.RATE={RATE}",
    f"partitions={PARTITIONS}",
    "brokers.options.VISIBILITY_TIMEOUT=5s",
)
LARGER = "brokers.persistence.size=20Gi"


@pytest.fixture(scope="module")
def life(plane: ControlPlane, nodes: Nodes) -> Life:
    """The chart's defaults with a streamer over a fleet's export."""
    release = Release(plane, "life")
    give_export(release, GPUS, SECONDS)
    release.helm("install", *values(*FED))
    return Life(release, nodes)


def test_a_release_becomes_ready_and_stores_what_it_is_fed(life: Life) -> None:
    life.release.until(lambda: life.points() > 0)
    assert life.stats()["gpus"] == GPUS
    assert "Phase:          Succeeded" in life.release.helm("test", wait=False)


def test_policies_let_through_what_is_said_and_nothing_else(life: Life) -> None:
    """They are enforced for every test of this folder; here is what they keep out."""
    broker, proxy, collector, streamer = (
        next(name for name in life.release.pods() if name.startswith(f"{RELEASE}-{part}"))
        for part in ("broker", "proxy", "collector", "streamer")
    )
    stranger = life.nodes.join("stranger")
    ports = {broker: 7070, proxy: 7080, collector: 7090, streamer: 7060}

    def reaches(network: str, pod: str, port: int | None = None) -> bool:
        return connects(network, life.nodes.pod(pod).address, port or ports[pod])

    def network(pod: str) -> str:
        return life.nodes.pod(pod).network

    for one, other in ((streamer, proxy), (streamer, broker), (collector, broker), (proxy, broker)):
        assert reaches(network(one), other), (one, other)
    assert reaches(stranger, collector, 8080), "the API is for everyone, unless apiFrom says who"
    refused = [(broker, proxy), (broker, collector), (proxy, streamer), (streamer, collector)]
    for one, other in refused:
        assert not reaches(network(one), other), (one, other)
    for other in ports:
        assert not reaches(stranger, other), other


def connects(network: str, address: str, port: int) -> bool:
    """Whether a connection can be made from a network; a packet that is dropped has no answer."""
    script = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 1)"
    command = [sys.executable, "-c", script, address, str(port)]
    done = subprocess.run(
        ["ip", "netns", "exec", network, *command], capture_output=True, check=False, text=True
    )
    assert done.returncode == 0 or "TimeoutError" in done.stderr, done.stderr
    return done.returncode == 0


def test_a_broker_pod_that_is_deleted_comes_back_with_its_backlog(life: Life) -> None:
    name = f"{RELEASE}-broker-1"

    def waiting() -> int:
        """Messages on broker-1 that the collectors have not had."""
        answer = life.proxy("/groups?topic=telemetry&broker=" + name)
        return sum(row["lag"] for row in answer["groups"]) if answer else 0

    life.proxy("/pause?topic=telemetry", "POST")
    life.release.until(waiting)
    backlog, before = waiting(), life.nodes.pod(name).uid
    life.release.kube.request("DELETE", life.release.kube.core("life", "pods", name))
    life.release.until(lambda: life.runs_anew(name, before))
    life.release.until(lambda: life.brokers() == {"broker-0": True, "broker-1": True})
    assert waiting() >= backlog
    life.proxy("/resume?topic=telemetry", "POST")
    life.release.until(lambda: not waiting())


def test_a_rolling_restart_of_everything_under_load_loses_and_doubles_nothing(life: Life) -> None:
    assert life.points() < GPUS * SECONDS * METRICS, "the feed was over before it began"
    for kind, name in (
        ("statefulsets", "broker"),
        ("deployments", "proxy"),
        ("statefulsets", "collector"),
        ("statefulsets", "streamer"),
    ):
        life.restart(kind, name)
    life.release.until(lambda: life.rolled_out("statefulsets") and life.rolled_out("deployments"))
    life.release.until(lambda: life.points() >= GPUS * SECONDS * METRICS)
    assert life.points() == GPUS * SECONDS * METRICS


def test_more_brokers_take_their_share_and_fewer_leave_nothing_behind(life: Life) -> None:
    """With larger claims, as the page on operations says that one gets them."""
    three = {f"broker-{number}": True for number in range(3)}
    more = values(*FED, "brokers.replicas=3", LARGER)
    refused = life.release.try_helm("upgrade", *more)
    assert "updates to statefulset spec" in refused.stderr
    orphan(life, f"{RELEASE}-broker")
    life.release.helm("upgrade", *more)
    life.release.until(lambda: life.brokers() == three)
    life.release.helm("upgrade", *values(*FED, "brokers.replicas=2", LARGER))
    life.release.until(lambda: f"{RELEASE}-broker-2" not in life.release.pods())
    life.release.until(lambda: life.brokers().keys() == {"broker-0", "broker-1"})
    assert life.proxy("/status")["strays"] == []
    assert f"data-{RELEASE}-broker-2" in life.release.objects("persistentvolumeclaims")
    kept = life.nodes.volume("life", f"data-{RELEASE}-broker-2") / "broker"
    assert b'"draining":true' in kept.read_bytes(), "the hook had not been there"
    life.release.helm("rollback")
    life.release.until(lambda: life.brokers() == three)
    assert not any(it["draining"] for it in life.proxy("/status")["brokers"])


def orphan(life: Life, name: str) -> None:
    """``kubectl delete statefulset --cascade=orphan``: its pods run on."""

    def pods() -> set[str]:
        found = life.release.pods().items()
        return {it["metadata"]["uid"] for pod, it in found if pod.startswith(name)}

    before = pods()
    path = f"/apis/apps/v1/namespaces/{life.release.namespace}/statefulsets/{name}"
    life.release.kube.request("DELETE", path, {"propagationPolicy": "Orphan"})
    life.release.until(lambda: name not in life.release.objects("statefulsets", "apps/v1"))
    assert pods() == before


def test_an_uninstall_leaves_the_claims_alone(life: Life) -> None:
    life.release.helm("uninstall", wait=False)
    life.release.until(lambda: not life.release.objects("pods"))
    assert f"data-{RELEASE}-broker-0" in life.release.objects("persistentvolumeclaims")
