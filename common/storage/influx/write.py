"""Writing samples to InfluxDB, and who their GPUs are."""

import time
from collections.abc import Callable, Sequence
from itertools import chain

from common.models import Sample
from common.storage.base import Written
from common.storage.influx.answers import tables
from common.storage.influx.lines import Encoder, identity_line
from common.storage.influx.link import Link
from common.storage.influx.read import Reader
from common.storage.telling import Told, gather


class Writer:
    """Writes to one bucket; for one thread at a time."""

    def __init__(
        self, link: Link, reader: Reader, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._link = link
        self._reader = reader
        self._encoder = Encoder()
        self._told = Told(self._first_told, identity_line, monotonic)

    def write(self, samples: Sequence[Sample]) -> Written:
        """Send all samples; all of them are encoded, and so found good, before the first leaves."""
        lines = list(self._encoder.lines(samples))
        touches = gather(samples)
        try:
            self._told.meet(touches)
            self._link.send(chain(list(self._told.tell(touches)), lines))
        except BaseException:
            self._told.forget(touches)
            raise
        return Written(sum(len(sample.metrics) for sample in samples), None)

    def _first_told(self, ids: set[str]) -> dict[str, int]:
        with tables(self._link.where):
            return self._reader.first_told(ids)
