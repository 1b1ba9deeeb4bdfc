"""A synthetic fleet of H100s: what a GPU does from one second to the next."""

import random
from collections.abc import Iterator
from typing import NamedTuple
from uuid import UUID

from common.models import Gpu

GPUS_PER_HOST = 8
MODEL = "NVIDIA H100 80GB HBM3"
DRIVER_LABEL = "DCGM_FI_DRIVER_VERSION"
DRIVER = "535.129.03"
JOB = "dgx_dcgm_exporter"
METRICS = (
    "DCGM_FI_DEV_GPU_UTIL",
    "DCGM_FI_DEV_MEM_COPY_UTIL",
    "DCGM_FI_DEV_POWER_USAGE",
    "DCGM_FI_DEV_GPU_TEMP",
    "DCGM_FI_DEV_FB_USED",
    "DCGM_FI_DEV_FB_FREE",
    "DCGM_FI_DEV_DEC_UTIL",
    "DCGM_FI_DEV_ENC_UTIL",
    "DCGM_FI_DEV_SM_CLOCK",
    "DCGM_FI_DEV_MEM_CLOCK",
)
UUID_BITS = 128

MEMORY_MIB = 81_007  # used + free, as an 80 GB H100 shows them
IDLE_MEMORY_MIB = 4
MODEL_MEMORY_MIB = (20_000, 78_000)
IDLE_SM_MHZ, BUSY_SM_MHZ, MEMORY_MHZ = 345, 1980, 2619
IDLE_WATTS, FULL_WATTS = 70.0, 690.0
WATTS_NOISE = 4.0
POWER_FOLLOWS = 0.35  # share of the way to its target that power goes in a second
ROOM_CELSIUS, CELSIUS_PER_WATT = 24.0, 0.065
HEAT_FOLLOWS = 0.06  # the heat sink is slower
BUSY_UTIL_PERCENT = (75, 100)
COPY_PER_UTIL = 0.78
IDLE_SECONDS, BUSY_SECONDS = (20, 180), (60, 600)
BUSY_AT_START = 0.6
LEVELS = (0.3, 1.0)  # how hard one piece of work drives the chip


class Reading(NamedTuple):
    """One GPU at one moment, in the order and units of ``METRICS``."""

    util_percent: int
    copy_percent: int
    power_watts: float
    celsius: int
    used_mib: int
    free_mib: int
    decoder_percent: int
    encoder_percent: int
    sm_mhz: int
    memory_mhz: int


class SyntheticGpu:
    """Idle and busy by turns; power follows work, temperature follows power."""

    def __init__(self, index: int, rng: random.Random) -> None:
        self.gpu = describe(index, rng)
        self._rng = rng
        self._busy = rng.random() < BUSY_AT_START
        self._seconds_left, self._used_mib, self._level = 0, 0, 0.0
        self._turn()
        self._seconds_left = rng.randint(1, self._seconds_left)
        self._watts = IDLE_WATTS + (FULL_WATTS - IDLE_WATTS) * self._level * self._busy
        self._celsius = ROOM_CELSIUS + CELSIUS_PER_WATT * self._watts

    def step(self) -> Reading:
        """Let one second pass."""
        self._seconds_left -= 1
        if self._seconds_left <= 0:
            self._busy = not self._busy
            self._turn()
        noise = self._rng.random()
        util = self._util_percent(noise)
        self._warm(IDLE_WATTS + (FULL_WATTS - IDLE_WATTS) * self._level * util / 100, noise)
        return Reading(
            util,
            int(util * COPY_PER_UTIL * self._level),
            round(self._watts, 3),
            round(self._celsius),
            self._used_mib,
            MEMORY_MIB - self._used_mib,
            0,
            0,
            BUSY_SM_MHZ if self._busy else IDLE_SM_MHZ,
            MEMORY_MHZ,
        )

    def _warm(self, target_watts: float, noise: float) -> None:
        self._watts += (target_watts - self._watts) * POWER_FOLLOWS + (noise - 0.5) * WATTS_NOISE
        heat = ROOM_CELSIUS + CELSIUS_PER_WATT * self._watts
        self._celsius += (heat - self._celsius) * HEAT_FOLLOWS

    def _util_percent(self, noise: float) -> int:
        low, high = BUSY_UTIL_PERCENT
        return round(low + (high - low) * noise) if self._busy else 0

    def _turn(self) -> None:
        rng = self._rng
        self._seconds_left = rng.randint(*(BUSY_SECONDS if self._busy else IDLE_SECONDS))
        self._used_mib = rng.randint(*MODEL_MEMORY_MIB) if self._busy else IDLE_MEMORY_MIB
        self._level = rng.uniform(*LEVELS)


class Fleet:
    """``gpus`` synthetic GPUs, eight a host; the same ``seed`` gives the same ones and values."""

    def __init__(self, gpus: int, seed: int) -> None:
        rng = random.Random(seed)  # noqa: S311 - nothing here is a secret
        self._gpus = [SyntheticGpu(index, rng) for index in range(gpus)]

    @property
    def gpus(self) -> list[Gpu]:
        """Who is in the fleet, in order."""
        return [each.gpu for each in self._gpus]

    def step(self) -> Iterator[Reading]:
        """Let one second pass and yield what each GPU shows, in order."""
        return (each.step() for each in self._gpus)


def describe(index: int, rng: random.Random) -> Gpu:
    """Name the GPU at ``index`` of a fleet, as dcgm-exporter would."""
    host, slot = divmod(index, GPUS_PER_HOST)
    hostname = f"dgx-h100-{host:03d}"
    return Gpu(
        uuid=f"GPU-{UUID(int=rng.getrandbits(UUID_BITS))}",
        hostname=hostname,
        gpu_id=str(slot),
        device=f"nvidia{slot}",
        model=MODEL,
        labels={DRIVER_LABEL: DRIVER, "instance": f"{hostname}:9400", "job": JOB},
    )
