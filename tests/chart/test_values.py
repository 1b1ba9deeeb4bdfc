"""What can be set, what is refused, and what comes from one value each."""

import json
from pathlib import Path
from typing import Any

import pytest

from cli.chart_schema import SCHEMA, WORKED_OUT, text
from cli.commands import SERVICES
from common.keys import KeyRing
from common.options import Options, env_name, is_secret
from tests.chart.matrix import MATRIX
from tests.chart.render import (
    VALUES_OF,
    container,
    containers,
    environment,
    one,
    refusal,
    render,
    values_file,
)
from tests.support.broker import broker_options

KNOWN = {
    name: {env_name(field, row) for field, row in service.options.model_fields.items()}
    for name, service in SERVICES.items()
}
FED = "streamer.enabled=true,streamer.options.CSV_PATH=/input/export.csv"
NOT_OF_A_CHART = {
    "BROKERS",  # BROKER_SERVICE is the one way to name brokers
    "BROKERS_FILE",
    "BROKER_NAME",  # follows from BROKER_INDEX
}


def test_the_schema_has_the_options_tables_in_it() -> None:
    assert SCHEMA.read_text(encoding="utf-8") == text(), "run `make docs`"


@pytest.mark.parametrize("way", MATRIX)
def test_every_environment_name_is_an_option_of_its_service(way: str) -> None:
    for _, found in containers(render(*MATRIX[way])):
        known = KNOWN.get(found["name"])
        if known is not None:
            secrets = {f"{name}_FILE" for name in known}
            assert environment(found).keys() <= known | secrets, found["name"]


@pytest.mark.parametrize("service", SERVICES)
def test_every_option_can_be_set(service: str, tmp_path: Path) -> None:
    table = SERVICES[service].options
    given = {name: value for name, value in sample_of(table).items() if name not in WORKED_OUT}
    values = {
        VALUES_OF.get(service, service): {"options": given},
        "streamer": {
            "enabled": True,
            "options": given if service == "streamer" else {"GENERATE_GPUS": 1},
        },
        "store": {"kind": "influxdb"},
        "influxdb": {"enabled": True},
    }
    objects = render("-f", str(values_file(tmp_path, values)))
    found = environment(container(objects, service))
    assert {name: as_text(value) for name, value in given.items()}.items() <= found.items()
    embedded = environment(container(render("--set", f"{FED},tls.existingSecret=x"), service))
    embedded |= environment(container(render("--set", f"{FED},store.kind=jsonl"), service))
    for way in ("victoriametrics", "victoriametrics-cluster"):
        served = render(*MATRIX[way], "--set", f"{FED}")
        embedded |= environment(container(served, service))
    own = (found.keys() | embedded.keys()) & WORKED_OUT
    set_by_chart = own | {name.removesuffix("_FILE") for name in found.keys() | embedded.keys()}
    assert KNOWN[service] <= set_by_chart | NOT_OF_A_CHART | given.keys()


@pytest.mark.parametrize("service", SERVICES)
def test_the_service_accepts_the_environment_it_is_given(
    service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even the values of the table's own defaults, through YAML and Helm, mean what they meant."""
    table = SERVICES[service].options
    given = {name: value for name, value in sample_of(table).items() if name not in WORKED_OUT}
    key = VALUES_OF.get(service, service)
    values: dict[str, Any] = {key: {"options": given}}
    if service == "streamer":
        values[key]["enabled"] = True
    objects = render("-f", str(values_file(tmp_path, values)))
    token = tmp_path / "token"
    token.write_text("a-token-of-the-chart-tests")
    for name, value in environment(container(objects, service)).items():
        monkeypatch.setenv(name, str(token) if name == "SERVICE_TOKEN_FILE" else value)
    options = table.load({})
    for field, row in table.model_fields.items():
        if given.get(env_name(field, row)) == plain(row.default) and row.default is not None:
            assert getattr(options, field) == row.default, field


def sample_of(table: type[Options]) -> dict[str, Any]:
    """Each option with its own default, or with a word where that is nothing."""
    found = {
        env_name(name, field): plain(field.default)
        for name, field in table.model_fields.items()
        if not is_secret(field) and not field.is_required()
    }
    return found | ({"CSV_PATH": "/input/export.csv"} if "CSV_PATH" in found else {})


def plain(default: Any) -> Any:
    if isinstance(default, Path):
        return str(default)
    return "" if default in (None, ()) else default


def as_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if whole else str(value)


def test_replicas_partitions_and_the_list_of_brokers_come_from_one_value_each() -> None:
    objects = render("--set", "brokers.replicas=5,partitions=12,brokers.port=7777")
    brokers, proxy = one(objects, "StatefulSet", "-broker"), container(objects, "proxy")
    assert brokers["spec"]["replicas"] == 5
    assert environment(container(objects, "broker"))["PARTITIONS_PER_TOPIC"] == "12"
    said = environment(proxy)
    assert said["BROKER_COUNT"] == "5"
    assert said["BROKER_PORT"] == "7777"
    assert said["BROKER_SERVICE"] == brokers["spec"]["serviceName"] == brokers["metadata"]["name"]
    text = json.dumps(objects)
    assert "7070" not in text


def test_what_the_store_is_told_is_told_to_both_who_open_it() -> None:
    objects = render("--set", "store.options.STORE_RETENTION=30d,store.options.JSONL_FILES=16")
    for name in ("collector", "api"):
        given = environment(container(objects, name))
        assert (given["STORE_RETENTION"], given["JSONL_FILES"]) == ("30d", "16")


def test_a_collector_without_a_disk_acks_what_is_stored() -> None:
    objects = render(*MATRIX["no-disk"])
    given = environment(container(objects, "collector"))
    assert given["ACK_MODE"] == "stored"
    assert "DATA_DIR" not in given
    assert "volumeClaimTemplates" not in one(objects, "StatefulSet", "-collector")["spec"]


def test_an_engine_takes_the_place_of_brokers_and_proxy() -> None:
    objects = render(*MATRIX["engine"])
    names = {it["metadata"]["name"] for it in objects}
    assert not [name for name in names if name.endswith(("-broker", "-proxy", "-drain"))]
    for name in ("collector", "streamer", "api", "test"):
        assert environment(container(objects, name))["QUEUE_URL"] == "redis://redis:6379"
    rules = json.dumps([it for it in objects if it["kind"] == "PrometheusRule"])
    assert 'absent(up{job=\\"collector\\"})' in rules
    assert 'absent(up{job=\\"broker\\"})' not in rules
    config = one(objects, "ConfigMap", "-prometheus")["data"]["alerts.yml"]
    assert 'absent(up{job="broker"})' not in config


def test_the_address_of_an_engine_with_a_password_stays_in_its_secret() -> None:
    objects = render(*MATRIX["engine-with-password"])
    for name in ("collector", "streamer", "api", "test"):
        found = container(objects, name)
        given = environment(found)
        assert "QUEUE_URL" not in given
        assert given["QUEUE_URL_FILE"] == "/secrets/queue/url"
        assert given["TLS_CA_FILE"] == "/secrets/queue/ca.crt"
        mounts = {mount["mountPath"] for mount in found["volumeMounts"]}
        assert "/secrets/queue" in mounts


REFUSED = {
    "queue.url=redis://:secret@redis": "/queue/url'",
    "queue.url=http://proxy": "/queue/url'",
    "queue.ca=true": "queue.ca: it is in the secret",
    "queue.url=redis://r,queue.existingSecret=mine": "give one of them",
    "brokers.replicas=0": "/brokers/replicas': minimum",
    "brokers.replicas=two": "/brokers/replicas': got string",
    "brokers.replicaz=2": "'replicaz' not allowed",
    "partitions=0": "/partitions': minimum",
    "partitions=257": "/partitions': maximum",
    "topic=a/b": "/topic': 'a/b' does not match",
    "brokers.options.BROKER_COUNT=9": "'BROKER_COUNT' not allowed",
    "brokers.options.SERVICE_TOKEN=s": "'SERVICE_TOKEN' not allowed",
    "brokers.options.QUEUE_SICE=9": "'QUEUE_SICE' not allowed",
    "brokers.options.QUEUE_SIZE=0": "/brokers/options/QUEUE_SIZE': minimum",
    "brokers.options.DURABILITY=maybe": "/brokers/options/DURABILITY': 'maybe' does not match",
    "streamer.options.LOOP=often": "/streamer/options/LOOP': got string",
    "brokers.persistence.size=lots": "/brokers/persistence/size': 'lots' does not match",
    "image.digest=sha256:12": "/image/digest'",
    "image.pullPolicy=Sometimes": "/image/pullPolicy'",
    "store.kind=files": "/store/kind'",
    "store.kind=influxdb": "/store/influxdb/url': minLength",
    "store.kind=victoriametrics": "store.victoriametrics: name url",
    "grafana.enabled=true": "/grafana/prometheusUrl': minLength",
    "api.ingress.enabled=true": "/api/ingress/host': minLength",
    "streamer.enabled=true": "streamer.options: name a source",
    "auth.existingSecret=A B": "/auth/existingSecret'",
    "collector.replicas=2": "collector.replicas: this store lies on one disk",
    "collector.persistence.enabled=false": "this store lies on the collector's disk",
    "api.replicas=2": "with this store the API runs in the collector's pod",
}


@pytest.mark.parametrize(("given", "said"), REFUSED.items())
def test_nonsense_is_refused_with_its_place(given: str, said: str) -> None:
    assert said in refusal("--set", given)


@pytest.mark.parametrize(
    "word", ["a: b\n  evil: x", "{{ .Values }}", "# no", "yes", "0123", "1e3", '"', "'", "null"]
)
def test_words_stay_words(word: str, tmp_path: Path) -> None:
    """Nothing that is set becomes YAML, a template, a number or a truth."""
    values = {"streamer": {"enabled": True, "options": {"CSV_PATH": "x", "CSV_HOSTNAME": word}}}
    values |= {"store": {"kind": "influxdb", "influxdb": {"org": word}}}
    values |= {"influxdb": {"enabled": True}}
    objects = render("-f", str(values_file(tmp_path, values)))
    assert environment(container(objects, "streamer"))["CSV_HOSTNAME"] == word
    assert environment(container(objects, "influxdb"))["DOCKER_INFLUXDB_INIT_ORG"] == word


def test_no_secret_is_a_default() -> None:
    """Two installations share none, and none is in the values or in an environment."""
    arguments = MATRIX["everything-on"]
    first, second = (
        {
            (it["metadata"]["name"], key): value
            for it in render(*arguments)
            if it["kind"] == "Secret"
            for key, value in it["stringData"].items()
        }
        for _ in range(2)
    )
    assert first.keys() == second.keys()
    assert len(first) == 6
    assert not set(first.values()) & set(second.values())
    assert all(len(value) >= 32 for value in first.values())


def test_the_api_takes_the_key_that_the_chart_makes(tmp_path: Path) -> None:
    (secret,) = [it for it in render() if it["kind"] == "Secret"]
    path = tmp_path / "api-keys.json"
    path.write_text(secret["stringData"]["api-keys.json"])
    shown = secret["stringData"]["api-key"].encode()
    scope = {"type": "http", "headers": [(b"x-api-key", shown)]}
    assert KeyRing(path).authenticate(scope).allows("admin")


def test_with_a_certificate_every_address_is_https() -> None:
    objects = render(*MATRIX["everything-on"], "--set", "tls.existingSecret=mine")
    for _, found in containers(objects):
        if found["name"] in KNOWN:
            given = environment(found)
            assert given["TLS_CERT_FILE"] == "/secrets/tls/tls.crt"
            assert given.get("QUEUE_URL", "https://").startswith("https://")
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                assert found[probe]["httpGet"]["scheme"] == "HTTPS"
        assert found["name"] != "drain" or environment(found)["TLS_CA_FILE"]
    assert "http://t-telemetry-proxy" not in json.dumps(objects)


def test_a_secret_that_exists_is_used_and_none_is_made() -> None:
    objects = render(*MATRIX["existing-secrets"])
    assert not [it for it in objects if it["kind"] == "Secret"]


def test_the_name_of_a_pod_is_the_index_of_its_broker() -> None:
    name = one(render(), "StatefulSet", "-broker")["metadata"]["name"]
    assert broker_options(Path("d"), broker_index=f"{name}-3").broker_name == "broker-3"
