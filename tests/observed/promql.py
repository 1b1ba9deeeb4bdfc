"""As much of PromQL as it takes to know which series a query speaks of."""

import re
from typing import NamedTuple

_SELECTOR = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\{([^}]*)\}")
_MATCHER = re.compile(r'([a-zA-Z_]\w*)\s*(=~|!=|!~|=)\s*"([^"]*)"')
_WORD = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
_WORDS = {"and", "or", "unless", "bool", "offset"}
_SUFFIX = re.compile(r"_(?:bucket|count|sum)$")


class Selector(NamedTuple):
    """A metric with its matchers: label to (operator, value)."""

    metric: str
    matchers: dict[str, tuple[str, str]]

    @property
    def jobs(self) -> list[str]:
        """The jobs it names, one by one."""
        operator, value = self.matchers.get("job", ("", ""))
        return value.split("|") if operator in ("=", "=~") and value else []

    @property
    def family(self) -> str:
        """The metric's name without what a histogram puts behind it."""
        return _SUFFIX.sub("", self.metric)


def selectors(query: str) -> list[Selector]:
    """Every selector of a query; a metric without braces comes with no matcher."""
    found = [
        Selector(metric, {label: (op, value) for label, op, value in _MATCHER.findall(inside)})
        for metric, inside in _SELECTOR.findall(query)
    ]
    rest = _GROUPING.sub(" ", _SELECTOR.sub(" ", query))
    rest = re.sub(r'"[^"]*"|\[[^\]]*\]|\$\w+|\d+(?:\.\d+)?[a-z]*', " ", rest)
    for word in _WORD.finditer(rest):
        called = rest[word.end() :].lstrip().startswith("(")
        if not called and word[0] not in _WORDS:
            found.append(Selector(word[0], {}))
    return found
