"""What a run showed, promise by promise."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cli.chaos.audit import Audit
from cli.chaos.oracle import Oracle, Order
from cli.chaos.plan import ChaosPlan, Settings
from cli.chaos.points import Compared

SHOWN = 5


class Broken(NamedTuple):
    """A promise that was not kept, by its id in docs/promises.md, and what showed it."""

    promise: str
    what: str


@dataclass
class Outcome:
    """Everything there is to say of a run.

    ``drain_seconds`` is how long the healed stack took to bring all to rest, None when it did not;
    ``unfinished`` is what came to rest last, or has not.
    """

    plan: ChaosPlan
    settings: Settings
    oracle: Oracle = field(default_factory=Oracle)
    order: Order = field(default_factory=Order)
    audit: Audit = field(default_factory=Audit)
    history: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    defects: list[str] = field(default_factory=list)
    produced_points: int = 0
    compared: Compared | None = None
    drain_seconds: float | None = None
    unfinished: str = ""

    def broken(self) -> list[Broken]:
        """Every promise that was broken; none at all is what is wanted."""
        return [*self._queue(), *self._store(), *self._operation()]

    def _queue(self) -> list[Broken]:
        oracle, order, audit = self.oracle, self.order, self.audit
        given_up = [f"{count} {what}" for what, count in audit.given_up.items()]
        return [
            *_if(oracle.lost(), "P1 acks, P2 at least once", "answered and never delivered"),
            *_if(given_up, "P2 at least once", "given up by the brokers"),
            *_if(oracle.invented(), "P3 no invention", "delivered and never produced"),
            *_if(oracle.mangled, "P3 no invention", "delivered with other bytes"),
            *_if(order.twice, "P4 no doubles", "stored twice by one broker"),
            *_if(order.wrong, "P5 order", "out of order"),
            *_if(oracle.never_again(), "P6 visibility", "kept too long and never back"),
            *_if(oracle.astray, "P12 proxy", "kinds of acks that went astray"),
            *_if(audit.imbalances, "P16 books balance", "places whose books do not balance"),
        ]

    def _store(self) -> list[Broken]:
        found = self.compared
        if found is None:
            return []
        examples = ", ".join(found.examples)
        told = {
            "acked points are not in the store": found.lost,
            "points have another value": found.wrong,
            "points are there twice": found.doubled,
            "points are of nobody": found.invented,
        }
        return [
            Broken("P13 collector", f"{count} {what}: {examples}")
            for what, count in told.items()
            if count
        ]

    def _operation(self) -> list[Broken]:
        late = [] if self.drain_seconds is not None else [self.unfinished or "it never ended"]
        return [
            *(Broken("P11 stop", complaint) for complaint in self.complaints),
            *(Broken("P18 no leak", leak) for leak in self.audit.leaks()),
            *(
                Broken("P2, P13 rest", f"{what}, {self.plan.rest_seconds:.0f} s healed")
                for what in late
            ),
            *(Broken("no crash", death) for death in self.audit.deaths),
            *(Broken("no defect", defect) for defect in self.defects),
        ]

    def report(self) -> dict[str, Any]:
        """The run in figures, for machines."""
        broken = self.broken()
        found = self.compared
        return {
            "seed": self.plan.seed,
            "seconds": self.plan.seconds,
            "options": {name: dict(given) for name, given in self.settings.told().items()},
            "queue": {**self.oracle.summary(), "acks_refused": dict(self.oracle.refused)},
            "points": {
                "produced": self.produced_points,
                **({} if found is None else _figures(found)),
            },
            "drain_seconds": self.drain_seconds,
            "waited_for_last": self.unfinished,
            "scrapes": self.audit.scrapes,
            "imbalances": len(self.audit.imbalances),
            "most_mib": round(self.audit.most_mib, 1),
            "most_descriptors": self.audit.most_descriptors,
            "growth": {
                name: {"mib": round(growth.mib, 1), "descriptors": growth.descriptors}
                for name, growth in sorted(self.audit.growths().items())
            },
            "history": self.history,
            "broken": [each._asdict() for each in broken],
            "held": not broken,
        }


def _figures(found: Compared) -> Mapping[str, int]:
    return {name: value for name, value in found._asdict().items() if name != "examples"}


def _if(found: Any, promise: str, what: str) -> list[Broken]:
    """The promise is broken when anything was found."""
    if not found:
        return []
    some = ", ".join(str(one) for one in sorted(found, key=str)[:SHOWN])
    return [Broken(promise, f"{len(found)} {what}: {some}")]
