"""The GPU fleet's dashboard on a real InfluxDB: its numbers are those of the samples stored."""

import csv
import io
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from pydantic import SecretStr

from common.clock import to_rfc3339
from common.models import Gpu, Sample
from common.storage.factory import open_store
from common.storage.options import StoreOptions
from tests.observed.pages import queries
from tests.support.client import TOKEN as SERVICE_TOKEN
from tests.support.influx import ORG, TOKEN, InfluxServer, running_influxd

BUCKET = "fleet"
START, STEP, MOMENTS = 1_750_000_000_000, 10_000, 6
PANELS = queries("query")
HOSTS, GPUS_A_HOST = 3, 4


class Fleet(NamedTuple):
    """What was stored, and where."""

    server: InfluxServer
    samples: list[Sample]

    def last(self, metric: str) -> dict[str, float]:
        """The newest value of a metric by GPU."""
        return {it.gpu.uuid: it.metrics[metric] for it in self.samples}

    def mean(self, metric: str) -> dict[str, float]:
        """The mean of a metric by GPU."""
        return {
            gpu: sum(it.metrics[metric] for it in self.samples if it.gpu.uuid == gpu) / MOMENTS
            for gpu in self.last(metric)
        }

    def host(self, gpu: str) -> str:
        """Where a GPU is."""
        return next(it.gpu.hostname for it in self.samples if it.gpu.uuid == gpu)

    def ask(self, panel: str) -> list[dict[str, str]]:
        """The rows of a panel's query, over all that was stored."""
        variables = (
            f'option v = {{defaultBucket: "{BUCKET}", organization: "{ORG}", windowPeriod: 1m,\n'
            f"  timeRangeStart: {to_rfc3339(START - 1000)},\n"
            f"  timeRangeStop: {to_rfc3339(START + MOMENTS * STEP)}}}\n"
        )
        lines = PANELS[f"gpu-fleet: {panel} A"].splitlines(keepends=True)
        imports = [line for line in lines if line.startswith("import ")]
        rest = [line for line in lines if line not in imports]
        return rows(self.server.flux("".join([*imports, variables, *rest])))


def rows(text: str) -> list[dict[str, str]]:
    """The rows of the server's CSV, tables one after the other."""
    found: list[dict[str, str]] = []
    for table in text.replace("\r\n", "\n").split("\n\n"):
        found += csv.DictReader(io.StringIO(table.lstrip("\n")))
    return found


def fleet_samples() -> Iterator[Sample]:
    """A few hosts whose GPUs differ in everything; the last GPU of each is at rest."""
    for moment in range(MOMENTS):
        for host in range(HOSTS):
            for index in range(GPUS_A_HOST):
                number = host * GPUS_A_HOST + index
                rests = index == GPUS_A_HOST - 1
                yield Sample(
                    Gpu(uuid=f"GPU-{number}", hostname=f"host-{host}", model="H100"),
                    START + moment * STEP,
                    {
                        "DCGM_FI_DEV_GPU_UTIL": 0.0 if rests else 40.0 + number + moment,
                        "DCGM_FI_DEV_GPU_TEMP": 50.0 + number,
                        "DCGM_FI_DEV_POWER_USAGE": 300.5 + number,
                        "DCGM_FI_DEV_FB_USED": 1000.0 * number,
                        "DCGM_FI_DEV_FB_FREE": 80_000.0 - 1000.0 * number,
                        "DCGM_FI_DEV_SM_CLOCK": 1980.0 - number,
                        "DCGM_FI_DEV_MEM_CLOCK": 2619.0,
                    },
                )


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """The samples, as a collector stores them."""
    with running_influxd(tmp_path_factory.mktemp("influx") / "data") as server:
        options = StoreOptions(
            service_token=SecretStr(SERVICE_TOKEN),
            store="influxdb",
            influxdb_url=server.url,
            influxdb_token=SecretStr(TOKEN),
            influxdb_org=ORG,
            influxdb_bucket=BUCKET,
        )
        samples = list(fleet_samples())
        store = open_store(options, writable=True)
        store.write(samples)
        store.close()
        yield Fleet(server, samples)


def value(found: list[dict[str, str]]) -> float:
    (row,) = found
    return float(row["_value"])


@pytest.mark.parametrize("where", PANELS)
def test_every_panel_finds_something(fleet: Fleet, where: str) -> None:
    assert fleet.ask(where.removeprefix("gpu-fleet: ").removesuffix(" A"))


def test_the_figures_of_the_fleet(fleet: Fleet) -> None:
    assert value(fleet.ask("GPUs that report")) == HOSTS * GPUS_A_HOST
    assert value(fleet.ask("GPUs at rest")) == HOSTS
    util = fleet.last("DCGM_FI_DEV_GPU_UTIL").values()
    assert value(fleet.ask("Mean utilisation")) == pytest.approx(sum(util) / len(util))
    assert value(fleet.ask("Hottest")) in (50.0 + HOSTS * GPUS_A_HOST - 1,)
    power = fleet.last("DCGM_FI_DEV_POWER_USAGE").values()
    assert value(fleet.ask("Power")) == pytest.approx(sum(power))
    used = [it / 80_000 for it in fleet.last("DCGM_FI_DEV_FB_USED").values()]
    assert value(fleet.ask("Memory in use")) == pytest.approx(sum(used) / len(used))


def test_the_figures_of_a_host(fleet: Fleet) -> None:
    by_host: dict[str, list[float]] = {}
    for gpu, mean in fleet.mean("DCGM_FI_DEV_GPU_UTIL").items():
        by_host.setdefault(fleet.host(gpu), []).append(mean)
    found: dict[str, list[float]] = {}
    for row in fleet.ask("Utilisation by host"):
        found.setdefault(row["hostname"], []).append(float(row["_value"]))
    for host, means in by_host.items():
        assert min(found[host]) <= sum(means) / len(means) <= max(found[host])
    hottest = {row["hostname"]: float(row["_value"]) for row in fleet.ask("Hottest GPU by host")}
    assert hottest == {f"host-{n}": 50.0 + (n + 1) * GPUS_A_HOST - 1 for n in range(HOSTS)}


def test_the_tables_name_gpu_host_and_model(fleet: Fleet) -> None:
    hottest = fleet.ask("Hottest GPUs")
    last = HOSTS * GPUS_A_HOST - 1
    assert [row["gpu"] for row in hottest] == [f"GPU-{last - place}" for place in range(10)]
    assert hottest[0]["hostname"] == f"host-{HOSTS - 1}"
    assert hottest[0]["model"] == "H100"
    idlest = fleet.ask("Idlest GPUs")
    assert {row["gpu"] for row in idlest[:HOSTS]} == {
        f"GPU-{host * GPUS_A_HOST + GPUS_A_HOST - 1}" for host in range(HOSTS)
    }
