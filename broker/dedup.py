"""Idempotency keys: what was stored under which, for a while."""

from collections import OrderedDict
from typing import Any, NamedTuple

import msgspec

from common.journal.frame import Record

KEY = "idempotency_key"


class Place(NamedTuple):
    """Where the messages of a request lie; ``created_at`` in milliseconds since 1970 UTC."""

    offset: int
    messages: int
    created_at: int


class Dedup:
    """The keys of one partition, the newest ``max_keys`` of the last ``window_ms``.

    A key's age is counted to the record that comes with it: a clock set back forgets nothing.
    """

    def __init__(self, window_ms: int, max_keys: int) -> None:
        self._window_ms = window_ms
        self._max_keys = max_keys
        self._places: OrderedDict[str, Place] = OrderedDict()

    def __len__(self) -> int:
        return len(self._places)

    def find(self, key: str, now_ms: int) -> Place | None:
        """Where a request with this key was stored, within the window before ``now_ms``."""
        place = self._places.get(key)
        return place if place and place.created_at >= now_ms - self._window_ms else None

    def learn(self, record: Record) -> None:
        """Take note of a stored record, if it carries a key; the first in a window stands."""
        key = msgspec.msgpack.decode(record.meta).get(KEY) if record.meta else None
        if key is None or self.find(key, record.created_at):
            return
        self._places.pop(key, None)
        self._places[key] = Place(record.offset, record.count, record.created_at)
        self._forget(record.created_at - self._window_ms)

    def state(self) -> list[Any]:
        """What is kept over a restart."""
        return [[key, *place] for key, place in self._places.items()]

    def restore(self, state: list[Any]) -> None:
        """Take up what was kept."""
        for key, offset, messages, created_at in state:
            self._places[key] = Place(offset, messages, created_at)

    def drop_from(self, offset: int) -> None:
        """Forget keys of records that the log does not hold any more after a crash."""
        for key in [key for key, place in self._places.items() if place.offset >= offset]:
            del self._places[key]

    def _forget(self, before: int) -> None:
        while self._places:
            place = next(iter(self._places.values()))
            if place.created_at >= before and len(self._places) <= self._max_keys:
                return
            self._places.popitem(last=False)
