"""What an operator can set for a topic, and what holds while nothing was set."""

from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import UNSET, Meta, UnsetType

from broker.options import BrokerOptions
from common.wire import MAX_PARTITIONS

KEEP = "keep"
DROP_OLDEST = "drop_oldest"
MAX_RETENTION_SECONDS = 3650 * 86400.0
MAX_BYTES = 1 << 62

Span = Annotated[float, Meta(ge=0, le=MAX_RETENTION_SECONDS)]
Size = Annotated[int, Meta(ge=0, le=MAX_BYTES)]


class TopicSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What was set. What is absent was not; None is for a change: it follows the option again."""

    durability: Literal["memory", "disk", "fsync"] | UnsetType | None = UNSET
    retention_seconds: Span | UnsetType | None = UNSET
    retention_bytes: Size | UnsetType | None = UNSET
    max_partition_bytes: Size | UnsetType | None = UNSET
    overflow: Literal["keep", "drop_oldest"] | UnsetType | None = UNSET


class TopicRequest(TopicSettings, forbid_unknown_fields=True, frozen=True):
    """Body of ``PUT /topics/{topic}``."""

    partitions: Annotated[int, Meta(ge=1, le=MAX_PARTITIONS)] | UnsetType = UNSET


class Policy(NamedTuple):
    """What holds for a topic now; 0 of ``max_partition_bytes`` and ``retention_bytes`` is none."""

    durability: str
    retention_seconds: float
    retention_bytes: int
    max_partition_bytes: int
    overflow: str

    @property
    def drops(self) -> bool:
        """Whether the oldest goes even when somebody still wants it."""
        return self.overflow == DROP_OLDEST


def policy_of(settings: TopicSettings, options: BrokerOptions) -> Policy:
    """What was set, and the broker's options for the rest."""
    return Policy(
        durability=options.durability,
        retention_seconds=options.retention_seconds,
        retention_bytes=options.retention_bytes,
        max_partition_bytes=options.max_partition_bytes,
        overflow=KEEP,
    )._replace(**said(settings))


def changed(settings: TopicSettings, change: TopicSettings) -> TopicSettings:
    """The settings after a change."""
    given = {name: getattr(change, name) for name in TopicSettings.__struct_fields__}
    kept = said(settings) | {name: value for name, value in given.items() if value is not UNSET}
    return TopicSettings(**{name: value for name, value in kept.items() if value is not None})


def said(settings: TopicSettings) -> dict[str, Any]:
    """What was set, by name."""
    values = {name: getattr(settings, name) for name in TopicSettings.__struct_fields__}
    return {name: value for name, value in values.items() if value is not UNSET}
