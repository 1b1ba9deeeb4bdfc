"""The total queue: what went in must come out, and nothing else may."""

from collections import Counter, defaultdict
from collections.abc import Set
from dataclasses import dataclass, field

import xxhash

FILLING = 8
MISROUTED, UNROUTED = "WRONG_BROKER", "UNKNOWN_BROKER"

Place = tuple[str, int]  # broker, partition


def payload_of(name: str) -> bytes:
    """A message's bytes; its name begins them and its digest fills them."""
    return f"{name}:{xxhash.xxh3_128_hexdigest(name.encode()) * FILLING}".encode()


@dataclass
class Oracle:
    """Every send that was tried, answered, and every delivery, by the message's name.

    What was tried and not answered may be there or not. ``late`` has what came to a group that
    reads seldom: what the brokers forgot meanwhile is not in it. ``settled`` has what was acked in
    the group whose consumers keep some. ``refused`` counts the receipts of acks by reason,
    ``astray`` those that did not get to the broker that gave them although it was there.
    """

    tried: set[str] = field(default_factory=set)
    stored: set[str] = field(default_factory=set)
    delivered: Counter[str] = field(default_factory=Counter)
    late: set[str] = field(default_factory=set)
    mangled: list[bytes] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    astray: Counter[str] = field(default_factory=Counter)
    kept: dict[str, int] = field(default_factory=dict)
    settled: set[str] = field(default_factory=set)

    def deliver(self, payload: bytes) -> str:
        """A message came; returns its name."""
        name = self._name(payload)
        self.delivered[name] += 1
        return name

    def deliver_late(self, payload: bytes) -> None:
        """A message came to the group that reads seldom."""
        self.late.add(self._name(payload))

    def _name(self, payload: bytes) -> str:
        name = payload.partition(b":")[0].decode("utf-8", "replace")
        if payload_of(name) != payload:
            self.mangled.append(payload)
        return name

    def keep(self, names: list[str]) -> None:
        """A consumer has messages and will never ack them: they must come again.

        Unless another has acked them: a consumer that was held up may keep what is no more its own.
        """
        self.kept.update({name: self.delivered[name] for name in names})

    def refuse(self, why: str, listed: bool) -> None:
        """A receipt was refused; ``listed`` is whether the broker that gave it is one of the list.

        One that left is known to no proxy: whoever acks there had acked before, or had no lease.
        """
        self.refused[why] += 1
        if why == MISROUTED or (why == UNROUTED and listed):
            self.astray[why] += 1

    def lost(self) -> set[str]:
        """Answered 2xx, and never seen by one of the groups."""
        return self.stored - (self.delivered.keys() & self.late)

    def invented(self) -> set[str]:
        """Seen, and never sent."""
        return (self.delivered.keys() | self.late) - self.tried

    def never_again(self) -> set[str]:
        """Kept by a consumer, acked by nobody, and never seen since."""
        unseen = {name for name, count in self.kept.items() if self.delivered[name] == count}
        return unseen - self.settled

    def summary(self) -> dict[str, int]:
        """The figures of a run."""
        return {
            "tried": len(self.tried),
            "answered": len(self.stored),
            "delivered": len(self.delivered),
            "delivered_again": sum(self.delivered.values()) - len(self.delivered),
            "kept_unacked": len(self.kept),
            "lost": len(self.lost()),
            "invented": len(self.invented()),
            "mangled": len(self.mangled),
        }


class Order:
    """What a group's only consumer sees: the order of first deliveries, and where messages lie."""

    def __init__(self) -> None:
        self.wrong: list[str] = []
        self.twice: set[str] = set()
        self._last: defaultdict[Place, int] = defaultdict(lambda: -1)
        self._places: dict[tuple[str, str], tuple[int, int]] = {}

    def look(
        self, broker: str, partition: int, offset: int, attempt: int, names: list[str]
    ) -> None:
        """A delivery came: what is new in it must lie above what was new before it.

        What is new here and none to the broker was on its way once, and a cut line kept it.
        """
        place = (broker, partition)
        for at, name in enumerate(names, start=offset):
            before = self._places.get((broker, name))
            if before is None:
                if at < self._last[place] and attempt == 1:
                    self.wrong.append(
                        f"{name} at {broker}:{partition}:{at} after {self._last[place]}"
                    )
                self._last[place] = max(at, self._last[place])
            elif before != (partition, at):
                self.twice.add(name)
            self._places[broker, name] = (partition, at)

    def seen(self) -> set[str]:
        """Every message that came, by name."""
        return {name for _, name in self._places}

    def forget(self, broker: str, answered: Set[str]) -> None:
        """A broker lost what it had not synced: those offsets are given again, to others too."""
        for place in list(self._last):
            if place[0] == broker:
                del self._last[place]
        self._places = {
            seen: place
            for seen, place in self._places.items()
            if seen[0] != broker or seen[1] in answered
        }
