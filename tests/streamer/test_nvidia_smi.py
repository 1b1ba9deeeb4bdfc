"""Logs of nvidia-smi --query-gpu --format=csv."""

from zoneinfo import ZoneInfo

import pytest

from streamer.sources.base import SourceError
from tests.streamer.reading import HOST, layout_of, read_text

AT = 1_605_188_891_412  # 2020-11-12 13:48:11.412 UTC
TITLES = (
    "timestamp, name, uuid, utilization.gpu [%], temperature.gpu, power.draw [W], "
    "memory.used [MiB]\n"
)
LOG = f"""{TITLES}\
2020/11/12 13:48:11.412, Tesla V100, GPU-a, 99 %, 65, 120.50 W, 32480 MiB
2020/11/12 13:48:11.415, Tesla V100, GPU-b, [N/A], 40, [Not Supported], 3 MiB
"""
NO_UNITS = f"""{TITLES}\
2020/11/12 13:48:11.412, Tesla V100, GPU-a, 99, 65, 120.50, 32480
2020/11/12 13:48:11.415, Tesla V100, GPU-b, [N/A], 40, [Not Supported], 3
"""
ONE = {
    "DCGM_FI_DEV_GPU_UTIL": 99.0,
    "DCGM_FI_DEV_GPU_TEMP": 65.0,
    "DCGM_FI_DEV_POWER_USAGE": 120.5,
    "DCGM_FI_DEV_FB_USED": 32480.0,
}
OTHER = {"DCGM_FI_DEV_GPU_TEMP": 40.0, "DCGM_FI_DEV_FB_USED": 3.0}


@pytest.mark.parametrize("log", [LOG, NO_UNITS])
def test_values_units_and_times_are_right(log: str) -> None:
    samples, progress = read_text(log)
    assert [(s.gpu.id, s.gpu.model, s.timestamp) for s in samples] == [
        ("GPU-a", "Tesla V100", AT),
        ("GPU-b", "Tesla V100", AT + 3),
    ]
    assert [sample.metrics for sample in samples] == [ONE, OTHER]
    assert (progress.missing, progress.rejects.total) == (2, 0)
    assert layout_of(log).format == "nvidia-smi log, commas"


def test_a_header_in_the_middle_is_passed_over_and_counted() -> None:
    samples, progress = read_text(LOG + LOG)
    assert len(samples) == 4
    assert progress.rejects.report() == {"repeated_header": {"count": 1, "lines": [4]}}


def test_gpus_are_told_by_index_without_a_uuid() -> None:
    samples, _ = read_text(
        "index, utilization.gpu [%], pstate\n0, 5 %, P0\n1, 6 %, P8\n0, ERR!, [Unknown Error]\n"
    )
    assert [(s.gpu.id, s.metrics) for s in samples] == [
        (f"{HOST}-0", {"DCGM_FI_DEV_GPU_UTIL": 5.0, "DCGM_FI_DEV_PSTATE": 0.0}),
        (f"{HOST}-1", {"DCGM_FI_DEV_GPU_UTIL": 6.0, "DCGM_FI_DEV_PSTATE": 8.0}),
    ]


def stamps(*seconds: float) -> str:
    rows = [f"2020/11/12 13:48:{second:06.3f}, 5 %" for second in seconds]
    return "\n".join(["timestamp, utilization.gpu [%]", *rows])


def test_one_gpu_needs_no_name() -> None:
    samples, _ = read_text(stamps(11.412, 12.413, 13.413, 14.414))
    assert {sample.gpu.id for sample in samples} == {f"{HOST}-0"}
    assert [sample.timestamp - AT for sample in samples] == [0, 1001, 2001, 3002]


@pytest.mark.parametrize(
    "seconds", [(11, 11), (11, 11.003, 12, 12.003, 13, 13.003), (1, 1.001, 1.002, 6, 6.001, 11)]
)
def test_several_gpus_without_names_are_refused(seconds: tuple[float, ...]) -> None:
    with pytest.raises(SourceError, match=r"several GPUs.*index or uuid"):
        read_text(stamps(*seconds))


def test_a_pause_of_one_gpu_is_no_second_one() -> None:
    assert len(read_text(stamps(11, 11.1, 11.2, 11.3, 50, 50.1, 50.2))[0]) == 7


def test_local_times_are_of_the_zone_that_is_given() -> None:
    [first, _], _ = read_text(LOG, zone=ZoneInfo("Europe/Berlin"))
    assert first.timestamp == AT - 3_600_000
    [again], _ = read_text(
        "timestamp, index, fan.speed [%]\n2020-11-12T13:48:11.412Z, 0, 30 %\n",
        zone=ZoneInfo("Europe/Berlin"),
    )
    assert again.timestamp == AT


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1605188891", 1_605_188_891_000),
        ("1605188891.412", AT),
        (str(AT), AT),
        (f"{AT}000", AT),
        (f"{AT}000000", AT),
        ("2020-11-12 13:48:11.412 UTC", AT),
        ("2020-11-12T15:48:11.412+02:00", AT),
    ],
)
def test_other_times_are_understood(text: str, moment: int) -> None:
    [sample], _ = read_text(f"timestamp,index,fan.speed\n{text},0,30\n")
    assert sample.timestamp == moment


def test_a_log_without_header_says_how_to_name_the_columns() -> None:
    bare = LOG.split("\n", 1)[1]
    with pytest.raises(SourceError, match=r"7 columns with CSV_COLUMNS"):
        read_text(bare)
    names = "timestamp name uuid utilization.gpu temperature.gpu power.draw memory.used"
    samples, _ = read_text(bare, names=tuple(names.split()))
    assert [sample.metrics for sample in samples] == [ONE, OTHER]


TABLE = """Thu Nov 12 13:48:11 2020
+-----------------------------------------------------------------------------+
| NVIDIA-SMI 450.51.06    Driver Version: 450.51.06    CUDA Version: 11.0     |
"""


@pytest.mark.parametrize("text", [TABLE, TABLE.split("\n", 1)[1], "==============NVSMI LOG====\n"])
def test_what_nvidia_smi_prints_for_people_is_refused_with_the_command(text: str) -> None:
    with pytest.raises(SourceError, match=r"nvidia-smi --query-gpu=\S+ --format=csv"):
        read_text(text)


def test_throttle_reasons_are_a_mask() -> None:
    [sample], _ = read_text(
        "index, clocks_throttle_reasons.active\n0, 0x0000000000000004\n",
    )
    assert sample.metrics == {"DCGM_FI_DEV_CLOCK_THROTTLE_REASONS": 4.0}


BUS = """timestamp, name, pci.bus_id, utilization.gpu [%]
2020/11/12 13:48:11.412, Tesla V100, 00000000:07:00.0, 5 %
2020/11/12 13:48:11.415, Tesla V100, 00000000:0B:00.0, 6 %
"""


def test_gpus_are_told_by_their_bus_when_nothing_else_does() -> None:
    samples, _ = read_text(BUS)
    assert [sample.gpu.id for sample in samples] == [
        f"{HOST}-00000000:07:00.0",
        f"{HOST}-00000000:0B:00.0",
    ]
    (sample, _), _ = read_text(BUS.replace(" name,", " index,").replace("Tesla V100", "3"))
    assert (sample.gpu.id, sample.gpu.labels) == (f"{HOST}-3", {"pci.bus_id": "00000000:07:00.0"})


def test_a_model_tells_no_gpu_from_another() -> None:
    log = "timestamp, name, utilization.gpu [%]\n" + "".join(
        f"2020/11/12 13:48:{second}.{ms}, Tesla V100, 5 %\n"
        for second in (11, 12, 13)
        for ms in (412, 415)
    )
    with pytest.raises(SourceError, match=r"several GPUs.*index or uuid"):
        read_text(log)


def test_rows_of_several_hosts_may_be_of_one_moment() -> None:
    log = "timestamp, host, utilization.gpu [%]\n" + "".join(
        f"2020/11/12 13:48:{second}, node{host}, 5 %\n" for second in (11, 12) for host in (1, 2)
    )
    assert {sample.gpu.id for sample in read_text(log)[0]} == {"node1-0", "node2-0"}
