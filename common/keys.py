"""The API's keys: a file of hashes that may change while the service runs.

The file is a JSON list of ``{"id", "hash", "scopes", "not_after"}``. A key's text is
``ts_<id>_<secret>``; only its SHA-256 is kept. The text is shown once, when it is made.
"""

import hmac
import os
import re
import secrets
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from starlette.types import Scope

from common import logs
from common.auth import bearer, digest
from common.clock import Clock, SystemClock
from common.errors import Forbidden, InvalidRequest, Unauthorized
from common.http.body import header

log = logs.get("keys")

KeyScope = Literal["read", "write", "admin"]

PREFIX = "ts"
SECRET_BYTES = 32
MAX_SHOWN_BYTES = 256
"""Nothing longer is a key; it is refused before it is hashed."""
PRIVATE = 0o600
MAX_KEYS_FILE_BYTES = 1 << 20

_ID = r"^[a-z0-9-]{1,64}\Z"
_SHOWN = re.compile(rb"ts_([a-z0-9-]{1,64})_[A-Za-z0-9_-]{43}")
_REFUSAL = "an API key is required, and the one shown, if any, is not valid"


class KeysUnusable(Exception):
    """The file of keys cannot be read, does not parse, or holds no key."""


class Key(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One key as kept. ``admin`` includes ``read`` and ``write``; ``not_after`` is its end."""

    id: Annotated[str, msgspec.Meta(pattern=_ID)]
    hash: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}\\Z")]
    scopes: Annotated[tuple[KeyScope, ...], msgspec.Meta(min_length=1)]
    not_after: Annotated[datetime, msgspec.Meta(tz=True)] | None = None

    def allows(self, scope: KeyScope) -> bool:
        """Whether the key reaches as far as ``scope``."""
        return scope in self.scopes or "admin" in self.scopes


_NOBODY = Key("nobody", digest(secrets.token_bytes()).hex(), ("read",))


def create_key(
    key_id: str, scopes: Iterable[KeyScope], not_after: datetime | None = None
) -> tuple[str, Key]:
    """Make a key; return its text, which is not kept anywhere, and what is kept.

    Raises ValueError for an id that is not 1 to 64 of a-z, 0-9 and "-".
    """
    if not re.match(_ID, key_id):
        raise ValueError(f"a key's id is 1 to 64 of a-z, 0-9 and '-', got {key_id!r}")
    text = f"{PREFIX}_{key_id}_{secrets.token_urlsafe(SECRET_BYTES)}"
    return text, Key(key_id, digest(text).hex(), tuple(scopes), not_after)


def load_keys(path: Path) -> list[Key]:
    """Read a file of keys; raises KeysUnusable with a reason that holds nothing secret."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_KEYS_FILE_BYTES + 1)
    except OSError as error:
        raise KeysUnusable(f"{path}: {error.strerror}") from error
    if len(text) > MAX_KEYS_FILE_BYTES:
        raise KeysUnusable(f"{path} is over {MAX_KEYS_FILE_BYTES} bytes")
    try:
        keys = msgspec.json.decode(text, type=list[Key])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise KeysUnusable(f"{path} is not a list of keys: {error}") from error
    if len({key.id for key in keys}) != len(keys):
        raise KeysUnusable(f"{path} has two keys of one id")
    return keys


def save_keys(path: Path, keys: Sequence[Key]) -> None:
    """Put a file of keys in place at once, readable by its owner alone."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE), "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(keys), indent=2) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


class KeyRing:
    """The keys of a file as it is now. Raises KeysUnusable when it starts without any.

    A file that cannot be read later leaves the keys as they were, and is logged once; a
    list without keys is taken at its word and lets nobody in.
    """

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        self._path = path
        self._clock = clock or SystemClock()
        self._seen = self._stamp()
        self._keys = {key.id: key for key in load_keys(path)}
        if not self._keys:
            raise KeysUnusable(f"{path} holds no key")

    def __len__(self) -> int:
        return len(self._keys)

    def authenticate(self, scope: Scope) -> Key:
        """Return the key that a request shows.

        Raises Unauthorized, with one answer whatever is wrong with it, and InvalidRequest
        when more than one is shown.
        """
        found = _SHOWN.fullmatch(shown_key(scope))
        if found is None:
            raise Unauthorized(_REFUSAL)
        self._refresh()
        key = self._keys.get(found[1].decode(), _NOBODY)
        if not hmac.compare_digest(digest(found[0]).hex(), key.hash) or self._is_over(key):
            raise Unauthorized(_REFUSAL)
        return key

    def still_valid(self, key: Key) -> bool:
        """Whether a key that was let in before would be let in now; for long answers."""
        self._refresh()
        return self._keys.get(key.id) == key and not self._is_over(key)

    def _is_over(self, key: Key) -> bool:
        now = datetime.fromtimestamp(self._clock.wall(), UTC)
        return key.not_after is not None and now > key.not_after

    def _refresh(self) -> None:
        stamp = self._stamp()
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            keys = {key.id: key for key in load_keys(self._path)}
        except KeysUnusable as error:
            log.error("keys kept as they were", reason=str(error))
            return
        log.info(
            "keys reloaded",
            added=sorted(keys.keys() - self._keys.keys()),
            removed=sorted(self._keys.keys() - keys.keys()),
        )
        self._keys = keys

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size


def shown_key(scope: Scope) -> bytes:
    """Return what a request shows as its key, empty when nothing."""
    by_name, by_bearer = header(scope, b"x-api-key"), bearer(scope)
    if by_name is not None and by_bearer is not None:
        raise InvalidRequest("a key is shown by X-API-Key or by Authorization, not by both")
    shown = by_name if by_name is not None else by_bearer
    return (shown or b"")[: MAX_SHOWN_BYTES + 1]


def require(key: Key, scope: KeyScope) -> None:
    """Raise Forbidden for a key that does not reach as far as ``scope``."""
    if not key.allows(scope):
        raise Forbidden(f"the key has no scope {scope!r}")
