"""What a queue is, in a few dictionaries: every message has one state for every group."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

READY, LEASED, DELAYED, DOOMED = "ready", "leased", "delayed", "doomed"
ACKED, DEAD, DROPPED, FOREIGN = "acked", "dead", "dropped", "foreign"
DONE = (ACKED, DEAD, DROPPED)


class Letter(NamedTuple):
    """A dead letter, as far as it can be foretold."""

    offset: int
    attempts: int
    reason: str
    error: str
    payload: bytes


@dataclass
class Message:
    """One message as one group sees it; ``due`` counts while it is delayed."""

    state: str = READY
    tries: int = 0
    due: float = 0.0
    returned: bool = False
    reason: str = ""
    error: str = ""


@dataclass
class Delivery:
    """Messages that went out together, what of them is still out, and who has them."""

    offsets: set[int]
    attempt: int
    opened: float
    deadline: float
    holder: object


@dataclass
class GroupModel:
    """One group: its messages from ``start`` on, its deliveries by name, its dead letters.

    ``was_cut``: a crash took messages that it was done with, so what became of each is not known.
    """

    max_deliveries: int
    start: int = 0
    messages: dict[int, Message] = field(default_factory=dict)
    out: dict[str, Delivery] = field(default_factory=dict)
    letters: list[Letter] = field(default_factory=list)
    taken_out: list[Letter] = field(default_factory=list)
    was_cut: bool = False

    def add(self, offset: int, foreign: bool) -> None:
        """A message was stored."""
        self.messages[offset] = Message(FOREIGN if foreign else READY)

    def having(self, state: str) -> list[int]:
        """The offsets of all messages in a state."""
        return sorted(n for n, message in self.messages.items() if message.state == state)

    def deliver(self, name: str, offsets: range, delivery: Delivery) -> None:
        """A delivery: all of it was ready, came in order, and counts right."""
        for offset in offsets:
            message = self.messages[offset]
            assert message.state == READY
            assert delivery.attempt == message.tries + 1
            if message.tries == 0 and not message.returned:
                assert offset == self.next_new()
            message.state, message.tries = LEASED, delivery.attempt
        self.out[name] = delivery

    def next_new(self) -> int:
        """The first message that never went out."""
        return next(
            offset
            for offset, message in sorted(self.messages.items())
            if message.state == READY and not message.tries and not message.returned
        )

    def settle(self, name: str, part: Iterable[int]) -> int:
        """An ack of a part of a delivery; returns how many it settles."""
        return self._leave(name, part, lambda message: self._become(message, ACKED))

    def release(self, name: str, part: Iterable[int]) -> int:
        """A nack that does not count."""

        def back(message: Message) -> None:
            message.tries -= 1
            self._become(message, READY)

        return self._leave(name, part, back)

    def retry(self, name: str, part: Iterable[int], due: float, error: str) -> int:
        """A nack that counts."""

        def back(message: Message) -> None:
            if message.tries >= self.max_deliveries:
                self._doom(message, "DELIVERY_LIMIT", error)
            else:
                message.due = due
                self._become(message, DELAYED)

        return self._leave(name, part, back)

    def reject(self, name: str, part: Iterable[int], error: str) -> int:
        """A nack for good."""
        return self._leave(name, part, lambda message: self._doom(message, "REJECTED", error))

    def give_back(self, name: str) -> None:
        """A delivery came to nothing: it ran out, or its connection dropped."""

        def back(message: Message) -> None:
            if message.tries >= self.max_deliveries:
                self._doom(message, "DELIVERY_LIMIT", "never settled in time")
            else:
                self._become(message, READY)

        self._leave(name, set(self.out[name].offsets), back)

    def pass_time(self, now: float) -> None:
        """Deadlines and delays up to now are over."""
        for name in [name for name, delivery in self.out.items() if delivery.deadline <= now]:
            self.give_back(name)
        for offset in self.having(DELAYED):
            if self.messages[offset].due <= now:
                self.messages[offset].state = READY

    def bury(self, offset: int, payload: bytes) -> None:
        """A doomed message becomes a dead letter."""
        message = self.messages[offset]
        assert message.state == DOOMED
        message.state = DEAD
        self.letters.append(Letter(offset, message.tries, message.reason, message.error, payload))

    def not_bury(self, offset: int, due: float) -> None:
        """A doomed message could not be kept: it comes once more."""
        message = self.messages[offset]
        message.state, message.due = DELAYED, due
        message.tries -= 1

    def seek(self, start: int) -> None:
        """Begin again; what is for others stays so."""
        self.start = start
        self.restart({n for n in self.messages if n < start})

    def let_go(self, stop: int) -> None:
        """Everything below an offset that is not done is dropped; what is out of it is stale."""
        for delivery in self.out.values():
            delivery.offsets -= set(range(stop))
        for offset, message in self.messages.items():
            below = self.start <= offset < stop
            if below and message.state != FOREIGN and message.state not in DONE:
                self._become(message, DROPPED)

    def restart(self, done: set[int]) -> None:
        """Begin again but for what is done."""
        self.out.clear()
        for offset, message in self.messages.items():
            if message.state == FOREIGN or (offset in done and message.state in DONE):
                continue
            self.messages[offset] = Message(ACKED if offset in done else READY)

    def _become(self, message: Message, state: str) -> None:
        message.state, message.returned = state, True

    def _doom(self, message: Message, reason: str, error: str) -> None:
        message.reason, message.error = reason, error
        self._become(message, DOOMED)

    def _leave(self, name: str, part: Iterable[int], act: Callable[[Message], None]) -> int:
        left = self.out[name].offsets & set(part)
        for offset in left:
            act(self.messages[offset])
        self.out[name].offsets -= left
        return len(left)
