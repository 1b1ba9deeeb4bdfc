"""Where idempotency keys are kept when the files that they came with go, or are not read again.

The small file holds the keys of everything below ``through``. It is written whenever a log file is
full and before one is unlinked; what came after it is learned from the log at a start.
"""

from collections.abc import Sequence
from pathlib import Path

from broker.dedup import Dedup
from broker.surroundings import Surroundings
from common import logs
from common.journal import position
from common.journal.frame import Record
from common.journal.journal import SCAN_BYTES, Journal

log = logs.get("broker.keys_file")

KEYS_FILE = "keys"


class KeysFile:
    """Keeps the keys of one partition; every call blocks on the disk."""

    def __init__(self, name: str, directory: Path, shared: Surroundings) -> None:
        options = shared.options
        self.dedup = Dedup(int(options.idempotency_seconds * 1000), options.idempotency_keys)
        self._name = name
        self._path = directory / KEYS_FILE
        self._files = shared.files
        state = position.load(self._files, self._path) or {"through": 0, "keys": []}
        self.dedup.restore(state["keys"])
        self._through = int(state["through"])

    def relearn(self, journal: Journal, recent: Sequence[Record]) -> None:
        """Learn, in order, from the files after the kept keys, then from the last one's records."""
        self.dedup.drop_from(journal.next_offset)
        through = self._through
        while through < journal.last_base:
            records = journal.read(through, SCAN_BYTES)
            for record in records:
                self.dedup.learn(record)
            through = records[-1].end if records else journal.last_base
        for record in recent:
            self.dedup.learn(record)

    def save(self, through: int) -> None:
        """Keep the keys up to an offset; without that they are read from the log at a start."""
        self._through = through
        state = {"through": through, "keys": self.dedup.state()}
        try:
            position.save(self._files, self._path, state)
        except OSError as error:
            log.warning("keys not written down", partition=self._name, reason=str(error))

    def save_surely(self, journal: Journal) -> None:
        """Keep them so that a power cut leaves them: files that they came with are to go.

        A disk that is full is no reason to keep those files.
        """
        if not len(self.dedup):
            return
        if not journal.read_only:
            journal.append([], sync=True)  # no key may push out another and then be lost itself
        self.save(journal.last_base)
        try:
            self._files.sync_directory(self._path.parent)
        except OSError as error:
            log.warning("keys not synced", partition=self._name, reason=str(error))
