"""Writes to a store that may be away, slow, closed to us or at odds with what it gets."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor

from common import logs
from common.breaker import Breaker
from common.clock import Clock
from common.errors import StoreUnavailable
from common.models import Sample
from common.retry import Backoff
from common.storage.base import Store, StoreRefused, WriteRefused, Written
from common.storage.cardinality import CardinalityGuard
from common.storage.upkeep import Done, Upkeep
from common.threads import run_in

log = logs.get("collector.storing")

PROBE_SAMPLES = 100
COOL_DOWN_SECONDS = 5.0
HOPELESS_SECONDS = 30.0
MOST_GPUS = 1_000_000


class Storing:
    """Owns the store and its thread, and knows how the store does.

    ``problem`` is why the last write was not taken, ``alarm`` whether somebody must see to it.
    """

    def __init__(
        self,
        open_store: Callable[[], Store],
        guard: CardinalityGuard,
        thread: Executor,
        clock: Clock,
    ) -> None:
        self.points = 0
        self.new_points = 0
        self.failures = 0
        self.problem = ""
        self.alarm = False
        self.gpus: set[str] = set()
        self._open_store = open_store
        self._guard = guard
        self._store: Store | None = None
        self._thread = thread
        self._backoff = Backoff(clock)
        self._breaker = Breaker(clock, COOL_DOWN_SECONDS)

    async def write(self, samples: Sequence[Sample]) -> str | None:
        """Write until the store has taken all, or return its words when it refuses something.

        A store that failed again and again is tried with a few samples, and gets the rest once it
        has taken those.
        """
        while True:
            while not self._breaker.allows():
                await self._backoff.wait()
            part = samples if self._breaker.state == "closed" else samples[:PROBE_SAMPLES]
            whole = len(part) == len(samples)
            refusal = await self._try(part, whole)
            if whole and not self.problem:
                return refusal

    async def open(self) -> bool:
        """Open the store and have the guard know what is in it; False when it cannot be now."""
        try:
            self._store = await run_in(self._thread, self._open)
        except StoreUnavailable as error:
            self.problem, self.alarm = error.message, isinstance(error, StoreRefused)
            log.error("store cannot be opened, the spool keeps everything", reason=error.message)
        return self._store is not None

    async def until_open(self) -> None:
        """Return once the store is open."""
        while self._store is None and not await self.open():
            await self._backoff.wait(HOPELESS_SECONDS if self.alarm else 0.0)

    async def tend(self, upkeep: Upkeep, now: float) -> Done:
        """Do a step of upkeep between two writes; nothing is done while the store is away."""
        if self._store is None:
            return Done(0, 0)
        try:
            return await run_in(self._thread, upkeep.step, self._store, now)
        except StoreUnavailable as error:
            log.warning("store not kept", reason=error.message)
        except Exception:
            log.exception("keeping the store failed in a way that it should not")
        return Done(0, 0)

    def close(self) -> None:
        """Close the store; blocks."""
        if self._store is not None:
            self._store.close()

    def _open(self) -> Store:
        store = self._open_store()
        try:
            self._guard.know_all_of(store)
        except BaseException:
            store.close()
            raise
        return store

    def _write(self, samples: Sequence[Sample]) -> Written:
        if self._store is None:
            raise StoreUnavailable("the store is not open yet")
        return self._store.write(samples)

    async def _try(self, samples: Sequence[Sample], whole: bool) -> str | None:
        """Write once; ``problem`` is set when that did not even come to a refusal."""
        try:
            written = await run_in(self._thread, self._write, samples)
        except WriteRefused as refused:
            self._answered()
            return str(refused) or type(refused).__name__
        except StoreRefused as error:
            await self._failed(error.message, HOPELESS_SECONDS, alarm=True)
        except StoreUnavailable as error:
            await self._failed(error.message, error.retry_after_seconds or 0.0, alarm=False)
        except Exception as error:
            log.exception("store failed in a way that it should not")
            await self._failed(repr(error), HOPELESS_SECONDS, alarm=True)
        else:
            self._answered()
            self._count(samples, written, whole)
        return None

    def _count(self, samples: Sequence[Sample], written: Written, whole: bool) -> None:
        """What only tried the store is written, and counted, again; it was new the first time."""
        self.points += written.points if whole else 0
        self.new_points += written.new_points or 0
        if len(self.gpus) < MOST_GPUS:
            self.gpus.update({sample.gpu.uuid or sample.gpu.id for sample in samples})

    def _answered(self) -> None:
        if self.problem:
            log.info("store answers again")
        self.problem, self.alarm = "", False
        self._breaker.succeeded()
        self._backoff.reset()

    async def _failed(self, problem: str, least_seconds: float, *, alarm: bool) -> None:
        if not self.problem or alarm > self.alarm:
            what = "store refuses us" if alarm else "store does not answer"
            log.error(f"{what}, the spool keeps everything", reason=problem)
        self.failures += 1
        self.problem, self.alarm = problem, alarm
        self._breaker.failed(at_once=alarm)
        await self._backoff.wait(least_seconds)
