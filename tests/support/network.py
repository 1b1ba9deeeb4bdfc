"""A network of one's own: a namespace, a cable to it, and what can be done to the cable."""

import contextlib
import os
import subprocess
from collections.abc import Iterator

from tests.support.needs import need_programs, need_root

SUBNETS = 250


class Network:
    """A namespace ``name`` with the address ``host``; this side of the cable is ``cable``."""

    def __init__(self, number: int) -> None:
        self.name = f"tel-{number}"
        self.cable = f"tel{number}a"
        self.host = f"10.213.{number % SUBNETS}.2"
        self._far_cable = f"tel{number}b"
        self._near = f"10.213.{number % SUBNETS}.1"

    @property
    def prefix(self) -> list[str]:
        """Put before a command, it runs there."""
        return ["ip", "netns", "exec", self.name]

    def make(self) -> None:
        """Lay the cable."""
        sudo("ip", "netns", "add", self.name)
        sudo("ip", "link", "add", self.cable, "type", "veth", "peer", "name", self._far_cable)
        sudo("ip", "link", "set", self._far_cable, "netns", self.name)
        sudo("ip", "addr", "add", f"{self._near}/30", "dev", self.cable)
        sudo("ip", "link", "set", self.cable, "up")
        self._there("ip", "addr", "add", f"{self.host}/30", "dev", self._far_cable)
        self._there("ip", "link", "set", self._far_cable, "up")
        self._there("ip", "link", "set", "lo", "up")
        self._there("nft", "add", "table", "inet", "f")
        for hook in ("input", "output"):
            chain = f"{{ type filter hook {hook} priority 0 ; }}"
            self._there("nft", "add", "chain", "inet", "f", hook, chain)

    def unmake(self) -> None:
        """Take everything away; the cable goes with its end."""
        subprocess.run(["ip", "netns", "del", self.name], check=False, capture_output=True)
        subprocess.run(["ip", "link", "del", self.cable], check=False, capture_output=True)

    def pull(self) -> None:
        """Nothing passes any more."""
        sudo("ip", "link", "set", self.cable, "down")

    def plug(self) -> None:
        """Everything passes again."""
        sudo("ip", "link", "set", self.cable, "up")

    def drop(self, hook: str, each: int = 1) -> None:
        """Lose packets on their way in (``input``) or out (``output``): one of ``each``.

        By chance a beginning would be lost five times in a row now and then, and takes 31 s then.
        """
        some = ["numgen", "inc", "mod", str(each), "0"] if each > 1 else []
        self._there("nft", "add", "rule", "inet", "f", hook, *some, "drop")

    def pass_all(self) -> None:
        """Lose no packet any more."""
        self._there("nft", "flush", "table", "inet", "f")

    def throttle(self, rate: str) -> None:
        """Let so much pass a second, both ways."""
        limits = ["tbf", "rate", rate, "burst", "4kb", "latency", "400ms"]
        sudo("tc", "qdisc", "add", "dev", self.cable, "root", *limits)
        self._there("tc", "qdisc", "add", "dev", self._far_cable, "root", *limits)

    def _there(self, *command: str) -> None:
        sudo(*self.prefix, *command)


@contextlib.contextmanager
def network() -> Iterator[Network]:
    """A network for one test; root's alone."""
    need_root()
    need_programs("ip", "nft", "tc")
    made = Network(os.getpid() % 100_000)
    made.unmake()  # what a run that was killed left behind
    try:
        made.make()
        yield made
    finally:
        made.unmake()


def sudo(*command: str) -> None:
    """Run a command that must succeed."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
