"""Secrets: long, not guessable, and nobody else's."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import SecretStr

from cli.doctor.finding import Ward
from common.keys import Key, KeysUnusable, load_keys

GUESSABLE = ("changeme", "change-me", "password", "secret", "default", "example", "telemetry")
DIFFERENT_CHARACTERS = 8
SOON = timedelta(days=14)
OTHERS = stat.S_IRWXO | stat.S_IRWXG
HOW_TO_MAKE_ONE = 'make one: python3 -c "import secrets; print(secrets.token_urlsafe(32))"'


def check_token(ward: Ward, token: SecretStr) -> None:
    """SERVICE_TOKEN lets in whoever knows it, so nobody may guess it."""
    text = token.get_secret_value().lower()
    if len(set(text)) < DIFFERENT_CHARACTERS or any(word in text for word in GUESSABLE):
        ward.fail("token", "SERVICE_TOKEN can be guessed", HOW_TO_MAKE_ONE)
    else:
        ward.ok("token", "SERVICE_TOKEN is not one that can be guessed")


def check_private(ward: Ward, option: str, path: Path) -> None:
    """A file with a secret is its owner's alone."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return  # whoever reads it says so
    if stat.S_ISREG(mode) and mode & OTHERS & ~stat.S_IRGRP:
        ward.fail(
            "secret file",
            f"{option}: {path} can be read or written by others ({stat.filemode(mode)})",
            f"chmod 600 {path}, and replace what it held",
        )


def check_keys(ward: Ward, path: Path, now: datetime | None = None) -> None:
    """The API needs a key that somebody can still use."""
    now = now or datetime.now(UTC)
    try:
        keys = load_keys(path)
    except KeysUnusable as error:
        ward.fail("api keys", f"API_KEYS_FILE: {error}", "telemetry keys create makes one")
        return
    check_private(ward, "API_KEYS_FILE", path)
    valid = [key for key in keys if key.not_after is None or key.not_after > now]
    if not valid:
        ward.fail(
            "api keys",
            f"none of the {len(keys)} keys in {path} is valid any more",
            "telemetry keys create makes one; the API takes it up without a restart",
        )
        return
    ward.ok("api keys", f"{len(valid)} of {len(keys)} keys are valid")
    for key in valid:
        _check_end(ward, key, now)


def _check_end(ward: Ward, key: Key, now: datetime) -> None:
    if key.not_after is not None and key.not_after < now + SOON:
        ward.warn(
            "api keys",
            f"the key {key.id} ends at {key.not_after:%Y-%m-%d %H:%M} UTC",
            "give its users another before then: telemetry keys create",
        )
