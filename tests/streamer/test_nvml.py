"""GPUs through NVML: as a library tells of them, and, where there are some, as nvidia-smi does."""

import shutil
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from streamer.sources.base import SourceError
from streamer.sources.nvml import QUESTIONS, NvmlSource
from tests.streamer.fakes import WALL, FakeClock
from tests.streamer.reading import read_text

MIB = 1 << 20
SAID = (
    "timestamp,uuid,name,utilization.gpu,utilization.memory,temperature.gpu,power.draw,"
    "memory.used,memory.free,memory.reserved,clocks.sm,clocks.mem"
)
# What two readings of an idle GPU, one after the other, may differ by.
APART = {
    "DCGM_FI_DEV_FB_USED": 1.0,
    "DCGM_FI_DEV_FB_FREE": 1.0,
    "DCGM_FI_DEV_FB_RESERVED": 1.0,
    "DCGM_FI_DEV_GPU_TEMP": 5.0,
    "DCGM_FI_DEV_POWER_USAGE": 30.0,
}


class NVMLError(Exception):
    """As the library's own."""


class Library:
    """Answers as nvidia-ml-py does for two GPUs, of which the second has no encoder."""

    NVMLError = NVMLError
    NVML_TEMPERATURE_GPU = NVML_CLOCK_SM = 0
    NVML_CLOCK_MEM = 2
    nvmlMemory_v2 = 0x2000028  # noqa: N815

    def __init__(self, old: bool = False) -> None:
        self.lost: set[int] = set()
        self._old = old

    def nvmlInit(self) -> None:  # noqa: N802  the library's names
        pass

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetUUID(self, gpu: int) -> bytes:  # noqa: N802
        return b"GPU-%d" % gpu

    def nvmlDeviceGetName(self, gpu: int) -> str:  # noqa: N802
        return "NVIDIA H100"

    def nvmlSystemGetDriverVersion(self) -> str:  # noqa: N802
        return "550.1"

    def nvmlDeviceGetMemoryInfo(self, gpu: int, version: int = 0) -> Any:  # noqa: N802
        if gpu in self.lost or (version and self._old):
            raise NVMLError("function not found")
        if version:
            return SimpleNamespace(used=5 * MIB, reserved=2 * MIB, free=7 * MIB)
        return SimpleNamespace(used=7 * MIB, free=7 * MIB)

    def __getattr__(self, name: str) -> Any:
        answers: dict[str, Any] = {
            "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=87, memory=31),
            "nvmlDeviceGetPowerUsage": 612_345,
            "nvmlDeviceGetTemperature": 64,
            "nvmlDeviceGetClockInfo": 1980,
            "nvmlDeviceGetEncoderUtilization": [3, 100],
            "nvmlDeviceGetDecoderUtilization": [4, 100],
            "nvmlDeviceGetTotalEnergyConsumption": 99,
        }

        def answer(gpu: int, *_: int) -> Any:
            if gpu in self.lost or (gpu == 1 and name == "nvmlDeviceGetEncoderUtilization"):
                raise NVMLError("not supported")
            return answers[name]

        return answer


async def test_each_gpu_is_a_sample_in_the_units_of_dcgm() -> None:
    clock = FakeClock()
    source = NvmlSource(10.0, clock, Library())
    await source.open()
    first, second = await source.read() or []
    assert (first.gpu.id, first.gpu.model, first.gpu.device) == ("GPU-0", "NVIDIA H100", "nvidia0")
    assert first.timestamp % 10_000 == 0
    assert first.timestamp >= WALL * 1000
    assert first.metrics["DCGM_FI_DEV_POWER_USAGE"] == 612.345
    assert first.metrics["DCGM_FI_DEV_FB_USED"] == 5.0
    assert first.metrics["DCGM_FI_DEV_FB_RESERVED"] == 2.0
    assert first.metrics["DCGM_FI_DEV_GPU_UTIL"] == 87.0
    assert set(first.metrics) == set(QUESTIONS)
    assert set(QUESTIONS) - set(second.metrics) == {"DCGM_FI_DEV_ENC_UTIL"}
    [again, _] = await source.read() or []
    assert again.timestamp == first.timestamp + 10_000
    await source.close()


async def test_an_old_driver_counts_what_it_reserves_as_used() -> None:
    source = NvmlSource(1.0, FakeClock(), Library(old=True))
    await source.open()
    [first, _] = await source.read() or []
    assert set(QUESTIONS) - set(first.metrics) == {"DCGM_FI_DEV_FB_RESERVED"}
    assert first.metrics["DCGM_FI_DEV_FB_USED"] == 7.0
    await source.close()


@pytest.mark.skipif(shutil.which("nvidia-smi") is None, reason="this machine has no NVIDIA driver")
async def test_a_real_gpu_is_read_as_nvidia_smi_reads_it() -> None:
    pytest.importorskip("pynvml", reason="the extra nvml is not installed")
    source = NvmlSource(1.0, FakeClock())
    await source.open()
    samples = await source.read() or []
    await source.close()
    said, _ = read_text(nvidia_smi())
    assert [it.gpu.id for it in samples] == [it.gpu.id for it in said]
    for ours, theirs in zip(samples, said, strict=True):
        assert ours.gpu.model == theirs.gpu.model
        assert set(theirs.metrics) <= set(ours.metrics)
        for metric, most_apart in APART.items():
            assert abs(ours.metrics[metric] - theirs.metrics[metric]) <= most_apart, metric


def nvidia_smi() -> str:
    asked = ["nvidia-smi", f"--query-gpu={SAID}", "--format=csv"]
    return subprocess.run(asked, check=True, capture_output=True, text=True).stdout


async def test_a_gpu_that_is_lost_is_left_out() -> None:
    library = Library()
    source = NvmlSource(1.0, FakeClock(), library)
    await source.open()
    library.lost = {1}
    assert [sample.gpu.id for sample in await source.read() or []] == ["GPU-0"]
    library.lost = set()
    assert len(await source.read() or []) == 2
    await source.close()


async def test_without_the_package_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    source = NvmlSource(1.0, FakeClock())
    with pytest.raises(SourceError, match=r"telemetry-stack\[nvml\]"):
        await source.open()
    await source.close()


async def test_without_a_driver_it_says_so() -> None:
    class Driverless(Library):
        def nvmlInit(self) -> None:  # noqa: N802
            raise NVMLError("NVML Shared Library Not Found")

    source = NvmlSource(1.0, FakeClock(), Driverless())
    with pytest.raises(SourceError, match="no NVIDIA driver"):
        await source.open()
    await source.close()
