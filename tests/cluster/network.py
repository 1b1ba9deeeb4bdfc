"""The pods' network: a bridge, and a namespace with an address for each pod."""

import itertools
import os
import subprocess

from tests.support.network import sudo

FIRST = 10


class PodNetwork:
    """Owns the bridge; this machine is its first address."""

    def __init__(self) -> None:
        number = os.getpid() % 10_000
        self._prefix = f"pod{number}"
        self._bridge = f"br{number}"
        self._subnet = f"10.{200 + number % 50}.{number % 250}"
        self.host = f"{self._subnet}.1"
        self._names: dict[str, str] = {}
        self._numbers = itertools.count(FIRST)

    def make(self) -> None:
        """Put up the bridge."""
        sudo("ip", "link", "add", self._bridge, "type", "bridge")
        sudo("ip", "addr", "add", f"{self.host}/24", "dev", self._bridge)
        sudo("ip", "link", "set", self._bridge, "up")

    def join(self, pod: str) -> tuple[str, str]:
        """A namespace for a pod, and its address."""
        number = next(self._numbers)
        address, name = f"{self._subnet}.{number}", f"{self._prefix}-{number}"
        here, there = f"{self._prefix}h{number}", f"{self._prefix}p{number}"
        sudo("ip", "netns", "add", name)
        self._names[pod] = name
        sudo("ip", "link", "add", here, "type", "veth", "peer", "name", there)
        sudo("ip", "link", "set", there, "netns", name)
        sudo("ip", "link", "set", here, "master", self._bridge, "up")
        sudo("ip", "-n", name, "addr", "add", f"{address}/24", "dev", there)
        sudo("ip", "-n", name, "link", "set", there, "up")
        sudo("ip", "-n", name, "link", "set", "lo", "up")
        return name, address

    def leave(self, pod: str) -> None:
        """Take a pod's namespace away; its cable goes with it."""
        name = self._names.pop(pod, None)
        if name is not None:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)

    def unmake(self) -> None:
        """Take everything away."""
        for pod in list(self._names):
            self.leave(pod)
        subprocess.run(["ip", "link", "del", self._bridge], check=False, capture_output=True)
