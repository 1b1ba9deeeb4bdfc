"""`values.schema.json` of the chart with the options tables in it: ``python -m cli.chart_schema``.

The file's own part is written by hand; under ``$defs/options`` there is what each table knows.
"""

import json
from pathlib import Path
from typing import Any

from pydantic import BeforeValidator
from pydantic.fields import FieldInfo

from cli.commands import SERVICES
from common.options import Options, ServiceOptions, env_name, is_secret
from common.storage.options import StoreOptions

SCHEMA = Path(__file__).parents[1] / "charts/telemetry-stack/values.schema.json"
# What the chart works out from values of its own, one each: replicas, partitions, names, places.
WORKED_OUT = frozenset(
    {
        "API_KEYS_FILE",
        "BROKERS",
        "BROKERS_FILE",
        "BROKER_COUNT",
        "BROKER_INDEX",
        "BROKER_NAME",
        "BROKER_PORT",
        "BROKER_SERVICE",
        "CHECKPOINT_FILE",
        "CONSUMER_GROUP",
        "DATA_DIR",
        "HOST",
        "INFLUXDB_BUCKET",
        "INFLUXDB_ORG",
        "INFLUXDB_TOKEN",
        "INFLUXDB_URL",
        "INSTANCE_ID",
        "JSONL_PATH",
        "MSG_QUEUE_TOPIC",
        "NAMESPACE",
        "PARTITIONS_PER_TOPIC",
        "PORT",
        "QUEUE_URL",
        "SERVICE_TOKEN",
        "SHARD_COUNT",
        "SHARD_INDEX",
        "SQLITE_PATH",
        "STORE",
        "TLS_CA_FILE",
        "TLS_CERT_FILE",
        "TLS_KEY_FILE",
        "VICTORIAMETRICS_INSERT_URL",
        "VICTORIAMETRICS_PASSWORD",
        "VICTORIAMETRICS_SELECT_URL",
        "VICTORIAMETRICS_TOKEN",
        "VICTORIAMETRICS_URL",
        "VICTORIAMETRICS_USERNAME",
    }
)
_BOUNDS = {"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum"}


def schema() -> dict[str, Any]:
    """The whole schema."""
    whole: dict[str, Any] = json.loads(SCHEMA.read_text(encoding="utf-8"))
    tables = {"all": ServiceOptions, "store": StoreOptions} | {
        name: service.options for name, service in SERVICES.items()
    }
    whole["$defs"]["options"] = {name: options_schema(table) for name, table in tables.items()}
    shared = whole["$defs"]["options"]["all"]["properties"]
    for name in shared:
        del whole["$defs"]["options"]["store"]["properties"][name]
    return whole


def options_schema(table: type[Options]) -> dict[str, Any]:
    """One table: every option that is the user's, and no other name."""
    properties = {
        env_name(name, field): option_schema(field)
        for name, field in table.model_fields.items()
        if not is_secret(field) and env_name(name, field) not in WORKED_OUT
    }
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": dict(sorted(properties.items())),
    }


def option_schema(field: FieldInfo) -> dict[str, Any]:
    """One option: its kind, its bounds where it is a plain number, its words where they are few."""
    found: dict[str, Any] = {"description": field.description}
    rules = field.metadata
    bounds = {
        word: getattr(rule, kind)
        for rule in rules
        for kind, word in _BOUNDS.items()
        if hasattr(rule, kind)
    }
    pattern = next((rule.pattern for rule in rules if getattr(rule, "pattern", None)), None)
    if field.annotation is bool:
        return found | {"type": "boolean"}
    if pattern is not None:
        return found | {"type": "string", "pattern": pattern}
    if field.annotation not in (int, float):
        return found | {"type": "string"}
    if any(isinstance(rule, BeforeValidator) for rule in rules):  # "30s", "64MiB"
        return found | {"type": ["number", "string"]} | bounds
    return found | {"type": "integer" if field.annotation is int else "number"} | bounds


def text() -> str:
    """The schema as the file holds it."""
    return json.dumps(schema(), indent=2) + "\n"


if __name__ == "__main__":
    print(text(), end="")
