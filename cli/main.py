"""The commands whose flags stand here, and the whole command line.

What a command does is imported when it is run: none waits for the code of the others.
"""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from cli.apps import add, new_app
from cli.commands import SERVICES, TABLES
from cli.keys import keys
from common.storage.kinds import KINDS

DEFAULT_DATA_DIR = Path(".telemetry")
GENERATOR_SEED = 1

own = new_app()
own.add_typer(keys)

DataDir = Annotated[Path, typer.Option(help="Where data, secrets and logs are kept.")]
Brokers = Annotated[int, typer.Option(min=1, max=64, help="Brokers to start.")]
CsvFile = Annotated[
    Path | None, typer.Option(exists=True, dir_okay=False, readable=True, help="CSV to feed.")
]

EngineUrl = Annotated[
    str | None,
    typer.Option(
        "--queue",
        metavar="URL",
        help="A queue that runs already in place of brokers: redis://, nats://, kafka:// "
        "[env: QUEUE_URL, for one with a password].",
    ),
]
StoreKind = Annotated[
    str,
    typer.Option(
        metavar="|".join(kind for kind in KINDS if kind != "memory"),
        help="Where points come to rest; a server takes its options from the environment.",
    ),
]


@own.command("up")
def up(
    csv: CsvFile = None,
    gpus: Annotated[int, typer.Option(min=0, help="Without --csv: synthetic live GPUs.")] = 16,
    brokers: Brokers = 2,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    api_port: Annotated[int, typer.Option(help="Port of the API.")] = 8080,
    proxy_port: Annotated[int, typer.Option(help="Port of the queue.")] = 7080,
    store: StoreKind = KINDS[0],
    grafana: Annotated[
        bool | None, typer.Option(help="Dashboards; left out: if Grafana is installed.")
    ] = None,
    prometheus: Annotated[
        bool | None, typer.Option(help="Metrics and alerts; left out: with Grafana.")
    ] = None,
    queue: EngineUrl = None,
) -> None:
    """Run the whole stack on this machine, supervised, until Ctrl-C.

    Grafana and Prometheus are taken from the PATH, or from GRAFANA_BIN and PROMETHEUS_BIN.
    """
    from cli.engine import find_engine
    from cli.up import UpPlan, run_up

    fleet = 0 if csv else gpus
    engine = find_engine(queue)
    watchers = grafana, prometheus
    ports = api_port, proxy_port
    plan = UpPlan(data_dir.resolve(), brokers, csv, fleet, *ports, store, engine, *watchers)
    raise typer.Exit(run_up(plan))


@own.command("run")
def run(
    csv: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="CSV to store.")],
    once: Annotated[bool, typer.Option("--once", help="End when every row is stored.")] = False,
    brokers: Brokers = 2,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    store: StoreKind = KINDS[0],
    queue: EngineUrl = None,
) -> None:
    """Bring a file into the store, prove that it is there, and print the books."""
    from cli.engine import find_engine
    from cli.run import RunPlan, run_once

    if not once:
        raise typer.BadParameter(
            "without --once use `telemetry up --csv FILE`", param_hint="--once"
        )
    engine = find_engine(queue)
    raise typer.Exit(run_once(RunPlan(data_dir.resolve(), brokers, csv.resolve(), store, engine)))


@own.command("topics")
def topics(
    queue: Annotated[str | None, typer.Option(help="URL of the proxy [env: QUEUE_URL].")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    plan: Annotated[
        bool, typer.Option("--plan", help="Show what would move with --brokers; nothing does.")
    ] = False,
    brokers: Annotated[int | None, typer.Option(min=1, max=1000, help="For --plan.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """List topics with the owner and depth of every partition, or plan another number of brokers.

    The token is SERVICE_TOKEN, or the one kept in the data directory.
    """
    from cli.topics import TopicsPlan, run_topics

    if plan != (brokers is not None):
        raise typer.BadParameter("--plan and --brokers go together", param_hint="--plan")
    raise typer.Exit(run_topics(TopicsPlan(data_dir, queue, plan, brokers, as_json)))


@own.command("bench")
def bench(
    directory: Annotated[
        Path, typer.Option("--dir", exists=True, file_okay=False, help="On the disk to measure.")
    ] = Path(),
    scale: Annotated[float, typer.Option(min=0.01, help="More or less of everything.")] = 1.0,
    runs: Annotated[int, typer.Option(min=1, help="Runs; the middle one counts.")] = 1,
    output: Annotated[Path | None, typer.Option("--json", help="File for the figures.")] = None,
    against: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Figures of another time.")
    ] = None,
) -> None:
    """Measure disk, queue, latency and the whole path on this machine; about a minute a run."""
    from cli.bench.report import BenchPlan, run_bench

    raise typer.Exit(run_bench(BenchPlan(directory.resolve(), scale, runs, output, against)))


@own.command("chaos")
def chaos(
    seed: Annotated[str, typer.Option(help="What decides everything; 1..10 runs ten.")] = "1",
    minutes: Annotated[float, typer.Option(min=0.1, help="Minutes of misfortune a seed.")] = 2.0,
    only: Annotated[
        str, typer.Option(help="Strikes to choose from, with commas; none is all.")
    ] = "",
    data_dir: Annotated[
        Path | None, typer.Option(help="Keep data and logs there, a directory a seed.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Run a stack of its own under kills, pauses, power cuts, bad disks and links, and judge it.

    Exit code 0 only when every promise held.
    """
    from cli.chaos.plan import ChaosPlan
    from cli.chaos.report import run_chaos_command, seeds
    from cli.chaos.strikes import NAMES as STRIKES

    strikes = tuple(name for name in only.split(",") if name)
    unknown = set(strikes) - set(STRIKES)
    if unknown:
        named = f"{', '.join(sorted(unknown))}; there are {', '.join(STRIKES)}"
        raise typer.BadParameter(f"no such strike: {named}", param_hint="--only")
    plan = ChaosPlan(0, 60 * minutes, data_dir, only=strikes)
    try:
        plans = seeds(seed, plan)
    except ValueError:
        raise typer.BadParameter("a number, or two as 1..10", param_hint="--seed") from None
    raise typer.Exit(run_chaos_command(plans, as_json))


@own.command("dlq")
def dlq(
    topic: Annotated[str, typer.Option(help="Topic.")] = "telemetry",
    group: Annotated[str, typer.Option(help="Group whose dead letters they are.")] = "collectors",
    redrive: Annotated[
        bool, typer.Option("--redrive", help="Deliver them again, to their group alone.")
    ] = False,
    purge: Annotated[bool, typer.Option("--purge", help="Throw them away.")] = False,
    rate: Annotated[float, typer.Option(min=0.1, help="Letters a second, for --redrive.")] = 100.0,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Letters listed a broker.")] = 20,
    queue: Annotated[str | None, typer.Option(help="URL of the proxy [env: QUEUE_URL].")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """List dead letters with the reason of each, deliver them again, or throw them away.

    The token is SERVICE_TOKEN, or the one kept in the data directory.
    """
    from cli.dlq import DlqPlan, run_dlq

    if redrive and purge:
        raise typer.BadParameter("--redrive and --purge are two things", param_hint="--purge")
    act = "redrive" if redrive else "purge" if purge else "list"
    plan = DlqPlan(data_dir, queue, topic, group, act, limit, rate, as_json)
    raise typer.Exit(run_dlq(plan))


@own.command("doctor")
def doctor(
    services: Annotated[
        list[str] | None,
        typer.Argument(help="Services to examine as the environment sets them: broker, proxy, ..."),
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    queue: Annotated[
        str, typer.Option(help="URL of the local stack's proxy.")
    ] = "http://127.0.0.1:7080",
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Say what is wrong with services, or with the stack of a data directory, and the remedy.

    Exit code 1 when something has to be repaired.
    """
    from cli.doctor.examine import Patient
    from cli.doctor.local import patients_of
    from cli.doctor.report import run_doctor

    unknown = set(services or ()) - SERVICES.keys()
    if unknown:
        raise typer.BadParameter(f"no such service: {', '.join(sorted(unknown))}")
    if not services and not (data_dir / "secrets" / "service-token").exists():
        raise typer.BadParameter(
            f"there is no stack in {data_dir}: name the services to examine, as the environment "
            f"sets them ({', '.join(SERVICES)})"
        )
    patients = [Patient(name, {}) for name in services or ()]
    raise typer.Exit(run_doctor(patients or patients_of(data_dir, queue), as_json))


@own.command("generate")
def generate(
    gpus: Annotated[int, typer.Option(min=1, help="GPUs of the fleet.")] = 8,
    seconds: Annotated[int, typer.Option(min=1, help="Seconds, one sample a GPU each.")] = 60,
    start: Annotated[datetime | None, typer.Option(help="First moment, UTC.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed makes the same fleet.")] = GENERATOR_SEED,
) -> None:
    """Write a realistic fleet as DCGM CSV to standard output."""
    from streamer.sources.generator import write_csv

    begin = (start or datetime.now(UTC).replace(microsecond=0)).replace(tzinfo=UTC)
    write_csv(sys.stdout.buffer, gpus, seconds, begin, seed)


NAMES = {command.name for command in own.registered_commands} | {keys.info.name}


def whole_app() -> typer.Typer:
    """Every command there is."""
    app = new_app()
    for name in TABLES:
        add(app, name)
    app.registered_commands += own.registered_commands
    app.registered_groups += own.registered_groups
    return app
