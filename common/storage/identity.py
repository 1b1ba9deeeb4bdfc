"""Who a GPU is by all that its samples said, in whatever order they came."""

import msgspec

from common.models import Gpu

IDENTITY = Gpu.__struct_fields__


class Identity(msgspec.Struct):
    """One GPU as known. ``first`` and ``last`` are the bounds of all its sample times.

    ``older`` holds, for each identity field that a later sample left empty, the time of the
    sample that set it; the other fields date from ``last``.
    """

    id: str
    gpu: Gpu
    first: int
    last: int
    older: dict[str, int]

    def learn(self, gpu: Gpu, at: int) -> bool:
        """Take in the identity a sample at time ``at`` had; True when the row must change."""
        if gpu == self.gpu and at >= self.last and not self.older:
            self.last = at
            return False
        before = (self.gpu, self.older)
        times = {name: self.older.get(name, self.last) for name in IDENTITY}
        values = {name: getattr(self.gpu, name) for name in IDENTITY}
        for name in IDENTITY:
            value = getattr(gpu, name)
            if value and (not values[name] or at >= times[name]):
                values[name], times[name] = value, at
        self.last = max(self.last, at)
        self.gpu = Gpu(**values)
        self.older = {name: t for name, t in times.items() if values[name] and t < self.last}
        return before != (self.gpu, self.older)
