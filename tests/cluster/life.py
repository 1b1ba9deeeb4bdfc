"""A release whose pods run: asking its services, restarting its parts, feeding it."""

import base64
import gzip
import json
import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from tests.cluster.kube import STRATEGIC, Object
from tests.cluster.node import Nodes
from tests.cluster.pods import now
from tests.cluster.release import RELEASE, Release

ROOT = Path(__file__).parents[2]
INPUT = "export"
UNVERIFIED = ssl._create_unverified_context()  # pods are asked by address


class Life:
    """A release that is fed, and what its API says."""

    def __init__(
        self,
        release: Release,
        nodes: Nodes,
        auth: str = f"{RELEASE}-auth",
        scheme: str = "http",
    ) -> None:
        self.release = release
        self.nodes = nodes
        self._auth = auth
        self._scheme = scheme

    def stats(self) -> Any:
        """``GET /api/v1/stats`` from this machine; None while nobody answers."""
        names = [it for it in self.release.pods() if it.startswith(f"{RELEASE}-api-")]
        pod = names[0] if names else f"{RELEASE}-collector-0"
        return self.ask(pod, 8080, "/api/v1/stats", "X-API-Key", "api-key")

    def points(self) -> int:
        """Points in the store."""
        stats = self.stats()
        return int(stats["points"]) if stats else 0

    def brokers(self) -> dict[str, bool]:
        """Whether each broker that a proxy lists is ready, by the name in its receipts."""
        status = self.proxy("/status")
        listed = [it for it in status["brokers"] if it["listed"]] if status else []
        return {it["instance"]: it["ready"] for it in listed}

    def runs_anew(self, name: str, before: str) -> bool:
        """Whether a pod of this name is there again, and ready."""
        found = self.release.pods().get(name)
        return bool(
            found and found["metadata"]["uid"] != before and self.rolled_out("statefulsets")
        )

    def proxy(self, path: str, method: str = "GET") -> Any:
        """A request to a proxy."""
        name = next(it for it in self.release.pods() if it.startswith(f"{RELEASE}-proxy-"))
        return self.ask(name, 7080, path, "Authorization", "service-token", method)

    def ask(
        self, pod: str, port: int, path: str, header: str, key: str, method: str = "GET"
    ) -> Any:
        """A request to a pod, with a secret of the release; None when it is not answered well."""
        assert self.nodes.problem is None, self.nodes.problem
        data = self.release.objects("secrets")[self._auth]["data"][key]
        secret = base64.b64decode(data).decode()
        shown = f"Bearer {secret}" if header == "Authorization" else secret
        try:
            url = f"{self._scheme}://{self.nodes.pod(pod).address}:{port}{path}"
            request = urllib.request.Request(url, headers={header: shown}, method=method)
            with urllib.request.urlopen(request, timeout=5, context=UNVERIFIED) as answer:
                return json.loads(answer.read())
        except (OSError, AssertionError):
            return None

    def restart(self, kind: str, name: str) -> None:
        """``kubectl rollout restart``."""
        annotation = {"kubectl.kubernetes.io/restartedAt": now()}
        template = {"metadata": {"annotations": annotation}}
        self.release.kube.request(
            "PATCH",
            f"/apis/apps/v1/namespaces/{self.release.namespace}/{kind}/{RELEASE}-{name}",
            {"spec": {"template": template}},
            kind=STRATEGIC,
        )

    def rolled_out(self, kind: str) -> bool:
        """Whether every replica is of the newest kind, and ready."""
        return all(done(found) for found in self.release.objects(kind, "apps/v1").values())


def done(found: Object) -> bool:
    status, replicas = found["status"], found["spec"]["replicas"]
    return bool(
        status.get("observedGeneration") == found["metadata"]["generation"]
        and status.get("updatedReplicas") == replicas
        and status.get("readyReplicas") == replicas
        and status.get("replicas") == replicas
    )


def give_export(release: Release, gpus: int, seconds: int) -> None:
    """A synthetic fleet's export as the config map ``export``, packed."""
    export = subprocess.run(
        [sys.executable, "-m", "cli", "generate", "--gpus", str(gpus), "--seconds", str(seconds)],
        capture_output=True,
        check=True,
        cwd=ROOT,
    ).stdout
    packed = base64.b64encode(gzip.compress(export)).decode()
    release.kube.create(
        release.kube.core(release.namespace, "configmaps"),
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": INPUT},
            "binaryData": {"export.csv.gz": packed},
        },
    )
