"""What the nodes of the cluster do: run the pods they are given, and provide their claims."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.cluster.control_plane import NODES
from tests.cluster.kube import Kube
from tests.cluster.network import PodNetwork
from tests.cluster.pods import Pod
from tests.cluster.policies import Cluster
from tests.support.needs import need_programs, need_root

LOOK_SECONDS = 0.4
DOMAIN = "cluster.local"


class Nodes:
    """Acts for every node of the cluster, one look after the other."""

    def __init__(self, kube: Kube, directory: Path) -> None:
        self.pods: dict[str, Pod] = {}
        self.problem: BaseException | None = None
        self._kube = kube
        self._directory = directory
        self._etc = directory / "etc"
        self._network = PodNetwork()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        """Begin to look."""
        self._etc.mkdir(parents=True)
        (self._etc / "nsswitch.conf").write_text("hosts: files\npasswd: files\ngroup: files\n")
        (self._etc / "passwd").write_text("telemetry:x:10001:10001::/nonexistent:/bin/false\n")
        (self._etc / "group").write_text("telemetry:x:10001:\n")
        (self._etc / "hosts").write_text("127.0.0.1 localhost\n")
        (self._etc / "ssl").mkdir()
        self._network.make()
        self._thread.start()

    def stop(self) -> None:
        """Leave nothing behind."""
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()
        for pod in self.pods.values():
            if pod.ending is not None:
                pod.ending.join()
            pod.kill()
        self._network.unmake()

    @property
    def host(self) -> str:
        """This machine, as the pods see it."""
        return self._network.host

    def join(self, name: str) -> str:
        """The network of somebody who is no pod of any release."""
        network, _ = self._network.join(name)
        return network

    def volume(self, namespace: str, claim: str) -> Path:
        """Where what a claim holds lies on this machine."""
        return self._directory / "volumes" / f"{namespace}-{claim}"

    def pod(self, name: str) -> Pod:
        """The pod of a name that runs now."""
        found = [pod for pod in self.pods.values() if pod.name == name and pod.ending is None]
        assert found, f"{name} does not run"
        return found[-1]

    def _run(self) -> None:
        try:
            while not self._over.wait(LOOK_SECONDS):
                self._provide()
                self._follow_pods()
                self._name_everyone()
        except BaseException as error:
            self.problem = error

    def _follow_pods(self) -> None:
        """Start what is new, end what is to end, look at the rest."""
        found = {
            it["metadata"]["uid"]: it
            for it in self._kube.list("/api/v1/pods")
            if it["spec"].get("nodeName") in NODES
        }
        new = [
            Pod(self._kube, it, self._directory, self._network)
            for uid, it in found.items()
            if uid not in self.pods and "deletionTimestamp" not in it["metadata"]
        ]
        self.pods |= {pod.uid: pod for pod in new}
        self._enforce_policies()
        for pod in new:
            pod.start(self._etc)
        for uid, pod in list(self.pods.items()):
            if uid not in found:
                self._forget(pod)
            elif pod.ending is None and "deletionTimestamp" in found[uid]["metadata"]:
                pod.end(found[uid]["metadata"]["deletionGracePeriodSeconds"])
            elif pod.ending is None:
                pod.look()

    def _forget(self, pod: Pod) -> None:
        """A pod that the API server knows no more: ended by us, or removed by force."""
        if pod.ending is None:
            pod.kill()
        if pod.ending is None or not pod.ending.is_alive():
            del self.pods[pod.uid]

    def _enforce_policies(self) -> None:
        """Have every pod's network obey, that of a new one before it starts."""
        pods = [pod for pod in self.pods.values() if pod.ending is None]
        cluster = Cluster(
            self._kube.list("/apis/networking.k8s.io/v1/networkpolicies"),
            [pod.place for pod in pods],
            {
                it["metadata"]["name"]: it["metadata"].get("labels", {})
                for it in self._kube.list("/api/v1/namespaces")
            },
            self.host,
        )
        for pod in pods:
            pod.obey(cluster)

    def _provide(self) -> None:
        """A directory for every claim that waits for a volume."""
        for claim in self._kube.list("/api/v1/persistentvolumeclaims"):
            if "volumeName" in claim["spec"]:
                continue
            place = claim["metadata"]["namespace"], claim["metadata"]["name"]
            path = self._directory / "volumes" / "-".join(place)
            path.mkdir(parents=True, exist_ok=True)
            spec = {
                "capacity": claim["spec"]["resources"]["requests"],
                "accessModes": claim["spec"]["accessModes"],
                "hostPath": {"path": str(path)},
                "claimRef": {"namespace": place[0], "name": place[1]},
                "storageClassName": claim["spec"].get("storageClassName", ""),
            }
            body = {"apiVersion": "v1", "kind": "PersistentVolume", "spec": spec}
            name = {"name": f"volume-{claim['metadata']['uid']}"}
            self._kube.create("/api/v1/persistentvolumes", body | {"metadata": name})

    def _name_everyone(self) -> None:
        """The names that the cluster's DNS would know, as a hosts file that every pod sees."""
        lines = ["127.0.0.1 localhost"]
        for pod in self.pods.values():
            service, hostname = pod.spec.get("subdomain"), pod.spec.get("hostname")
            if service and hostname and pod.ending is None:
                lines.append(names(pod.address, f"{hostname}.{service}", pod.namespace))
        slices = self._kube.list("/apis/discovery.k8s.io/v1/endpointslices")
        for found in slices:
            service = found["metadata"]["labels"]["kubernetes.io/service-name"]
            for endpoint in found.get("endpoints") or []:
                if endpoint["conditions"].get("ready"):
                    address = endpoint["addresses"][0]
                    lines.append(names(address, service, found["metadata"]["namespace"]))
        text = "\n".join(lines) + "\n"
        hosts = self._etc / "hosts"
        if hosts.read_text() != text:
            hosts.write_text(text)


def names(address: str, name: str, namespace: str) -> str:
    """A line of the hosts file."""
    whole = f"{name}.{namespace}.svc"
    return f"{address} {name} {name}.{namespace} {whole} {whole}.{DOMAIN}"


@contextlib.contextmanager
def acting_nodes(kube: Kube, directory: Path) -> Iterator[Nodes]:
    """Nodes that act for as long as a test runs; root's alone."""
    need_root()
    need_programs("ip", "nft", "unshare", "nsenter", "setpriv", "chroot", "mount")
    nodes = Nodes(kube, directory)
    try:
        nodes.start()
        yield nodes
    finally:
        nodes.stop()
