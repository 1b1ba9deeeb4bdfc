"""A Kubernetes control plane of its own: etcd, API server, controllers, scheduler.

There is no kubelet: what a node does is the business of ``node.py``.
"""

import contextlib
import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from tests.cluster.kube import MERGE, STRATEGIC, Kube, KubeError
from tests.observed.stack import until
from tests.support.needs import need, need_programs
from tests.support.ports import free_port
from tests.support.real_server import CACHE, FRUGAL

PROGRAMS = CACHE / "kubernetes"
NODES = ("node-0", "node-1")
LEFT_OUT = (
    "node-ipam-controller",
    "node-route-controller",
    "service-lb-controller",
    "cloud-node-lifecycle-controller",
    "node-lifecycle-controller",  # nobody renews the leases of nodes here
)
STOP_SECONDS = 20.0


class ControlPlane:
    """The processes, how to ask them, and a kubeconfig for Helm."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.kubeconfig = directory / "kubeconfig"
        self._etcd, self._peers, self._api = free_port(), free_port(), free_port()
        self._token = secrets.token_urlsafe(32)
        self._key = directory / "service-accounts.key"
        self._processes: list[subprocess.Popen[bytes]] = []
        self._logs: list[IO[bytes]] = []
        self.kube = Kube(self._api, self._token)

    def start(self) -> None:
        """Start everything and return when pods can be scheduled."""
        subprocess.run(["openssl", "genrsa", "-out", self._key], check=True, capture_output=True)
        (self.directory / "tokens").write_text(f'{self._token},admin,admin,"system:masters"\n')
        self.kubeconfig.write_text(json.dumps(self._config()))
        self._run("etcd", *self._etcd_flags())
        self._run(str(PROGRAMS / "kube-apiserver"), *self._api_flags())
        until(self._answers)
        self._run(str(PROGRAMS / "kube-controller-manager"), *self._controller_flags())
        self._run(
            str(PROGRAMS / "kube-scheduler"),
            f"--kubeconfig={self.kubeconfig}",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            f"--secure-port={free_port()}",
        )
        for name in NODES:
            self._add_node(name)

    def stop(self) -> None:
        """End everything, those who ask before those who are asked."""
        for process in reversed(self._processes):
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for log in self._logs:
            log.close()

    def _run(self, program: str, *flags: str) -> None:
        log = (self.directory / f"{Path(program).name}.log").open("wb")
        self._logs.append(log)
        self._processes.append(
            subprocess.Popen(
                [program, *flags],
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env=os.environ | FRUGAL,
            )
        )

    def _answers(self) -> bool:
        assert all(process.poll() is None for process in self._processes), self.directory
        try:
            return bool(self.kube.request("GET", "/readyz") == "ok")
        except (OSError, KubeError):
            return False

    def _add_node(self, name: str) -> None:
        """A node that is ready for more than these tests will ask of it."""
        labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}
        self.kube.create(
            "/api/v1/nodes",
            {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}},
        )
        resources = {"cpu": "64", "memory": "256Gi", "pods": "200", "ephemeral-storage": "1Ti"}
        ready = {"type": "Ready", "status": "True", "reason": "Acted", "message": "by the tests"}
        status = {"capacity": resources, "allocatable": resources, "conditions": [ready]}
        self.kube.request(
            "PATCH", f"/api/v1/nodes/{name}/status", {"status": status}, kind=STRATEGIC
        )
        untainted = {"spec": {"taints": None}}
        self.kube.request("PATCH", f"/api/v1/nodes/{name}", untainted, kind=MERGE)

    def _config(self) -> dict[str, object]:
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [
                {
                    "name": "test",
                    "cluster": {"server": self.kube.url, "insecure-skip-tls-verify": True},
                }
            ],
            "users": [{"name": "admin", "user": {"token": self._token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
        }

    def _etcd_flags(self) -> list[str]:
        clients, peers = f"http://127.0.0.1:{self._etcd}", f"http://127.0.0.1:{self._peers}"
        return [
            f"--data-dir={self.directory / 'etcd'}",
            f"--listen-client-urls={clients}",
            f"--advertise-client-urls={clients}",
            f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=default={peers}",
        ]

    def _api_flags(self) -> list[str]:
        return [
            f"--etcd-servers=http://127.0.0.1:{self._etcd}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={self._key}",
            f"--service-account-signing-key-file={self._key}",
            f"--token-auth-file={self.directory / 'tokens'}",
            "--authorization-mode=AlwaysAllow",
            f"--cert-dir={self.directory / 'certificates'}",
            f"--secure-port={self._api}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--endpoint-reconciler-type=none",
        ]

    def _controller_flags(self) -> list[str]:
        return [
            f"--kubeconfig={self.kubeconfig}",
            f"--service-account-private-key-file={self._key}",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            f"--secure-port={free_port()}",
            "--controllers=*," + ",".join(f"-{name}" for name in LEFT_OUT),
        ]


@contextlib.contextmanager
def control_plane(directory: Path) -> Iterator[ControlPlane]:
    """A control plane for some tests; nothing of it stays."""
    need_programs("etcd", "openssl")
    need("a Kubernetes control plane (make servers)", (PROGRAMS / "kube-scheduler").exists())
    plane = ControlPlane(directory)
    try:
        plane.start()
        yield plane
    finally:
        plane.stop()
