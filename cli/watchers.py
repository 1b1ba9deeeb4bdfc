"""Prometheus and Grafana beside a local stack, where somebody has installed them."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from cli.ports import is_free, lasting_ports
from cli.provisioning import (
    DASHBOARDS,
    write_prometheus,
    write_provisioning,
    write_settings,
)
from cli.secrets import ensure_secret
from cli.supervisor import ProcessPlan, StackError
from common.options import Options, option
from common.storage.options import StoreOptions

GRAFANA_PORT, PROMETHEUS_PORT = 3000, 9090
KEPT_TIME, KEPT_SIZE = "15d", "1GB"
"""How much of the stack's own metrics Prometheus keeps: whichever is reached first."""


class WatcherOptions(Options):
    """Where the programs are, if not on the PATH."""

    grafana: Path | None = option("GRAFANA_BIN", None, "The program grafana, or grafana-server.")
    prometheus: Path | None = option("PROMETHEUS_BIN", None, "The program prometheus.")


@dataclass(frozen=True)
class Watchers:
    """The programs that are to run beside the stack; None is none."""

    grafana: Path | None = None
    prometheus: Path | None = None


NOBODY = Watchers()


class Beside(NamedTuple):
    """What watchers are told of the stack: its data directory, where each service listens, how."""

    data_dir: Path
    targets: Mapping[str, Sequence[str]]
    scheme: str
    ca_file: Path | None
    store: StoreOptions
    environment: Mapping[str, str]


def find_watchers(grafana: bool | None, prometheus: bool | None) -> Watchers:
    """The programs as wanted; what nobody said a word about is started if it is there.

    Prometheus alone is not: it comes with Grafana, or when it is asked for. Raises StackError for
    what was asked for and is not there.
    """
    options = WatcherOptions.load({})
    show = program("grafana", grafana, options.grafana, ("grafana", "grafana-server"))
    if show is not None and not DASHBOARDS.is_dir():
        if grafana:
            raise StackError(
                f"--grafana: the dashboards are not installed, {DASHBOARDS} is missing"
            )
        show = None
    if prometheus is None and show is None:
        return NOBODY
    scrape = program("prometheus", prometheus, options.prometheus, ("prometheus",))
    return Watchers(show, scrape)


def program(
    name: str, wanted: bool | None, given: Path | None, names: Sequence[str]
) -> Path | None:
    """Where a program is; raises StackError when it must be somewhere and is not."""
    if wanted is False:
        return None
    places = [str(given)] if given is not None else names
    found = next((place for place in map(shutil.which, places) if place), None)
    if found is None and (wanted or given is not None):
        where = f"{given} is no program" if given is not None else "it is not on the PATH"
        raise StackError(f"no {name}: {where}; set {name.upper()}_BIN")
    return None if found is None else Path(found)


def watcher_plans(watchers: Watchers, beside: Beside) -> list[ProcessPlan]:
    """The watchers' processes, their files written anew: ports change from start to start."""
    plans = []
    if watchers.prometheus is not None:
        plans.append(prometheus_plan(watchers.prometheus, beside))
    if watchers.grafana is not None:
        source = plans[0].url if plans else f"http://127.0.0.1:{PROMETHEUS_PORT}"
        plans.append(grafana_plan(watchers.grafana, beside, source))
    return plans


def prometheus_plan(binary: Path, beside: Beside) -> ProcessPlan:
    """Prometheus over every process of the stack, with the alerts."""
    directory = beside.data_dir / "prometheus"
    port = port_near(PROMETHEUS_PORT)
    config = write_prometheus(directory, beside.targets, beside.scheme, beside.ca_file)
    command = (
        str(binary),
        f"--config.file={config}",
        f"--storage.tsdb.path={directory / 'tsdb'}",
        f"--storage.tsdb.retention.time={KEPT_TIME}",
        f"--storage.tsdb.retention.size={KEPT_SIZE}",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    return ProcessPlan(
        "prometheus", "", beside.environment, port, command=command, ready_path="/-/ready"
    )


def grafana_plan(binary: Path, beside: Beside, prometheus_url: str) -> ProcessPlan:
    """Grafana with data sources and dashboards, for its administrator alone."""
    directory = beside.data_dir / "grafana"
    secrets = beside.data_dir / "secrets"
    port = port_near(GRAFANA_PORT)
    provisioning = write_provisioning(directory, prometheus_url, beside.store)
    settings = write_settings(
        directory,
        port,
        provisioning,
        password=ensure_secret(secrets / "grafana-password"),
        secret_key=ensure_secret(secrets / "grafana-secret-key"),
    )
    server = ("server",) if binary.name == "grafana" else ()
    command = (str(binary), *server, "--config", str(settings), *home_flags(binary))
    environment = {
        **beside.environment,
        "INFLUXDB_TOKEN": beside.store.influxdb_token.get_secret_value(),
    }
    return ProcessPlan("grafana", "", environment, port, command=command, ready_path="/api/health")


def home_flags(binary: Path) -> tuple[str, ...]:
    """Where Grafana's own files are, if they are where its packages put them."""
    own = binary.resolve().parents[1]
    for home in (own, own / "share/grafana", Path("/usr/share/grafana")):
        if (home / "conf/defaults.ini").is_file():
            return ("--homepath", str(home))
    return ()


def port_near(wanted: int) -> int:
    """The port that people expect, or a free one when somebody has it."""
    return wanted if is_free(wanted) else next(lasting_ports())
