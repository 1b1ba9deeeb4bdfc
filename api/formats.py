"""Points as files: CSV for sheets and dataframes, JSON for programs."""

import re
from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from api.answers import point_answers
from common.clock import to_rfc3339
from common.storage.base import Point

FormatName = Literal["csv", "json"]

_STARTS_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NEEDS_QUOTES = re.compile(r'[",\r\n]')


class Format(Protocol):
    """Writes the points of one GPU, page by page."""

    media_type: str

    def begin(self) -> bytes:
        """What stands before the first page."""

    def page(self, points: Sequence[Point]) -> bytes:
        """One page, which is not the last thing written."""

    def end(self) -> bytes:
        """What stands after the last page."""


class CsvFormat:
    """RFC 4180, with a header; a number is written so that reading it gives the same number."""

    media_type = "text/csv; charset=utf-8"

    def __init__(self, gpu_id: str) -> None:
        self._gpu = text_cell(gpu_id)
        self._metrics: dict[str, str] = {}

    def begin(self) -> bytes:
        """See ``Format``."""
        return b"timestamp,gpu_id,metric,value\r\n"

    def page(self, points: Sequence[Point]) -> bytes:
        """See ``Format``."""
        heads = {
            ms: f"{to_rfc3339(ms)},{self._gpu}," for ms in {point.timestamp for point in points}
        }
        known = self._metrics
        for name in {point.metric for point in points} - known.keys():
            known[name] = text_cell(name) + ","
        rows = [f"{heads[p.timestamp]}{known[p.metric]}{p.value!r}\r\n" for p in points]
        return "".join(rows).encode()

    def end(self) -> bytes:
        """See ``Format``."""
        return b""


class JsonFormat:
    """One object, as a page of telemetry has it: ``{"gpu_id": ..., "points": [...]}``."""

    media_type = "application/json"

    def __init__(self, gpu_id: str) -> None:
        self._gpu_id = gpu_id
        self._begun = False

    def begin(self) -> bytes:
        """See ``Format``."""
        return b'{"gpu_id":%b,"points":[' % msgspec.json.encode(self._gpu_id)

    def page(self, points: Sequence[Point]) -> bytes:
        """See ``Format``."""
        if not points:
            return b""
        comma = b"," if self._begun else b""
        self._begun = True
        return comma + msgspec.json.encode(point_answers(points))[1:-1]

    def end(self) -> bytes:
        """See ``Format``."""
        return b"]}\n"


def open_format(name: FormatName, gpu_id: str) -> Format:
    """A writer for one file."""
    return CsvFormat(gpu_id) if name == "csv" else JsonFormat(gpu_id)


def text_cell(text: str) -> str:
    """A CSV cell that no sheet takes for a formula (OWASP, "CSV Injection"); numbers need none."""
    guarded = "'" + text if text.startswith(_STARTS_FORMULA) else text
    if guarded != text or _NEEDS_QUOTES.search(guarded):
        return '"' + guarded.replace('"', '""') + '"'
    return guarded
