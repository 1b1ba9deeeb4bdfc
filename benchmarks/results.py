"""What was measured, where, and whether a second time agrees with it."""

import os
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from benchmarks.peers import CACHE, NATS
from cli.bench.figure import Figure

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results.json"
AGREES_WITHIN = {"ms": 1.0, "s to ready": 1.0}
"""How far beyond the runs of the page another's best may lie, by unit, as a share; mostly:"""
MOSTLY_AGREES_WITHIN = 0.25
PROGRAMS = {  # how each says its version, and what of that is it
    "Redis": (["redis-server", "--version"], r"v=(\S+)"),
    "NATS": ([str(NATS), "--version"], r"v?(\d\S+)"),
}
BUILT_FROM = {  # what was built here says it in a file beside it
    "InfluxDB": (CACHE / "influxd/go.mod", r"/influxdb/v2 v(\S+)"),
    "Kafka": (CACHE / "kafka/pom.xml", r"<artifactId>kafka_[\d.]+</artifactId><version>([^<]+)"),
}
PACKAGES = ("apsw", "confluent-kafka", "nats-py", "redis", "uvicorn", "uvloop")


class Row(msgspec.Struct, frozen=True):
    """One line of a section's table: a figure for each of its columns."""

    section: str
    what: str
    figures: tuple[Figure, ...]


class Machine(msgspec.Struct, frozen=True):
    """What the figures are of."""

    system: str
    processor: str
    cores: int
    memory_gb: int
    python: str


class Results(msgspec.Struct, frozen=True):
    """A whole measurement; ``load`` is the machine's own, just before it."""

    machine: Machine
    versions: Mapping[str, str]
    release: str
    measured_at: str
    load: float
    scale: float
    rows: tuple[Row, ...]


def results_of(runs: Sequence[Sequence[Row]], load: float, scale: float) -> Results:
    """Put the runs of a measurement together, figure by figure."""
    return Results(
        this_machine(),
        versions(),
        release(),
        datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        round(load, 2),
        scale,
        tuple(merged(same) for same in zip(*runs, strict=True)),
    )


def together(before: Results, now: Results) -> Results:
    """Two measurements of the same as one, with the runs of both.

    Raises ValueError when other versions, or other rows, were measured.
    """
    if before.versions != now.versions:
        raise ValueError(f"other versions were measured: {before.versions}")
    if [(row.section, row.what) for row in before.rows] != [
        (row.section, row.what) for row in now.rows
    ]:
        raise ValueError("other rows were measured")
    return msgspec.structs.replace(
        now,
        release=" and ".join(dict.fromkeys((before.release, now.release))),
        measured_at=f"{before.measured_at} and {now.measured_at}",
        load=max(before.load, now.load),
        rows=tuple(merged(same) for same in zip(before.rows, now.rows, strict=True)),
    )


def merged(rows: Sequence[Row]) -> Row:
    """The same row of several runs as one."""
    figures = (
        msgspec.structs.replace(same[0], values=tuple(run for each in same for run in each.values))
        for same in zip(*(row.figures for row in rows), strict=True)
    )
    return Row(rows[0].section, rows[0].what, tuple(figures))


def best(figure: Figure) -> float:
    """The run that was disturbed least: what else a machine does only ever slows it."""
    return max(figure.values) if figure.better == "more" else min(figure.values)


def worst(figure: Figure) -> float:
    """The run that was disturbed most."""
    return min(figure.values) if figure.better == "more" else max(figure.values)


def bounds(figure: Figure) -> tuple[float, float]:
    """Between which values the best run of another measurement agrees with this one."""
    margin = 1 + AGREES_WITHIN.get(figure.unit, MOSTLY_AGREES_WITHIN)
    return min(figure.values) / margin, max(figure.values) * margin


def agrees(before: Figure, now: Figure) -> bool:
    """Whether a figure is what the earlier one says that it will be."""
    least, most = bounds(before)
    return least <= best(now) <= most


def this_machine() -> Machine:
    """The machine that this runs on."""
    model = re.search(r"^model name\s*: (.+)$", read(Path("/proc/cpuinfo")), re.M)
    memory = re.search(r"^MemTotal:\s+(\d+) kB$", read(Path("/proc/meminfo")), re.M)
    return Machine(
        system=f"{platform.system()} {platform.release()}",
        processor=model[1] if model else platform.machine(),
        cores=os.cpu_count() or 1,
        memory_gb=round(int(memory[1]) / (1 << 20)) if memory else 0,
        python=platform.python_version(),
    )


def versions() -> dict[str, str]:
    """Of the servers that are measured, and of the clients and libraries, those that are here."""
    found = {name: of_program(*ask) for name, ask in PROGRAMS.items()}
    for name, (path, pattern) in BUILT_FROM.items():
        match = re.search(pattern, read(path))
        found[name] = match[1] if match else ""
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return {name: said for name, said in found.items() if said}


def of_program(command: list[str], pattern: str) -> str:
    """What a program says its version is; nothing when it is not here."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return ""
    match = re.search(pattern, done.stdout + done.stderr)
    return match[1] if match else ""


def release() -> str:
    """Our version, and the commit that was measured."""
    commit = of_program(
        ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude=*"], r"(\S+)"
    )
    return f"{version('telemetry-stack')} ({commit})" if commit else version("telemetry-stack")


def read(path: Path) -> str:
    """A file, empty where there is none."""
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
