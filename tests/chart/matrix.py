"""The ways to install the chart that are looked at: name, arguments, Kubernetes version."""

import json

from tests.chart.render import CHART

OLDEST, NEWEST = "1.27.0", "1.37.0"
ON = ",".join(
    f"{name}=true"
    for name in (
        "streamer.enabled",
        "influxdb.enabled",
        "prometheus.enabled",
        "grafana.enabled",
        "proxy.autoscaling.enabled",
        "api.autoscaling.enabled",
        "api.ingress.enabled",
        "monitoring.podMonitor.enabled",
        "monitoring.rules.enabled",
    )
)
OFF = ",".join(
    f"{name}=false"
    for name in (
        "brokers.drain.enabled",
        "brokers.pdb.enabled",
        "proxy.pdb.enabled",
        "collector.pdb.enabled",
        "api.pdb.enabled",
        "networkPolicy.enabled",
    )
)
EXISTING = "auth.existingSecret=mine,influxdb.existingSecret=mine,grafana.existingSecret=mine"
VICTORIA = "store.kind=victoriametrics,store.victoriametrics"
INPUT = json.dumps({"configMap": "", "existingClaim": "exports"})

MATRIX: dict[str, tuple[str, ...]] = {
    "defaults": (),
    "dev": ("-f", str(CHART / "values-dev.yaml")),
    "prod": ("-f", str(CHART / "values-prod.yaml")),
    "everything-on": (
        "--set",
        f"{ON},store.kind=influxdb,api.ingress.host=telemetry.example,"
        "streamer.options.CSV_PATH=/input/export.csv",
        "--set-json",
        f"streamer.input={INPUT}",
    ),
    "everything-off": ("--set", OFF),
    "existing-secrets": (
        "--set",
        f"{EXISTING},store.kind=influxdb,influxdb.enabled=true,prometheus.enabled=true,"
        "grafana.enabled=true",
    ),
    "no-disk": (
        "--set",
        "collector.persistence.enabled=false,collector.replicas=3,store.kind=influxdb,"
        "influxdb.enabled=true",
    ),
    "engine": (
        "--set",
        "queue.url=redis://redis:6379,prometheus.enabled=true,monitoring.rules.enabled=true,"
        "streamer.enabled=true,streamer.options.GENERATE_GPUS=1",
    ),
    "engine-with-password": (
        "--set",
        "queue.existingSecret=mine,queue.ca=true,tls.existingSecret=mine,streamer.enabled=true,"
        "streamer.options.GENERATE_GPUS=1,store.kind=influxdb,influxdb.enabled=true",
    ),
    "jsonl": ("--set", "store.kind=jsonl"),
    "victoriametrics": (
        "--set",
        f"{VICTORIA}.url=http://victoria:8428,{VICTORIA}.existingSecret=mine,collector.replicas=2",
    ),
    "victoriametrics-cluster": (
        "--set",
        f"{VICTORIA}.insertUrl=http://vminsert:8480/insert/0/prometheus,"
        f"{VICTORIA}.selectUrl=http://vmselect:8481/select/0/prometheus,"
        f"{VICTORIA}.existingSecret=mine,{VICTORIA}.username=fleet,"
        "store.options.VICTORIAMETRICS_DURABILITY=accepted",
    ),
    "encrypted": ("--set", "tls.existingSecret=mine,prometheus.enabled=true"),
    "sqlite-watched": ("--set", "prometheus.enabled=true,grafana.enabled=true"),
}
