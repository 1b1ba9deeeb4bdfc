"""A small file that is replaced whole: a place in a log, or the state of its readers.

The law: one JSON document, then LF and the CRC32C of the document in 8 hex digits. It is a hint:
an older one may come back after a power cut, a damaged one counts as absent, and both cost
repeated work, never a message.
"""

from pathlib import Path
from typing import Any

import google_crc32c
import msgspec

from common import logs
from common.journal.files import Files

log = logs.get("journal.position")

_CRC_DIGITS = 8


def save(files: Files, path: Path, state: Any) -> None:
    """Replace the file; the new state survives kill -9 on return, and a power cut soon after."""
    document = msgspec.json.encode(state)
    scratch = path.with_name(path.name + ".tmp")
    file = files.append_to(scratch)
    try:
        file.truncate(0)
        file.write([document, b"\n%08x" % google_crc32c.value(document)])
        file.sync()
    finally:
        file.close()
    files.replace(scratch, path)


def load(files: Files, path: Path) -> Any:
    """Return the state last saved, or None when there is none that can be trusted."""
    if path.name not in files.names(path.parent):
        return None
    content = files.read(path, 0, files.size(path))
    document, check = content[: -_CRC_DIGITS - 1], content[-_CRC_DIGITS:]
    if check != b"%08x" % google_crc32c.value(document):
        log.error("position file damaged, taken as absent", file=str(path))
        return None
    return msgspec.json.decode(document)
