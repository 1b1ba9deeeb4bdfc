"""Who owns what, within two bounds: a broker's load, and what one more broker moves.

Mirrokni, Thorup, Zadimoghaddam, "Consistent Hashing with Bounded Loads" (2016) gives the first:
nobody owns more than ``ceil(1.25 * partitions / brokers)``. With few partitions a broker that joins
may push owners around in chains. So a placement is built as the brokers would have joined, in the
order of their names, and no join moves more than its share and a tenth of the partitions.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

LOAD_BOUND = 1.25
MOVES_BEYOND_SHARE = 0.10
FEWEST_PARTITIONS = 64  # with fewer a tenth is no room to move in
MOST_JOINS = 32  # a larger cluster is placed at once

NOBODY = -1


class Near(NamedTuple):
    """How far clockwise from a partition the next point of a broker lies."""

    distance: int
    partition: int
    broker: int


def place(near: Sequence[Near], brokers: int, partitions: int) -> list[int]:
    """The owner of each partition; ``near`` holds every pair, the nearest first."""
    if partitions < FEWEST_PARTITIONS or brokers > MOST_JOINS:
        return nearest(near, brokers, partitions)
    owners = nearest(near, 1, partitions)
    for joined in range(2, brokers + 1):
        owners = approach(owners, nearest(near, joined, partitions), joined)
    return owners


def nearest(near: Sequence[Near], brokers: int, partitions: int) -> list[int]:
    """The nearest pairs first, among the first ``brokers``, as long as each has room."""
    room = [bound(brokers, partitions)] * brokers
    owners = [NOBODY] * partitions
    left = partitions
    for _, partition, broker in near:
        if broker < brokers and owners[partition] == NOBODY and room[broker]:
            owners[partition] = broker
            room[broker] -= 1
            left -= 1
            if not left:
                break
    return owners


def approach(owners: list[int], wanted: list[int], brokers: int) -> list[int]:
    """Go from one placement towards another, as far as the moves of one join reach.

    Who is over the bound gives first, and to the broker that joined first; a few moves that are
    left undone are done by a later join.
    """
    partitions = len(owners)
    todo = [at for at in range(partitions) if owners[at] != wanted[at]]
    moves = int(partitions / brokers + MOVES_BEYOND_SHARE * partitions)
    if len(todo) <= moves:
        return wanted
    owners = owners.copy()
    room = [bound(brokers, partitions)] * brokers
    for owner in owners:
        room[owner] -= 1
    for left in range(moves, 0, -1):
        able = [at for at in todo if room[wanted[at]] > 0]
        over = [at for at in able if room[owners[at]] < 0]
        if not able or (not over and excess(room) >= left):
            break
        at = min(over or able, key=lambda at: (wanted[at] != brokers - 1, at))
        move(owners, room, at, wanted[at])
        todo.remove(at)
    unload(owners, room)
    return owners


def unload(owners: list[int], room: list[int]) -> None:
    """The load bound stands above the other: who is still over it gives to who has most room."""
    for at, owner in enumerate(owners):
        if room[owner] < 0:
            move(owners, room, at, room.index(max(room)))


def excess(room: list[int]) -> int:
    """Partitions that must leave their owners."""
    return -sum(one for one in room if one < 0)


def move(owners: list[int], room: list[int], at: int, to: int) -> None:
    """Give one partition to another broker."""
    room[owners[at]] += 1
    room[to] -= 1
    owners[at] = to


def bound(brokers: int, partitions: int) -> int:
    """Most partitions that one broker owns."""
    return math.ceil(LOAD_BOUND * partitions / brokers)
