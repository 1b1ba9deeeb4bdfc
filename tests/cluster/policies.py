"""Network policies, enforced: what a network plugin would let through, as rules in a pod's network.

A pod that no policy selects is open. What a node sends to its own pods always passes, as the
kubelet's probes must. Names of pods come from a file, so nobody needs a name server here.
"""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.cluster.kube import Object

HEAD = "flush ruleset\ntable inet pod {\n"
ALWAYS = "  ct state established,related accept\n"
ANYWHERE = "0.0.0.0/0"


class Place(NamedTuple):
    """A pod as policies see it: who it is, where it is, and its ports by name."""

    namespace: str
    labels: Mapping[str, str]
    address: str
    ports: Mapping[str, int]


class Cluster(NamedTuple):
    """What policies speak of: the pods there are, and the labels of namespaces by name."""

    policies: Sequence[Object]
    pods: Sequence[Place]
    namespaces: Mapping[str, Mapping[str, str]]
    host: str


def enforce(network: str, rules: str, directory: Path) -> None:
    """Put rules in the place of those that a pod's network has, all at once."""
    path = directory / "policies.nft"
    path.write_text(rules)
    subprocess.run(["ip", "netns", "exec", network, "nft", "-f", str(path)], check=True)


def rules_for(pod: Place, cluster: Cluster) -> str:
    """The rules of one pod."""
    mine = [it["spec"] for it in cluster.policies if selects(it, pod)]
    text = HEAD
    for hook, kind, entry in (("input", "Ingress", "ingress"), ("output", "Egress", "egress")):
        closed = [spec for spec in mine if kind in spec["policyTypes"]]
        text += f" chain {hook} {{\n  type filter hook {hook} priority 0; "
        text += f"policy {'drop' if closed else 'accept'};\n{ALWAYS}"
        text += f'  {"iif" if hook == "input" else "oif"} "lo" accept\n'
        if hook == "input":
            text += f"  ip saddr {cluster.host} accept\n"
        for spec in closed:
            for rule in spec.get(entry) or []:
                text += "".join(f"  {line} accept\n" for line in lines(rule, pod, cluster, kind))
        text += " }\n"
    return text + "}\n"


def selects(policy: Object, pod: Place) -> bool:
    """Whether a policy is about a pod."""
    same = policy["metadata"]["namespace"] == pod.namespace
    return same and matches(policy["spec"]["podSelector"], pod.labels)


def lines(rule: Object, pod: Place, cluster: Cluster, kind: str) -> Iterator[str]:
    """What one rule lets through: from or to whom, at which ports."""
    side, peers = ("saddr", rule.get("from")) if kind == "Ingress" else ("daddr", rule.get("to"))
    for address, ports in addresses(peers, pod, cluster):
        named = pod.ports if kind == "Ingress" else ports
        for port in rule.get("ports") or [None]:
            where = f"ip {side} {address}"
            if port is None:
                yield where
                continue
            number = named.get(port["port"], port["port"])
            if isinstance(number, int):  # a name that the pod does not have opens nothing
                yield f"{where} {port['protocol'].lower()} dport {number}"


def addresses(
    peers: Sequence[Object] | None, pod: Place, cluster: Cluster
) -> Iterator[tuple[str, Mapping[str, int]]]:
    """The addresses of peers, each with its pod's ports; nobody named is everybody."""
    if not peers:
        yield ANYWHERE, {}
        return
    for peer in peers:
        if "ipBlock" in peer:
            assert "except" not in peer["ipBlock"], "no rule is made of that here yet"
            yield peer["ipBlock"]["cidr"], {}
            continue
        for other in cluster.pods:
            if is_peer(peer, other, pod.namespace, cluster):
                yield other.address, other.ports


def is_peer(peer: Object, other: Place, namespace: str, cluster: Cluster) -> bool:
    """Whether a pod is one of those that a peer means."""
    if "namespaceSelector" in peer:
        if not matches(peer["namespaceSelector"], cluster.namespaces[other.namespace]):
            return False
    elif other.namespace != namespace:
        return False
    return matches(peer.get("podSelector", {}), other.labels)


def matches(selector: Object, labels: Mapping[str, str]) -> bool:
    """Whether labels are what a selector asks for."""
    wanted = selector.get("matchLabels") or {}
    return wanted.items() <= labels.items() and all(
        OPERATORS[it["operator"]](labels.get(it["key"]), it.get("values") or [])
        for it in selector.get("matchExpressions") or []
    )


OPERATORS = {
    "In": lambda value, values: value in values,
    "NotIn": lambda value, values: value not in values,
    "Exists": lambda value, values: value is not None,
    "DoesNotExist": lambda value, values: value is None,
}
