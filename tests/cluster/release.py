"""A release of the chart on a control plane: Helm's verbs, and looking at what is there."""

import os
import subprocess
from collections.abc import Callable, Sequence
from typing import Any

from tests.chart.render import CHART, HELM
from tests.cluster.control_plane import ControlPlane
from tests.cluster.kube import Object
from tests.observed.stack import until
from tests.support.needs import need
from tests.support.real_server import FRUGAL

RELEASE = "telemetry"
LONGEST_SECONDS = 150
RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}


class Release:
    """One release in a namespace that enforces PodSecurity ``restricted``."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self.plane = plane
        self.kube = plane.kube
        self.namespace = namespace
        metadata = {"name": namespace, "labels": RESTRICTED}
        self.kube.create(
            "/api/v1/namespaces",
            {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata},
        )

    def helm(self, verb: str, *arguments: str, wait: bool = True) -> str:
        """Run a verb of Helm; it must end well, and the API server warn of nothing."""
        done = self.try_helm(verb, *arguments, wait=wait)
        assert done.returncode == 0, done.stderr
        assert "warn" not in done.stderr.lower(), done.stderr
        return done.stdout

    def try_helm(
        self, verb: str, *arguments: str, wait: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a verb of Helm, however it ends."""
        need("Helm (make servers)", HELM.exists())
        chart = [str(CHART)] if verb in ("install", "upgrade") else []
        patience = [f"--timeout={LONGEST_SECONDS}s", *(["--wait"] if wait else [])]
        return subprocess.run(
            [str(HELM), "-n", self.namespace, verb, RELEASE, *chart, *arguments, *patience],
            env=os.environ | FRUGAL | {"KUBECONFIG": str(self.plane.kubeconfig)},
            capture_output=True,
            text=True,
            check=False,
            timeout=LONGEST_SECONDS + 30,
        )

    def objects(self, kind: str, group: str = "") -> dict[str, Object]:
        """Objects of the namespace by name; ``group`` as ``apps/v1`` outside the core."""
        start = f"/apis/{group}" if group else "/api/v1"
        found = self.kube.list(f"{start}/namespaces/{self.namespace}/{kind}")
        return {it["metadata"]["name"]: it for it in found}

    def pods(self) -> dict[str, Object]:
        """Pods that are not on their way out."""
        found = self.objects("pods")
        return {name: it for name, it in found.items() if "deletionTimestamp" not in it["metadata"]}

    def until(self, holds: Callable[[], Any]) -> None:
        """Look until something is so."""
        until(lambda: bool(holds()), LONGEST_SECONDS)


def values(*given: str) -> Sequence[str]:
    """Values as Helm's arguments."""
    return ("--set", ",".join(given))
