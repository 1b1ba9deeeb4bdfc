"""The page of faults names a test for almost every row, and each of them is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| ([A-Z]\d\d) \| (.+?) \| (.+) \|$", PAGE, re.M)
FAMILIES = {"D": 28, "L": 16, "S": 15, "C": 5, "N": 12, "E": 11, "B": 18, "H": 14}
FAMILIES |= {"X": 7, "V": 6, "K": 15, "A": 6, "M": 6, "Z": 4}
FEWEST_PROVED = 140
NAMED = re.compile(r"`(tests/[a-z_/0-9]+\.py)::(\w+)`")


def test_every_row_is_there_once_and_in_order() -> None:
    wanted = [f"{family}{n:02}" for family, count in FAMILIES.items() for n in range(1, count + 1)]
    assert [row[0] for row in ROWS] == wanted


@pytest.mark.parametrize("proof", [row[2] for row in ROWS], ids=[row[0] for row in ROWS])
def test_a_row_names_tests_that_are_there_or_says_why_it_has_none(proof: str) -> None:
    if proof.startswith("not done: "):
        assert len(proof) > len("not done: ") + 20
        return
    names = NAMED.findall(proof)
    assert ", ".join(f"`{file}::{name}`" for file, name in names) == proof
    for file, name in names:
        text = (ROOT / file).read_text(encoding="utf-8")
        assert re.search(rf"(def|class) {name}\b|^{name} = ", text, re.M), f"{file} has no {name}"


def test_almost_every_row_is_proved() -> None:
    assert sum(not row[2].startswith("not done") for row in ROWS) >= FEWEST_PROVED
