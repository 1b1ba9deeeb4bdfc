"""The secrets of a local stack: made once, kept where only their owner can read them."""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from common.keys import create_key, save_keys

TOKEN_BYTES = 32
LOCAL_KEY_ID = "local"


@dataclass(frozen=True)
class Secrets:
    """Files with the secrets; ``new_api_key`` is set when the key was made just now."""

    service_token: Path
    api_key: Path
    api_keys: Path
    new_api_key: str | None


def ensure_secrets(directory: Path) -> Secrets:
    """Return the secrets of a directory, those that are missing made."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    token = ensure_secret(directory / "service-token")
    key, keys = directory / "api-key", directory / "api-keys.json"
    made = None if key.exists() and keys.exists() else make_api_key(key, keys)
    return Secrets(token, key, keys, made)


def ensure_secret(path: Path) -> Path:
    """Make what nobody can guess, where it is missing."""
    if not path.exists():
        write_private(path, secrets.token_urlsafe(TOKEN_BYTES))
    return path


def make_api_key(key: Path, keys: Path) -> str:
    """Make the key of the local user; the API keeps only its hash."""
    text, record = create_key(LOCAL_KEY_ID, ["admin"])
    save_keys(keys, [record])
    write_private(key, text)
    return text


def write_private(path: Path, text: str) -> None:
    """Write a file that its owner alone can read, whole or not at all."""
    scratch = path.with_name(path.name + ".tmp")
    scratch.unlink(missing_ok=True)
    fd = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(text + "\n")
    scratch.replace(path)
