"""The chart as Helm renders it."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.support.needs import need
from tests.support.real_server import CACHE, FRUGAL

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts/telemetry-stack"
HELM = CACHE / "helm/helm"
KUBERNETES = "1.34.0"
SERVICES = ("broker", "proxy", "collector", "api", "streamer")
VALUES_OF = {"broker": "brokers"}

Object = dict[str, Any]


def helm(*arguments: str, **given: Any) -> subprocess.CompletedProcess[str]:
    """Run Helm to its end."""
    need("Helm (make servers)", HELM.exists())
    return subprocess.run(
        [str(HELM), *arguments],
        env=os.environ | FRUGAL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        **given,
    )


def values_file(directory: Path, values: Object) -> Path:
    """A file of values."""
    path = directory / "values.yaml"
    path.write_text(json.dumps(values))  # in which every text is quoted
    return path


def render(*arguments: str, version: str = KUBERNETES) -> list[Object]:
    """Every object of a release called ``t``."""
    done = helm("template", "t", str(CHART), "--kube-version", version, *arguments)
    assert done.returncode == 0, done.stderr
    return [found for found in yaml.load_all(done.stdout, yaml.CSafeLoader) if found]


def refusal(*arguments: str) -> str:
    """What Helm says to values that it does not take."""
    done = helm("template", "t", str(CHART), *arguments)
    assert done.returncode != 0
    return done.stderr


def pod_specs(objects: list[Object]) -> Iterator[tuple[Object, Object]]:
    """Every object that makes pods, with the pods' template."""
    for found in objects:
        if found["kind"] == "Pod":
            yield found, found
        elif found["kind"] in ("Deployment", "StatefulSet", "Job"):
            yield found, found["spec"]["template"]


def containers(objects: list[Object]) -> Iterator[tuple[Object, Object]]:
    """Every container with the object that makes it."""
    for found, pod in pod_specs(objects):
        for container in pod["spec"]["containers"]:
            yield found, container


def container(objects: list[Object], name: str) -> Object:
    """The one container of a name."""
    (found,) = [it for _, it in containers(objects) if it["name"] == name]
    return found


def one(objects: list[Object], kind: str, ending: str) -> Object:
    """The one object of a kind whose name ends so."""
    (found,) = [
        it for it in objects if it["kind"] == kind and it["metadata"]["name"].endswith(ending)
    ]
    return found


def environment(container: Object) -> dict[str, str]:
    """The environment of a container, with what the cluster fills in."""
    return {row["name"]: row.get("value", "pod-name-0") for row in container["env"]}
