"""Groups that nobody uses any more: counted in seconds that the broker was up, then forgotten.

A group is in use while it has a stream in some partition of the topic, and whenever it settled
something. The seconds are of the monotonic clock and kept with the group's place: no wall clock
and no time switched off brings a group closer to its end.
"""

from broker.topic import Topic
from common import logs

log = logs.get("broker.idleness")

KEEP_EVERY_SECONDS = 60.0


class Idleness:
    """Looks at the groups of all topics again and again."""

    def __init__(self, expiry_seconds: float) -> None:
        self.expired: dict[str, int] = {}
        self._expiry = expiry_seconds
        self._finished: dict[tuple[str, str], int] = {}

    async def look(self, topics: list[Topic], elapsed: float) -> None:
        """``elapsed`` seconds passed since the last look."""
        before, self._finished = self._finished, {}
        for topic in topics:
            used = {stream.group for stream in topic.streams()}
            for name in topic.groups():
                in_use = self._moved(topic, name, before) or name in used
                if self._count(topic, name, 0.0 if in_use else elapsed) >= self._expiry > 0:
                    await self._expire(topic, name)

    def _moved(self, topic: Topic, name: str, before: dict[tuple[str, str], int]) -> bool:
        """Whether a group settled anything since the last look; at the first look it did not."""
        finished = sum(
            group.finished + group.start
            for part in topic.partitions
            if (group := part.groups.get(name)) is not None
        )
        self._finished[topic.name, name] = finished
        return before.get((topic.name, name), finished) != finished

    def _count(self, topic: Topic, name: str, elapsed: float) -> float:
        """Note for how long a group is idle now, 0 elapsed for one in use; return it.

        A place that was used since the last look begins anew, and the group with it.
        """
        places = [place for part in topic.partitions if (place := part.groups.get(name))]
        latest = min((place.idle_seconds for place in places), default=0.0)
        idle = latest + elapsed if elapsed and places else 0.0
        for place in places:
            kept = place.idle_seconds // KEEP_EVERY_SECONDS != idle // KEEP_EVERY_SECONDS
            place.idle_seconds, place.dirty = idle, place.dirty or kept
        return idle

    async def _expire(self, topic: Topic, name: str) -> None:
        await topic.forget(name)
        self.expired[topic.name] = self.expired.get(topic.name, 0) + 1
        log.warning(
            "group expired: nobody used it, it holds no data any more",
            topic=topic.name,
            group=name,
            after_seconds=self._expiry,
        )
