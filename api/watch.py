"""Long answers end when the key that they were asked with does."""

from typing import Self

from fastapi import Request

from common import logs
from common.errors import Unauthorized
from common.keys import Key, KeyRing

log = logs.get("keys")


class KeyWatch:
    """The key of one long answer."""

    def __init__(self, ring: KeyRing, key: Key) -> None:
        self._ring = ring
        self._key = key

    @classmethod
    def of(cls, request: Request) -> Self:
        """The key that let a request in."""
        return cls(request.app.state.keys, request.scope["api_key"])

    def check(self) -> None:
        """Raise Unauthorized, and log the key's id, once the key is revoked or over."""
        if not self._ring.still_valid(self._key):
            log.info("answer ended, its key is valid no more", key=self._key.id)
            raise Unauthorized("the key was revoked or is over")
