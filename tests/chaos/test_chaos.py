"""A cluster under seeded chaos loses nothing, invents nothing, and comes to rest.

CHAOS_SECONDS and CHAOS_SEED make it longer, or other. ``python -m tests.chaos`` is the same run.
"""

import os
from pathlib import Path

import pytest

from tests.chaos.books import imbalances, left
from tests.chaos.oracle import Oracle, payload_of
from tests.chaos.run import Outcome, run_chaos

SECONDS = float(os.environ.get("CHAOS_SECONDS", "60"))
SEED = int(os.environ.get("CHAOS_SEED", "20261125"))
AROUND_SECONDS = 240  # start, drain of a broker, and rest


@pytest.mark.timeout(SECONDS + AROUND_SECONDS)
@pytest.mark.xdist_group("chaos")
async def test_nothing_is_lost_or_invented_and_the_books_balance(tmp_path: Path) -> None:
    outcome = await run_chaos(tmp_path, SEED, SECONDS)
    assert outcome.faults() == [], outcome.report()
    assert outcome.oracle.stored
    assert outcome.scrapes > SECONDS / 2


def test_the_oracle_tells_lost_invented_and_mangled() -> None:
    oracle = Oracle(tried={"a", "b", "c"}, stored={"a", "b"})
    oracle.deliver(payload_of("a"))
    oracle.deliver(payload_of("x"))
    oracle.deliver(payload_of("c")[:-1])
    assert (oracle.lost(), oracle.invented()) == ({"b"}, {"x"})
    assert oracle.mangled == [payload_of("c")[:-1]]
    oracle.refused["WRONG_BROKER"] += 1
    faults = Outcome(oracle, 1, imbalances=["here"]).faults()
    assert len(faults) == 6


def test_books_that_do_not_balance_are_seen() -> None:
    place = '{partition="0",topic="t"'
    text = "\n".join(
        [
            f"messages_produced_total{place}}} 5.0",
            f'group_ready{place},group="g"}} 1.0',
            f'group_in_flight{place},group="g"}} 2.0',
            f'messages_consumed_total{place},group="g"}} 2.0',
        ]
    )
    assert imbalances(text) == []
    assert (left(text, "g"), left(text, "other")) == (3, 5)
    assert imbalances(text.replace("5.0", "6.0"))
