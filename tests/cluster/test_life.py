"""A release whose pods are acted out: telemetry flows, and pods come and go under it."""

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
    three = {f"broker-{number}": True for number in range(3)}
    life.release.helm("upgrade", *values(*FED, "brokers.replicas=3"))
    life.release.until(lambda: life.brokers() == three)
    life.release.helm("upgrade", *values(*FED, "brokers.replicas=2"))
    life.release.until(lambda: f"{RELEASE}-broker-2" not in life.release.pods())
    life.release.until(lambda: life.brokers().keys() == {"broker-0", "broker-1"})
    assert life.proxy("/status")["strays"] == []
    assert f"data-{RELEASE}-broker-2" in life.release.objects("persistentvolumeclaims")
    kept = life.nodes.volume("life", f"data-{RELEASE}-broker-2") / "broker"
    assert b'"draining":true' in kept.read_bytes(), "the hook had not been there"
    life.release.helm("rollback", "2")
    life.release.until(lambda: life.brokers() == three)
    assert not any(it["draining"] for it in life.proxy("/status")["brokers"])
    life.release.helm("uninstall", wait=False)
    life.release.until(lambda: not life.release.objects("pods"))
