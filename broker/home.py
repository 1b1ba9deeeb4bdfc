"""What a data directory remembers of its broker: its name, and whether it is being drained."""

from pathlib import Path
from typing import Any

from common import logs
from common.journal import position
from common.journal.files import Files
from common.options import refuse

log = logs.get("broker.home")

BROKER_FILE = "broker"


class Home:
    """One small file in the data directory; every call blocks on the disk."""

    def __init__(self, directory: Path, files: Files) -> None:
        self._path = directory / BROKER_FILE
        self._files = files
        self._state: dict[str, Any] = {}

    @property
    def draining(self) -> bool:
        """Whether the broker is to be emptied."""
        return bool(self._state.get("draining", False))

    def claim(self, name: str) -> None:
        """Take the directory for a broker; leaves with exit code 2 when it is another's.

        Its receipts, message ids and idempotency keys carry the first name.
        """
        self._files.free(self._path.parent)  # measured once, before anybody produces
        kept = position.load(self._files, self._path)
        self._state = kept or {"name": name, "draining": False}
        owner = self._state["name"]
        if owner != name:
            refuse(
                [
                    f"BROKER_NAME: {self._path.parent} belongs to {owner}, not {name}. Start it "
                    f"as {owner}, or give {name} a directory of its own; when nothing waits in it "
                    f"any more, the file {self._path} may be removed to rename the broker"
                ]
            )
        if kept is None:
            try:
                self._save(self._state)
            except OSError as error:
                log.warning("broker's name not written down", reason=str(error))

    def set_draining(self, draining: bool) -> None:
        """Remember it, so that it survives a power cut; raises OSError."""
        state = self._state | {"draining": draining}
        self._save(state)
        self._state = state

    def _save(self, state: dict[str, Any]) -> None:
        position.save(self._files, self._path, state)
        self._files.sync_directory(self._path.parent)
