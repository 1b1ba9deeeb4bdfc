"""The total queue: what went in must come out, and nothing else may."""

from collections import Counter
from dataclasses import dataclass, field

import xxhash

FILLING = 8


def payload_of(name: str) -> bytes:
    """A message's bytes; its name begins them and its digest fills them."""
    return f"{name}:{xxhash.xxh3_128_hexdigest(name.encode()) * FILLING}".encode()


@dataclass
class Oracle:
    """Every send that was tried, answered, and every delivery, by the message's name."""

    tried: set[str] = field(default_factory=set)
    stored: set[str] = field(default_factory=set)
    delivered: Counter[str] = field(default_factory=Counter)
    mangled: list[bytes] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)

    def deliver(self, payload: bytes) -> None:
        """A message came."""
        name = payload.partition(b":")[0].decode("utf-8", "replace")
        if payload_of(name) != payload:
            self.mangled.append(payload)
        self.delivered[name] += 1

    def lost(self) -> set[str]:
        """Answered 2xx, and never seen."""
        return self.stored - self.delivered.keys()

    def invented(self) -> set[str]:
        """Seen, and never sent."""
        return self.delivered.keys() - self.tried

    def summary(self) -> dict[str, int]:
        """The figures of a run."""
        return {
            "tried": len(self.tried),
            "stored": len(self.stored),
            "delivered": len(self.delivered),
            "delivered_again": sum(self.delivered.values()) - len(self.delivered),
            "lost": len(self.lost()),
            "invented": len(self.invented()),
            "mangled": len(self.mangled),
        }
