"""One pod, acted out: its containers as processes, its probes, its end."""

import base64
import contextlib
import datetime
import http.client
import os
import shutil
import ssl
import subprocess
import threading
from pathlib import Path
from typing import Any

from tests.cluster.kube import STRATEGIC, Kube, KubeError, Object
from tests.cluster.network import PodNetwork
from tests.cluster.policies import Cluster, Place, enforce, rules_for
from tests.cluster.sandbox import Mount, container_command, run_beside

OUR_IMAGE = "telemetry-stack"
PROBE_SECONDS = 2.0
KILL_SECONDS = 5.0


class Container:
    """A container of a pod: what it is to be, and the process that it is."""

    def __init__(self, spec: Object, log: Path) -> None:
        self.spec = spec
        self.name: str = spec["name"]
        self.acted = spec["image"].startswith(OUR_IMAGE)
        self.started = self.ready = False
        self.restarts = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._log = log

    def start(self, command: list[str]) -> None:
        """Begin a life."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        self.started = self.ready = False

    @property
    def exit_code(self) -> int | None:
        """Of its last life, None while it lives; what is not ours to act always lives."""
        return self.process.poll() if self.process is not None else None

    def probe(self, address: str) -> None:
        """Ask as the kubelet would: started once, ready as long as it says so."""
        if not self.acted or "readinessProbe" not in self.spec:
            self.started = self.ready = True
            return
        self.started = self.started or self._asked(address, self.spec["startupProbe"])
        self.ready = self.started and self._asked(address, self.spec["readinessProbe"])

    def _asked(self, address: str, probe: Object) -> bool:
        port = probe["httpGet"]["port"]
        numbers = {it["name"]: it["containerPort"] for it in self.spec["ports"]}
        given = address, numbers[port]
        connection = http.client.HTTPConnection(*given, timeout=PROBE_SECONDS)
        if probe["httpGet"].get("scheme") == "HTTPS":  # whose certificate no kubelet looks at
            trust = ssl._create_unverified_context()
            connection = http.client.HTTPSConnection(*given, timeout=PROBE_SECONDS, context=trust)
        try:
            connection.request("GET", probe["httpGet"]["path"])
            return 200 <= connection.getresponse().status < 400
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


class Pod:
    """A pod that the scheduler gave to a node."""

    def __init__(self, kube: Kube, found: Object, directory: Path, network: PodNetwork) -> None:
        self.name: str = found["metadata"]["name"]
        self.namespace: str = found["metadata"]["namespace"]
        self.uid: str = found["metadata"]["uid"]
        self.spec: Object = found["spec"]
        self.ending: threading.Thread | None = None
        self._metadata = found["metadata"]
        self._kube = kube
        self._directory = directory / f"{self.name}-{self.uid[:8]}"
        self._directory.mkdir()
        self._network = network
        self.network, self.address = network.join(self.uid)
        self._rules = ""
        self._user: int = self.spec["securityContext"]["runAsUser"]
        self._said: Object = {}
        self._began = now()
        logs = directory / "logs"
        logs.mkdir(exist_ok=True)
        self.containers = [
            Container(spec, logs / f"{self.name}-{spec['name']}.log")
            for spec in self.spec["containers"]
        ]

    @property
    def _path(self) -> str:
        return self._kube.core(self.namespace, "pods", self.name)

    @property
    def place(self) -> Place:
        """Who it is to network policies."""
        ports = [port for spec in self.spec["containers"] for port in spec.get("ports", [])]
        named = {port["name"]: port["containerPort"] for port in ports}
        return Place(self.namespace, self._metadata.get("labels", {}), self.address, named)

    def obey(self, cluster: Cluster) -> None:
        """Let through what the policies do."""
        rules = rules_for(self.place, cluster)
        if rules != self._rules:
            enforce(self.network, rules, self._directory)
            self._rules = rules

    def start(self, etc: Path) -> None:
        """Make the volumes and start every container."""
        volumes = {it["name"]: self._volume(it) for it in self.spec.get("volumes", [])}
        self._commands = {
            container.name: container_command(
                self.network,
                self._user,
                self._mounts(container.spec, volumes),
                etc,
                {row["name"]: self._value(row) for row in container.spec.get("env", [])},
                [*container.spec.get("command", []), *container.spec.get("args", [])],
            )
            for container in self.containers
            if container.acted
        }
        for container in self.containers:
            if container.acted:
                container.start(self._commands[container.name])

    def look(self) -> None:
        """Probe, start anew what ended and should not have, and say how it is."""
        for container in self.containers:
            if container.exit_code is None:
                container.probe(self.address)
            elif self.spec["restartPolicy"] == "Always":
                container.restarts += 1
                container.start(self._commands[container.name])
            else:
                container.ready = False
        self._say(self._status())

    def end(self, grace_seconds: float) -> None:
        """Stop in the background, as the pod's grace allows."""
        self.ending = threading.Thread(target=self._end, args=(grace_seconds,))
        self.ending.start()

    def kill(self) -> None:
        """Leave no process and no network behind."""
        for container in self.containers:
            if container.process is not None and container.process.poll() is None:
                container.process.kill()
                container.process.wait(KILL_SECONDS)
        self._network.leave(self.uid)
        shutil.rmtree(self._directory, ignore_errors=True)

    def _end(self, grace_seconds: float) -> None:
        stops = [
            threading.Thread(target=self._stop, args=(container, grace_seconds))
            for container in self.containers
        ]
        for stop in stops:
            stop.start()
        for stop in stops:
            stop.join()
        self.kill()
        with contextlib.suppress(KubeError):
            body = {"gracePeriodSeconds": 0, "preconditions": {"uid": self.uid}}
            self._kube.request("DELETE", self._path, body)

    def _stop(self, container: Container, grace_seconds: float) -> None:
        process = container.process
        if process is None or process.poll() is not None:
            return
        hook = container.spec.get("lifecycle", {}).get("preStop")
        if hook is not None:
            run_beside(process.pid, self._user, hook["exec"]["command"], grace_seconds)
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace_seconds)

    def _volume(self, volume: Object) -> Path:
        """A directory with what a volume has."""
        place: Path = self._directory / volume["name"]
        if "persistentVolumeClaim" in volume:
            return self._claimed(volume["persistentVolumeClaim"]["claimName"])
        place.mkdir()
        if "secret" in volume:
            secret = self._get("secrets", volume["secret"]["secretName"])
            for item in volume["secret"]["items"]:
                path = place / item["path"]
                path.write_bytes(base64.b64decode(secret["data"][item["key"]]))
                path.chmod(volume["secret"]["defaultMode"])
                os.chown(path, 0, self._user)
        elif "configMap" in volume:
            found = self._get("configmaps", volume["configMap"]["name"])
            for name, text in found.get("data", {}).items():
                (place / name).write_text(text)
            for name, data in found.get("binaryData", {}).items():
                (place / name).write_bytes(base64.b64decode(data))
        else:
            os.chown(place, 0, self._user)
            place.chmod(0o2777)
        return place

    def _claimed(self, name: str) -> Path:
        """Where a claim's volume is, its group the pod's."""
        claim = self._get("persistentvolumeclaims", name)
        volume = self._kube.request(
            "GET", f"/api/v1/persistentvolumes/{claim['spec']['volumeName']}"
        )
        place = Path(volume["spec"]["hostPath"]["path"])
        os.chown(place, 0, self._user)
        place.chmod(0o2770)
        return place

    def _mounts(self, spec: Object, volumes: dict[str, Path]) -> list[Mount]:
        return [
            Mount(volumes[it["name"]], it["mountPath"], it.get("readOnly", False))
            for it in spec.get("volumeMounts", [])
        ]

    def _value(self, row: Object) -> str:
        """The value of an environment variable."""
        if "valueFrom" not in row:
            return str(row.get("value", ""))
        source = row["valueFrom"]
        if "fieldRef" in source:
            whole, _, field = source["fieldRef"]["fieldPath"].partition(".")
            assert whole == "metadata"
            return str(self._metadata[field])
        reference = source["secretKeyRef"]
        data = self._get("secrets", reference["name"])["data"]
        return base64.b64decode(data[reference["key"]]).decode()

    def _get(self, kind: str, name: str) -> Any:
        return self._kube.request("GET", self._kube.core(self.namespace, kind, name))

    def _status(self) -> Object:
        ready = all(container.ready for container in self.containers)
        over = all(container.exit_code is not None for container in self.containers)
        failed = over and any(container.exit_code for container in self.containers)
        phase = "Running" if not over else "Failed" if failed else "Succeeded"
        conditions = {"Initialized": True, "PodScheduled": True}
        conditions |= {"Ready": ready and not over, "ContainersReady": ready and not over}
        return {
            "phase": phase,
            "podIP": self.address,
            "podIPs": [{"ip": self.address}],
            "startTime": self._began,
            "conditions": [
                {"type": name, "status": str(holds)} for name, holds in conditions.items()
            ],
            "containerStatuses": [self._container_status(it) for it in self.containers],
        }

    def _container_status(self, container: Container) -> Object:
        code = container.exit_code
        state: Object = {"running": {"startedAt": self._began}}
        if code is not None:
            ended = {"startedAt": self._began, "finishedAt": self._began}
            state = {"terminated": {"exitCode": abs(code), **ended}}
        return {
            "name": container.name,
            "image": container.spec["image"],
            "imageID": "none",
            "ready": container.ready,
            "started": container.started,
            "restartCount": container.restarts,
            "state": state,
        }

    def _say(self, status: Object) -> None:
        """Tell the API server, if there is something to tell."""
        if status == self._said:
            return
        with contextlib.suppress(KubeError):
            self._kube.request("PATCH", f"{self._path}/status", {"status": status}, kind=STRATEGIC)
            self._said = status


def now() -> str:
    """The time as the API server takes it."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
