"""The texts that VictoriaMetrics is asked with: selectors of series, and questions in MetricsQL.

Every value in them is quoted. A text is at most as long as servers take; so GPUs are named one by
one up to a number, and over that all are asked for.

A server remembers for up to ten seconds which series a selector has found, and leaves out those
that are new since. So none is asked twice: each excludes one more value of a label that no series
has.
"""

import itertools
import re
import secrets
from collections.abc import Collection, Iterable

import msgspec

from common.models import EARLIEST_MS, LATEST_MS
from common.storage.influx.lines import encode_name
from common.storage.victoria.lines import (
    BITS,
    DB,
    GPU,
    HALF,
    INFO,
    LONG_LABELS,
    METRIC,
    NAME,
    OWN,
    REVISION,
    SEEN,
)
from common.storage.victoria.values import LOW

ASKED = "_asked"
MAX_NAMED_BYTES = 12_000
"""Of the names in one text; servers take 16 KiB in all."""

_SPECIAL = re.compile(r"[\\.+*?()|\[\]{}^$]")


class Selectors:
    """Texts about the series of one ``db``; for any number of threads at once."""

    def __init__(self, db: str) -> None:
        self._of_db = f"{DB}={quoted(db)}"
        self._name = secrets.token_hex(8)
        self._numbers = itertools.count()

    @property
    def _db(self) -> str:
        """Series of the ``db``, in a text that no server has seen."""
        return f"{self._of_db},{ASKED}!={quoted(f'{self._name}-{next(self._numbers)}')}"

    def points(self, gpus: Collection[str] | None, metrics: Collection[str] = ()) -> list[str]:
        """All series that hold points: of some GPUs or all, of some metrics or all."""
        which = f"{self._db}{_gpus(gpus)}"
        if not metrics:
            return [f"{{{NAME}!~{quoted('|'.join(OWN))},{which}}}"]
        names = _one_of(map(encode_name, metrics))
        return [
            f"{{{NAME}=~{names},{which}}}",
            f"{{{NAME}={quoted(BITS)},{METRIC}=~{names},{which}}}",
        ]

    def counted(self, gpus: Collection[str] | None) -> str:
        """As `points`, each point in one series of these."""
        which = f"{self._db}{_gpus(gpus)}"
        return f"{{{NAME}!~{quoted('|'.join(OWN))},{HALF}=~{quoted(f'|{LOW}')},{which}}}"

    def rewritten(self, gpus: Collection[str] | None) -> str:
        """The series of points that were written again with another value."""
        which = f"{self._db}{_gpus(gpus)}"
        return f"{{{NAME}!~{quoted('|'.join(OWN))},{REVISION}!={quoted('')},{which}}}"

    def own(self, name: str, gpus: Collection[str] | None = None) -> str:
        """One kind of the series that are ours."""
        return f"{{{NAME}={quoted(name)},{self._db}{_gpus(gpus)}}}"

    def identities(self, gpus: Collection[str] | None = None) -> str:
        """The series that say who GPUs are."""
        return f"{{{NAME}=~{quoted(f'{INFO}|{LONG_LABELS}')},{self._db}{_gpus(gpus)}}}"

    def seen(self, gpus: Collection[str] | None = None) -> str:
        """The series of when GPUs were seen; the values are the times."""
        return self.own(SEEN, gpus)


def over(function: str, selector: str, start_ms: int = EARLIEST_MS, end_ms: int = LATEST_MS) -> str:
    """A function of each series' values in a range, when it is asked at the range's end."""
    return f"{function}({selector}[{end_ms - start_ms + 1}ms])"


def nameable(gpus: Collection[str]) -> bool:
    """Whether so many GPUs can be named in one text."""
    return sum(len(gpu_id.encode()) + 8 for gpu_id in gpus) <= MAX_NAMED_BYTES


def quoted(text: str) -> str:
    """A text between quotation marks."""
    return msgspec.json.encode(text).decode()


def _gpus(gpus: Collection[str] | None) -> str:
    if gpus is None or not nameable(gpus):
        return ""
    if len(gpus) == 1:
        return f",{GPU}={quoted(encode_name(next(iter(gpus))))}"
    return f",{GPU}=~{_one_of(map(encode_name, gpus))}"


def _one_of(names: Iterable[str]) -> str:
    return quoted("|".join(_SPECIAL.sub(r"\\\g<0>", name) for name in names))
