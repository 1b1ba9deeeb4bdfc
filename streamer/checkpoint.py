"""The place of a run in a file; the law is in ``streamer.place``."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from common import logs
from common.clock import Clock
from common.journal import position
from common.journal.files import DiskFiles, Files
from common.retry import Backoff
from common.threads import run_in
from streamer.place import Place
from streamer.publish import Publisher
from streamer.sources.base import SourceError
from streamer.timing import Decision

PROBLEM = "checkpoint"

log = logs.get("streamer.checkpoint")


class Offer(msgspec.Struct):
    """A place that waits until the queue has confirmed what each partition had ``gathered``."""

    place: Place
    gathered: list[int]


class FileKeeper:
    """Keeps the place in a file, at most one write each ``interval_seconds`` and note.

    Until a write succeeds it is repeated: what waits for a note waits, everything else goes on.
    """

    def __init__(
        self,
        path: Path,
        interval_seconds: float,
        clock: Clock,
        problems: dict[str, str],
        files: Files | None = None,
    ) -> None:
        self._path = path
        self._interval_seconds = interval_seconds
        self._clock = clock
        self._problems = problems
        self._files = files or DiskFiles()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._writing = asyncio.Lock()
        self._offered = asyncio.Event()
        self._offer: Offer | None = None
        self._publisher: Publisher | None = None
        self._place = Place(content="", run="")
        self._marked = self._place
        self._decisions: list[Decision] = []
        self._offer_due = clock.monotonic()
        self._closed = False

    async def load(self, content: str, run: str) -> Place | None:
        """Return the place to go on from, None for a fresh start; raises SourceError."""
        try:
            found = await run_in(self._thread, position.load, self._files, self._path)
        except OSError as error:
            raise SourceError(f"CHECKPOINT_FILE {self._path}: {error.strerror}") from error
        place = read_place(found)
        if place is not None and place.content == content:
            self._place, self._decisions = place, list(place.decisions)
            return place
        if found is not None:
            log.warning("checkpoint is of another source or other options; beginning anew")
        self._place = Place(content=content, run=run)
        return None

    def attach(self, publisher: Publisher) -> None:
        """Watch what this publisher's partitions gather and confirm."""
        self._publisher = publisher
        self._marked = self._place

    def mark(self, mark: dict[str, Any] | None, passes: int, number: int) -> None:
        """See ``Keeper``."""
        self._marked = msgspec.structs.replace(
            self._place, mark=mark, passes=passes, marked=number, samples=number
        )

    def offer(self, number: int, timing: dict[str, int]) -> None:
        """See ``Keeper``."""
        if self._offer is None and self._clock.monotonic() >= self._offer_due:
            self._offer = self._make_offer(number, timing)
            self._offered.set()

    async def note(self, decision: Decision) -> None:
        """See ``Keeper``."""
        self._decisions.append(decision)
        await self._write()

    async def keep_for_ever(self) -> None:
        """Write what is offered once it is confirmed."""
        while True:
            await self._offered.wait()
            self._offered.clear()
            if self._offer is not None:
                await self._take(self._offer)
            self._offer = None
            self._offer_due = self._clock.monotonic() + self._interval_seconds

    async def close(self, number: int, timing: dict[str, int], finished: bool) -> None:
        """Write the last place: everything below ``number`` is confirmed, perhaps all there is."""
        await self._take(self._make_offer(number, timing, finished))
        async with self._writing:  # an older offer may be on its way to the disk just now
            self._closed = True
            self._thread.shutdown(wait=False)

    def _make_offer(self, number: int, timing: dict[str, int], finished: bool = False) -> Offer:
        if self._publisher is None:
            raise RuntimeError("no publisher is attached")
        publisher = self._publisher
        place = msgspec.structs.replace(
            self._marked,
            samples=number,
            positions=publisher.positions,
            timing=timing,
            finished=finished,
        )
        return Offer(place, publisher.gathered)

    async def _take(self, offer: Offer) -> None:
        if self._publisher is not None:
            await self._publisher.until_confirmed(offer.gathered)
        if offer.place.samples > self._place.samples or offer.place.finished:
            self._place = offer.place
        await self._write()

    async def _write(self) -> None:
        backoff = Backoff(self._clock)
        async with self._writing:
            while not self._closed:
                below = self._place.samples
                self._decisions = [each for each in self._decisions if each.first >= below]
                place = msgspec.structs.replace(self._place, decisions=list(self._decisions))
                try:
                    await run_in(self._thread, save, self._files, self._path, place)
                except OSError as error:
                    self._note_failure(error)
                    await backoff.wait()
                else:
                    break
        if self._problems.pop(PROBLEM, None) is not None:
            log.info("checkpoint is written again")

    def _note_failure(self, error: OSError) -> None:
        if PROBLEM not in self._problems:
            log.error("checkpoint cannot be written", file=str(self._path), reason=str(error))
        self._problems[PROBLEM] = f"cannot be written: {error}"


def save(files: Files, path: Path, place: Place) -> None:
    """Replace the file; the new place survives a power cut on return."""
    position.save(files, path, place)
    files.sync_directory(path.parent)


def read_place(found: Any) -> Place | None:
    """Understand what was in the file; what another version wrote counts as absent."""
    try:
        return None if found is None else msgspec.convert(found, Place)
    except msgspec.ValidationError:
        return None
