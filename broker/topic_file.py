"""The small file that says what a topic is: how many partitions, what was set, what is paused."""

import errno
from pathlib import Path

import msgspec

from broker.settings import TopicSettings
from common import logs
from common.errors import DiskFull, TelemetryError, Unavailable
from common.journal import position
from common.journal.files import Files

log = logs.get("broker.topic_file")

TOPIC_FILE = "topic"
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})


class TopicState(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is kept of a topic. ``paused`` is for every group, also of those that come."""

    partitions: int
    settings: TopicSettings = TopicSettings()
    paused: bool = False
    paused_groups: tuple[str, ...] = ()


def save(files: Files, directory: Path, state: TopicState) -> None:
    """Write it down; on return it survives a power cut. Raises DiskFull or Unavailable."""
    try:
        files.names(directory)
        for number in range(state.partitions):
            files.names(directory / str(number))
        position.save(files, directory / TOPIC_FILE, msgspec.to_builtins(state))
        files.sync_directory(directory)
        files.sync_directory(directory.parent)
    except OSError as error:
        raise refusal(error) from error


def load(files: Files, directory: Path) -> TopicState:
    """What was written down; a damaged file is made anew from the partitions' directories."""
    there = set(files.names(directory))
    kept = position.load(files, directory / TOPIC_FILE)
    state = recount(files, directory) if kept is None else msgspec.convert(kept, TopicState)
    if missing := [number for number in range(state.partitions) if str(number) not in there]:
        log.error("partitions missing, begun anew", topic=directory.name, partitions=missing)
    return state


def recount(files: Files, directory: Path) -> TopicState:
    """Every partition has had a directory from the start; what was set is not known any more."""
    names = files.names(directory)
    numbers = [int(entry) for entry in names if entry.isascii() and entry.isdigit()]
    state = TopicState(max(numbers, default=0) + 1)
    log.error(
        "topic file damaged, partitions counted, settings and pauses forgotten",
        topic=directory.name,
        partitions=state.partitions,
    )
    save(files, directory, state)
    return state


def refusal(error: OSError) -> TelemetryError:
    """What is answered when a topic cannot be written down."""
    if error.errno in _NO_SPACE:
        return DiskFull(f"the disk takes no more: {error.strerror}")
    return Unavailable(f"the topic cannot be written down: {error.strerror}")
