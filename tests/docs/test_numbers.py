"""Every number in README and docs/ is the code's, or of a kind that the code does not decide."""

import re
from collections import defaultdict
from pathlib import Path

import pytest

from cli.commands import TABLES
from common.errors import all_errors
from common.options import env_name
from tests.docs.numbers import defaults_stated, filled, flat, one_line, untied
from tests.docs.stated import ALL_MEASURED, MEASURED, OF_OTHERS, STATED

ROOT = Path(__file__).parents[2]
MADE = {"configuration.md"}  # from the code itself
PAGES = {
    path.name: path.read_text(encoding="utf-8")
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    if path.name not in MADE
}
COMPOSE = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")

pages = pytest.mark.parametrize("page", PAGES)


def option_defaults() -> dict[str, set[float]]:
    """The defaults of every option that has a number for one, by environment name."""
    found: dict[str, set[float]] = defaultdict(set)
    for command in TABLES.values():
        for name, field in command.options.model_fields.items():
            if isinstance(field.default, int | float):
                found[env_name(name, field)].add(float(field.default))
    return found


DEFAULTS = option_defaults()


@pages
def test_what_is_said_in_numbers_is_what_the_code_has(page: str) -> None:
    text = one_line(PAGES[page])
    said = [*filled(STATED.get(page, "")), *excused(page)]
    assert not [phrase for phrase in said if phrase not in text]


@pages
def test_no_number_stands_there_unproved(page: str) -> None:
    if page not in ALL_MEASURED:
        assert not untied(PAGES[page], [*filled(STATED.get(page, "")), *excused(page)], DEFAULTS)


@pages
def test_a_default_behind_an_option_is_its_default(page: str) -> None:
    for name, value in defaults_stated(PAGES[page]):
        assert value in DEFAULTS[name], f"{name} ({value:g}) is {DEFAULTS[name]}"


@pages
def test_every_port_is_one_that_something_listens_on(page: str) -> None:
    published = {int(port) for port in re.findall(r'127\.0\.0\.1:(\d+):\d+"', COMPOSE)}
    known = {int(port) for port in DEFAULTS["PORT"]} | published
    for port in re.findall(r"http://(?:127\.0\.0\.1|localhost):(\d+)", PAGES[page]):
        assert int(port) in known, port


def test_a_status_before_a_code_is_the_codes() -> None:
    table = {error.code: str(error.status) for error in all_errors()}
    for page, text in PAGES.items():
        for status, code in re.findall(r"\b(\d{3}) `([A-Z_]+)`", flat(text)):
            assert table.get(code) == status, f"{page}: {status} {code}"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("waits 20 s", ["20"]),
        ("up to ten times", ["ten"]),
        ("a quarter of it", ["quarter"]),
        ("`limit` (50)", ["50"]),  # no option
        ("from `5m` on", ["5"]),
        ("`GET /x?a=1[&limit=7]`", ["7"]),
        ("`HEARTBEAT` (99 s)", []),  # held against the default by a test of its own
        ("answered 503, UTF-8, kill -9, `GPU-7`, 127.0.0.1, p95, 5xx", []),
        ("503 messages", ["503"]),
        ("known: 12 of them", []),
    ],
)
def test_what_counts_as_a_number(text: str, left: list[str]) -> None:
    found = untied(text, ["known: 12 of"], DEFAULTS)
    assert len(found) == len(left)
    assert all(number in context for number, context in zip(left, found, strict=True))


def excused(page: str) -> list[str]:
    """The phrases of a page that no code decides."""
    return [*filled(MEASURED.get(page, "")), *filled(OF_OTHERS.get(page, ""))]
