"""What all partitions of a broker share."""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from random import Random

from broker.options import BrokerOptions
from common.clock import Clock
from common.journal.files import Files


@dataclass(frozen=True)
class Surroundings:
    """The seams to time, files, threads and chance."""

    options: BrokerOptions
    files: Files
    disk: Executor
    clock: Clock
    rng: Random
    new_delivery: Callable[[], str]
