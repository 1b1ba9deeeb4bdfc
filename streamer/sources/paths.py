"""CSV_PATH into files: one, several with commas, patterns, or standard input."""

import glob
from pathlib import Path

from streamer.sources.base import SourceError

STDIN = "-"
MAX_FILES = 10_000


def expand(text: str) -> list[Path]:
    """Return the files, each once: in the order given, those of a pattern in order of name.

    Raises SourceError for a pattern that nothing matches. A name that is a file is one, whatever
    it looks like.
    """
    found: dict[Path, None] = {}
    parts = [text] if Path(text).exists() else [part.strip() for part in text.split(",")]
    for part in filter(None, parts):
        for path in files_of(part):
            found[path] = None
    if not found:
        raise SourceError("CSV_PATH names no file")
    if len(found) > MAX_FILES:
        raise SourceError(f"{text} names {len(found)} files; at most {MAX_FILES} are read")
    return list(found)


def files_of(part: str) -> list[Path]:
    """Return the files of one name or pattern."""
    path = Path(part)
    if path.exists() or not glob.has_magic(part):
        return [path]
    names = sorted(glob.glob(part, recursive=True))  # noqa: PTH207 - absolute patterns too
    files = [found for name in names if not (found := Path(name)).is_dir()]
    if not files:
        raise SourceError(f"{part}: no file has such a name")
    return files


def plain_stem(name: str) -> str:
    """The name of a file without what says how it is stored: ``node7.csv.gz`` is ``node7``."""
    stem = name
    for ending in (".gz", ".csv", ".tsv", ".txt", ".log"):
        if stem.casefold().endswith(ending):
            stem = stem[: -len(ending)]
    return stem or name
