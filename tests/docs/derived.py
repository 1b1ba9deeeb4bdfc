"""What pages say that is not one constant of the code but follows from some."""

import inspect
import math
import re
import signal
import ssl
from pathlib import Path
from typing import Any

import yaml

import cli.main
from broker.dlq import RedriveRequest
from broker.options import BrokerOptions
from broker.retention import FILES_BELOW_BOUND
from cli.export.parts import GROUP_CELLS
from collector.options import CollectorOptions
from common.http.edge import _SAFE_ID
from common.http.openapi import VERSION
from common.http.tls import LOWEST
from common.queue.http import SILENCE_SECONDS
from common.queue.jetstream.streams import DUPLICATE_SECONDS
from common.queue.redis.producer import IDEMPOTENCY_WINDOW_MS
from common.queue.shares import KEPT_BACK as SHARES_KEPT_BACK
from common.storage.answers import MAX_RETRY_AFTER_SECONDS
from common.storage.options import StoreWriterOptions
from common.storage.upkeep import SETTLED_SECONDS
from common.storage.victoria.values import HALF_BITS, WIDE_BELOW
from common.storage.victoria.values import WIDE_FROM as WIDE_FROM_VALUE
from common.wire import _NAME
from proxy.placement import LOAD_BOUND

ROOT = Path(__file__).parents[2]


def longest(pattern: str) -> int:
    """The greatest length of a name, where the pattern may take its first character apart."""
    least, most = map(str, re.findall(r"\{(\d+),(\d+)\}", pattern)[-1])
    return int(most) + (least == "0")


def found(pattern: str, path: str) -> str:
    match = re.search(pattern, (ROOT / path).read_text())
    assert match, pattern
    return match[1]


PYTHON = found(r'requires-python = ">=([\d.]+)"', "pyproject.toml")
UP = {name: each.default for name, each in inspect.signature(cli.main.up).parameters.items()}
VALUES: dict[str, Any] = yaml.load(
    (ROOT / "charts/telemetry-stack/values.yaml").read_text(), yaml.CSafeLoader
)
CHART_BROKERS = VALUES["brokers"]["replicas"]
PROTOCOL = found(r'"version": "(\d)"', "common/http/openapi.py")
OPENAPI = VERSION.rpartition(".")[0]
LEAST_TLS = LOWEST.name.removeprefix("TLSv").replace("_", ".")
LATEST_TLS = ssl.TLSVersion.TLSv1_3.name.removeprefix("TLSv").replace("_", ".")
EXIT_BY_SIGTERM = 128 + signal.SIGTERM
NAME_CHARACTERS = longest(_NAME.pattern)
REQUEST_ID_CHARACTERS = longest(_SAFE_ID.pattern.decode())
REDRIVE_RATE = RedriveRequest().rate
CAPS = sum(name.startswith("max_") for name in StoreWriterOptions.__annotations__)
SETTLED_MINUTES = int(SETTLED_SECONDS / 60)
MAX_RETRY_AFTER_MINUTES = int(MAX_RETRY_AFTER_SECONDS / 60)
KEY_MINUTES = int(BrokerOptions.model_fields["idempotency_seconds"].default / 60)
REDIS_KEY_MINUTES = IDEMPOTENCY_WINDOW_MS // 60_000
NATS_KEY_MINUTES = int(DUPLICATE_SECONDS / 60)
LONGEST_LEASE_HOURS = BrokerOptions.model_fields["max_lease_seconds"].default / 3600
GROUP_MILLIONS = GROUP_CELLS / 1e6
WIDE_FROM, WIDE_TO = f"10^{math.log10(WIDE_FROM_VALUE):g}", f"2^{math.log2(WIDE_BELOW):g}"
VALUE_BITS = 2 * HALF_BITS
OVER_SHARE = LOAD_BOUND - 1
KEPT_BACK = 1 / SHARES_KEPT_BACK
FILE_OF_A_CAP = 1 / FILES_BELOW_BOUND
HEARTBEATS_OF_SILENCE = SILENCE_SECONDS / BrokerOptions.model_fields["heartbeat_seconds"].default
WRITES_FOR_ONE_OF_A_BATCH = (
    math.ceil(math.log2(CollectorOptions.model_fields["batch_points"].default)) + 3
)
