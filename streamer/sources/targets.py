"""What is scraped: a list of targets that may change."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

from streamer.sources.base import SourceError

MAX_TARGETS = 1000
MAX_FILE_BYTES = 1 << 20
DEFAULT_PATH = "/metrics"


class Target(NamedTuple):
    """Where to ask, and its name for people, without what a URL may hold of credentials."""

    url: str
    name: str

    @property
    def host(self) -> str:
        """Its host, for GPUs that name none."""
        return urlsplit(self.url).hostname or ""


def parse_target(text: str) -> Target:
    """Understand ``host:port`` or a URL; raises SourceError."""
    url = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or any(char.isspace() for char in url):
        raise SourceError(f"{without_user(text)!r} is no target; write host:port or a URL")
    path = parts.path if parts.path not in ("", "/") else DEFAULT_PATH
    whole = urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))
    return Target(whole, without_user(whole))


def without_user(url: str) -> str:
    """The same without a user and password before the host."""
    scheme, separator, rest = url.rpartition("://")
    place, slash, path = rest.partition("/")
    return f"{scheme}{separator}{place.rpartition('@')[2]}{slash}{path}"


class TargetList:
    """Targets that were given, and those of a file as it is now."""

    def __init__(self, given: Sequence[str], path: Path | None) -> None:
        self._given = tuple(given)
        self._path = path

    def read(self) -> list[Target]:
        """Return the targets, each once; blocks. Raises SourceError.

        The file has one a line; blank lines and what follows a ``#`` are ignored.
        """
        texts = [*self._given, *self._from_file()]
        targets = list(dict.fromkeys(map(parse_target, texts)))
        if len(targets) > MAX_TARGETS:
            raise SourceError(f"{len(targets)} targets; at most {MAX_TARGETS} are scraped")
        return targets

    def _from_file(self) -> list[str]:
        if self._path is None:
            return []
        try:
            with self._path.open("rb") as file:
                text = file.read(MAX_FILE_BYTES + 1).decode()
        except OSError as error:
            raise SourceError(f"{self._path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise SourceError(f"{self._path} is not UTF-8") from error
        if len(text) > MAX_FILE_BYTES:
            raise SourceError(f"{self._path} is over {MAX_FILE_BYTES} bytes")
        lines = (line.partition("#")[0].strip() for line in text.splitlines())
        return [line for line in lines if line]
