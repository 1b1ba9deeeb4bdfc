"""The GPUs of this machine through NVML, under the names that DCGM gives the same things."""

import asyncio
import importlib
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from common import logs
from common.clock import Clock
from common.models import Gpu, Sample
from streamer.sources.base import Mark, Progress, SourceError

MS_PER_SECOND = 1000
MIB = 1 << 20
MILLIWATTS_PER_WATT = 1000

log = logs.get("streamer.nvml")

# A metric, and how it is asked of the library for a device; what a GPU lacks is left out.
QUESTIONS: dict[str, Callable[[Any, Any], float]] = {
    "DCGM_FI_DEV_GPU_UTIL": lambda nvml, gpu: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu,
    "DCGM_FI_DEV_MEM_COPY_UTIL": lambda nvml, gpu: nvml.nvmlDeviceGetUtilizationRates(gpu).memory,
    "DCGM_FI_DEV_POWER_USAGE": lambda nvml, gpu: (
        nvml.nvmlDeviceGetPowerUsage(gpu) / MILLIWATTS_PER_WATT
    ),
    "DCGM_FI_DEV_GPU_TEMP": lambda nvml, gpu: nvml.nvmlDeviceGetTemperature(
        gpu, nvml.NVML_TEMPERATURE_GPU
    ),
    "DCGM_FI_DEV_FB_USED": lambda nvml, gpu: memory_of(nvml, gpu).used / MIB,
    "DCGM_FI_DEV_FB_FREE": lambda nvml, gpu: memory_of(nvml, gpu).free / MIB,
    "DCGM_FI_DEV_FB_RESERVED": lambda nvml, gpu: memory_by_kind(nvml, gpu).reserved / MIB,
    "DCGM_FI_DEV_SM_CLOCK": lambda nvml, gpu: nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_SM),
    "DCGM_FI_DEV_MEM_CLOCK": lambda nvml, gpu: nvml.nvmlDeviceGetClockInfo(
        gpu, nvml.NVML_CLOCK_MEM
    ),
    "DCGM_FI_DEV_ENC_UTIL": lambda nvml, gpu: nvml.nvmlDeviceGetEncoderUtilization(gpu)[0],
    "DCGM_FI_DEV_DEC_UTIL": lambda nvml, gpu: nvml.nvmlDeviceGetDecoderUtilization(gpu)[0],
    "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION": lambda nvml, gpu: (
        nvml.nvmlDeviceGetTotalEnergyConsumption(gpu)
    ),
}


class NvmlSource:
    """One sample per GPU at each multiple of the interval; see ``Source``.

    Units are DCGM's: percent, watts, degrees Celsius, MiB, MHz, millijoules. A moment that passes
    while nobody reads is not made up for.
    """

    live = True
    grows = False

    def __init__(self, interval_seconds: float, clock: Clock, library: Any = None) -> None:
        self.progress = Progress()
        self._interval_ms = round(interval_seconds * MS_PER_SECOND)
        self._clock = clock
        self._nvml = library
        self._gpus: list[tuple[Any, Gpu]] = []
        self._silent: set[str] = set()
        self._at = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="nvml")

    async def open(self) -> str:
        """See ``Source``; raises SourceError without the library or a driver."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._open)
        self._at = int(self._clock.wall() * MS_PER_SECOND)
        return f"nvml-{self._at}"

    async def read(self) -> list[Sample] | None:
        """Wait for the next moment and return its samples."""
        step = self._interval_ms
        now = int(self._clock.wall() * MS_PER_SECOND)
        self._at = (max(self._at, now - step) // step + 1) * step
        await self._clock.sleep(max(0.0, self._at / MS_PER_SECOND - self._clock.wall()))
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._ask, self._at)

    def mark(self) -> Mark | None:
        """The present has no place to go back to."""
        return None

    async def resume(self, mark: Mark) -> None:
        """See ``Source``."""

    async def leftover(self) -> list[Sample]:
        """Nothing is read ahead."""
        return []

    async def rewind(self) -> None:
        """Nothing to go back to: the present goes on."""

    async def close(self) -> None:
        """See ``Source``."""
        self._thread.shutdown(wait=False)

    def _open(self) -> None:
        nvml = self._nvml = self._nvml or load_library()
        try:
            nvml.nvmlInit()
            devices = [nvml.nvmlDeviceGetHandleByIndex(n) for n in range(nvml.nvmlDeviceGetCount())]
            host = socket.gethostname()
            self._gpus = [
                (device, describe(nvml, device, index, host))
                for index, device in enumerate(devices)
            ]
        except nvml.NVMLError as error:
            raise SourceError(f"NVML finds no NVIDIA driver it can ask: {error}") from error
        if not self._gpus:
            raise SourceError("NVML finds no GPU on this machine")

    def _ask(self, at: int) -> list[Sample]:
        samples = [Sample(gpu, at, self._metrics(device, gpu)) for device, gpu in self._gpus]
        values = sum(len(sample.metrics) for sample in samples)
        self.progress.rows_read += values
        self.progress.values_read += values
        return [sample for sample in samples if sample.metrics]

    def _metrics(self, device: Any, gpu: Gpu) -> dict[str, float]:
        found: dict[str, float] = {}
        for metric, ask in QUESTIONS.items():
            try:
                found[metric] = float(ask(self._nvml, device))
            except self._nvml.NVMLError:
                continue  # not every GPU has everything; one that is lost has nothing
        if found:
            self._silent.discard(gpu.id)
        elif gpu.id not in self._silent:
            self._silent.add(gpu.id)
            log.error("GPU answers nothing any more", gpu=gpu.id)
        return found


def memory_of(nvml: Any, gpu: Any) -> Any:
    """Ask for memory; an old driver counts what it reserves as used."""
    try:
        return memory_by_kind(nvml, gpu)
    except nvml.NVMLError:
        return nvml.nvmlDeviceGetMemoryInfo(gpu)


def memory_by_kind(nvml: Any, gpu: Any) -> Any:
    """Ask for memory with what the driver reserves told apart from what is used."""
    return nvml.nvmlDeviceGetMemoryInfo(gpu, version=nvml.nvmlMemory_v2)


def load_library() -> Any:
    """Import the binding; raises SourceError that says where it comes from."""
    try:
        return importlib.import_module("pynvml")
    except ImportError as error:
        raise SourceError(
            "NVML needs the package nvidia-ml-py: pip install 'telemetry-stack[nvml]'"
        ) from error


def describe(nvml: Any, device: Any, index: int, host: str) -> Gpu:
    """Say who a device is."""
    return Gpu(
        uuid=as_text(nvml.nvmlDeviceGetUUID(device)),
        hostname=host,
        gpu_id=str(index),
        device=f"nvidia{index}",
        model=as_text(nvml.nvmlDeviceGetName(device)),
        labels={"DCGM_FI_DRIVER_VERSION": as_text(nvml.nvmlSystemGetDriverVersion())},
    )


def as_text(answer: Any) -> str:
    """Older bindings answer in bytes."""
    return answer.decode() if isinstance(answer, bytes) else str(answer)
