"""The variables that make tests longer are those of the page, with their defaults."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]


def test_the_page_has_every_variable_and_its_default() -> None:
    source = "\n".join(path.read_text() for path in sorted(TESTS.rglob("*.py")))
    read = set(re.findall(r'environ\.get\("([A-Z_]+)", "([0-9]+)"\)', source))
    page = (TESTS / "README.md").read_text()
    assert set(re.findall(r"^\| `([A-Z_]+)` \| ([0-9]+) \|", page, re.M)) == read
    assert read


def test_the_page_has_every_folder() -> None:
    page = (TESTS / "README.md").read_text()
    named = set(re.findall(r"`([a-z]+)/`", page))
    folders = {path.parent.name for path in TESTS.glob("*/*.py")}
    assert folders <= named
