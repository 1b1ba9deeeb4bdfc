"""The values of a fleet, acted out: secrets, certificate and InfluxDB of its own, over HTTPS."""

import base64
import json
from collections.abc import Iterator

import pytest
import trustme

from common.keys import create_key
from tests.chart.render import CHART
from tests.cluster.control_plane import ControlPlane
from tests.cluster.life import Life, give_export
from tests.cluster.node import Nodes
from tests.cluster.release import RELEASE, Release, values
from tests.support.influx import ORG, TOKEN, InfluxServer, running_influxd

pytestmark = pytest.mark.timeout(600, func_only=True)  # it may have to wait for its turn

GPUS, SECONDS, METRICS = 8, 60, 10
AUTH, INFLUX = "telemetry-auth", "telemetry-influxdb"  # the names in values-prod.yaml


@pytest.fixture(scope="module")
def influx(nodes: Nodes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfluxServer]:
    """An InfluxDB where the pods can reach it."""
    with running_influxd(tmp_path_factory.mktemp("influx") / "data", host=nodes.host) as server:
        yield server


def secret(release: Release, name: str, **texts: str) -> None:
    data = {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
    release.kube.create(
        release.kube.core(release.namespace, "secrets"),
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data},
    )


def certificate(namespace: str) -> dict[str, str]:
    """One certificate with the names that docs/operations.md asks for."""
    authority = trustme.CA()
    names = f"{RELEASE}-proxy", f"{RELEASE}-api", f"*.{RELEASE}-broker.{namespace}.svc"
    made = authority.issue_cert(*names)
    chain = b"".join(blob.bytes() for blob in made.cert_chain_pems)
    return {
        "tls.crt": chain.decode(),
        "tls.key": made.private_key_pem.bytes().decode(),
        "ca.crt": authority.cert_pem.bytes().decode(),
    }


def test_a_fleets_values_store_everything_in_the_influxdb_there_is(
    plane: ControlPlane, nodes: Nodes, influx: InfluxServer
) -> None:
    release = Release(plane, "prod")
    text, key = create_key("operator", ["admin"])
    kept = {"id": key.id, "hash": key.hash, "scopes": key.scopes}
    secret(
        release,
        AUTH,
        **{
            "service-token": "a-service-token-of-the-tests",
            "api-keys.json": json.dumps([kept]),
            "api-key": text,  # for this test: the chart mounts it nowhere
        },
    )
    secret(release, INFLUX, token=TOKEN)
    secret(release, "telemetry-tls", **certificate(release.namespace))
    give_export(release, GPUS, SECONDS)
    given = (
        f"store.influxdb.url={influx.url}",
        f"store.influxdb.org={ORG}",
        "tls.existingSecret=telemetry-tls",
        "streamer.enabled=true",
        "streamer.replicas=2",
        "streamer.input.configMap=export",
        "streamer.options.CSV_PATH=/input/export.csv.gz",
        "partitions=8",
        "monitoring.podMonitor.enabled=false",  # whose operator is not on this control plane
        "monitoring.rules.enabled=false",
    )
    release.helm("install", "-f", str(CHART / "values-prod.yaml"), *values(*given))
    life = Life(release, nodes, AUTH, "https")
    release.until(lambda: life.points() >= GPUS * SECONDS * METRICS)
    assert life.points() == GPUS * SECONDS * METRICS
    assert set(life.brokers()) == {"broker-0", "broker-1", "broker-2"}
    pods = release.pods()
    assert {f"{RELEASE}-collector-0", f"{RELEASE}-collector-1"} <= pods.keys()

    def several(part: str) -> int:
        return sum(name.startswith(f"{RELEASE}-{part}-") for name in release.pods())

    release.until(lambda: several("proxy") == several("api") == 2)  # their autoscalers' least
    assert "Phase:          Succeeded" in release.helm("test", wait=False)
    release.helm("uninstall", wait=False)
    release.until(lambda: not release.objects("pods"))
