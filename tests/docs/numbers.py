"""Finds the numbers that a page states, and leaves out those of a kind that needs no proof.

A number is digits, or a word from three to ten, a quarter, an eighth or a tenth. Kinds that need
none: what a standard, an address, a date or a formula is called by; the status of an answer, whose
meaning the error table has; the 0 and 1 of a switch or gauge; what stands in code blocks, links
and spans, but for spans that are a number or give a default; what stands in parentheses behind an
option is held against that option's default.
"""

import importlib
import re
import string
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from common.errors import all_errors

WORDS = ["three", "four", "five", "six", "seven", "eight", "nine", "ten"]
PARTS = {4: "quarter", 8: "eighth", 10: "tenth"}
NUMBER = re.compile(
    r"(?<![\w./:+-])(?:\d[\d,]*(?:\.\d+)?(?![\w/(])"
    rf"|(?i:{'|'.join([*WORDS, *PARTS.values()])})(?![\w-]))"
)
UNITS = {"s": 1, "h": 3600, "day": 86400, "days": 86400, "KiB": 1 << 10, "MiB": 1 << 20}
DEFAULT = re.compile(r"`([A-Z]+(?:_[A-Z]+)*)` \((\d[\d,.]*)(?: (s|h|days?|KiB|MiB))?(?=[;,)])")
IN_UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "s": 1000, "d": 86_400_000}
"""Of bytes, and of milliseconds."""
STATUSES = sorted({200, 202, 204, *(error.status for error in all_errors())})
KINDS = (
    r"\bRFC \d+|\bISO 8601|\bUTF-\d+|\bInfluxDB 2\b|\bUnix\b|\bkill -9",
    r"\b127\.0\.0\.1\b|\b\d{1,2}/\d{1,2}/\d{4}\b|\bsince 1970\b",
    rf"\b(?:{'|'.join(map(str, STATUSES))})\b(?! (?:messages|samples|writes|points|s|ms)\b)",
    r"\b[01] (?=when|while|after|before|for never|if|is none|is no|bytes is no|points)",
    r"\bfrom 0\b|\bfor ever if 0\b|\bstays 0\b|\bis 1:",
)
IN_SPAN = re.compile(r"(?:(?<=\[)|(?<=&))\w+=\d+(?=\])|^\d+(?:ms|s|m|h|d)?$")


def flat(text: str) -> str:
    """The prose of a page as one line; code blocks and the targets of links are gone."""
    text = re.sub(r"^```.*?^```", " ", text, flags=re.M | re.S)
    return one_line(re.sub(r"\]\([^)]*\)|<https?:[^>]*>", "] ", text))


def one_line(text: str) -> str:
    """A page as one line, with all that is in it."""
    return re.sub(r"\s+", " ", text)


def defaults_stated(text: str) -> Iterator[tuple[str, float]]:
    """Options with the default that the page gives them in parentheses."""
    for name, number, unit in DEFAULT.findall(flat(text)):
        yield name, float(number.replace(",", "")) * UNITS.get(unit, 1)


def untied(text: str, phrases: list[str], options: Mapping[str, set[float]]) -> list[str]:
    """The numbers of a page, in their context, that no phrase covers and no kind excuses."""
    page = hide(flat(text), phrases)
    page = re.sub(DEFAULT, lambda found: blank(found) if found[1] in options else found[0], page)
    page = re.sub(r"`([^`]*)`", only_values, page)
    for kind in KINDS:
        page = re.sub(kind, blank, page)
    return [page[max(0, n.start() - 50) : n.end() + 30] for n in NUMBER.finditer(page)]


def hide(page: str, phrases: list[str]) -> str:
    """The page without the phrases that are known."""
    for phrase in phrases:
        page = page.replace(phrase, "_" * len(phrase))
    return page


def blank(found: re.Match[str]) -> str:
    return "_" * len(found[0])


def only_values(span: re.Match[str]) -> str:
    """Of a span the numbers that are values or defaults; names keep theirs to themselves."""
    values = [part.rpartition("=")[2] for part in re.findall(IN_SPAN, span[1])]
    return " ".join(re.sub(r"[a-z]+$", "", value) for value in values) or "_"


class Code(string.Formatter):
    """Fills templates in from the code: see ``tests/docs/stated.py``."""

    def get_field(self, field_name: str, args: Any, kwargs: Any) -> tuple[Any, str]:
        """A constant, the default of an option, or something derived of them."""
        path, _, key = field_name.rstrip("]").partition("[")
        module, _, name = path.rpartition(".")
        table = ""
        if module.rpartition(".")[2][:1].isupper():
            module, _, table = module.rpartition(".")
        if module == "derived":
            module = "tests.docs.derived"
        owner = importlib.import_module(module)
        value = getattr(owner, table).model_fields[name].default if table else getattr(owner, name)
        return value[key] if key else value, field_name

    def format_field(self, value: Any, format_spec: str) -> str:
        """Numbers as the pages write them."""
        if format_spec in ("word", "Word"):
            text = {2: "two", **dict(enumerate(WORDS, 3))}[value]
            return text.capitalize() if format_spec == "Word" else text
        if format_spec == "part":
            return PARTS[round(1 / value)]
        if format_spec == "year":
            return str(datetime.fromtimestamp(value / 1000, UTC).year)
        if format_spec in IN_UNITS:
            whole, rest = divmod(value, IN_UNITS[format_spec])
            assert not rest, f"{value} is no whole number of {format_spec}"
            return str(whole)
        return str(format(value, format_spec))


def filled(templates: str) -> list[str]:
    """The phrases of some templates, one a line."""
    lines = [line.strip() for line in templates.splitlines()]
    return [Code().format(line) for line in lines if line]
