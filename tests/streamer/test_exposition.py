"""The text of dcgm-exporter: series of a GPU become one sample, the others are passed over."""

from streamer.sources.exposition import Answer, ExpositionReader

MOMENT = 1_752_871_354_000
GPU_0 = (
    'gpu="0",UUID="GPU-a",pci_bus_id="00000000:07:00.0",device="nvidia0",'
    'modelName="NVIDIA H100 80GB HBM3",Hostname="dgx-1",DCGM_FI_DRIVER_VERSION="535.129.03",'
    'container="main",namespace="team",pod="train-0"'
)
TEXT = f"""# HELP DCGM_FI_DEV_SM_CLOCK SM clock frequency (in MHz).
# TYPE DCGM_FI_DEV_SM_CLOCK gauge
DCGM_FI_DEV_SM_CLOCK{{{GPU_0}}} 1980
DCGM_FI_DEV_SM_CLOCK{{{GPU_0.replace("GPU-a", "GPU-b").replace('gpu="0"', 'gpu="1"')}}} 345
# HELP DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION Total energy consumption since boot (in mJ).
# TYPE DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION counter
DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{{{GPU_0}}} 1.23456789e+11 1395066363000

go_goroutines 12
go_gc_duration_seconds{{quantile="0.5"}} 0.001
"""


def read(text: str, host: str = "10.0.0.1") -> Answer:
    return ExpositionReader(host).read(text, MOMENT)


def series(name: str, value: str, **labels: str) -> str:
    given = {"gpu": "0", "UUID": "GPU-a", "Hostname": "dgx-1"} | labels
    return name + "{" + ",".join(f'{k}="{v}"' for k, v in given.items()) + "} " + value


def test_an_answer_becomes_a_sample_a_gpu() -> None:
    answer = read(TEXT)
    first, second = answer.samples
    gpu = first.gpu
    assert (gpu.id, gpu.hostname, gpu.gpu_id, gpu.device) == ("GPU-a", "dgx-1", "0", "nvidia0")
    assert (gpu.namespace, gpu.pod, gpu.container) == ("team", "train-0", "main")
    assert gpu.labels == {
        "pci_bus_id": "00000000:07:00.0",
        "DCGM_FI_DRIVER_VERSION": "535.129.03",
    }
    assert first.timestamp == second.timestamp == MOMENT
    assert first.metrics == {
        "DCGM_FI_DEV_SM_CLOCK": 1980.0,
        "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION": 123_456_789_000.0,
    }
    assert second.metrics == {"DCGM_FI_DEV_SM_CLOCK": 345.0}
    assert (answer.rows, answer.passed_over, answer.duplicates) == (3, 2, 0)
    assert answer.rejects.total == 0


def test_instances_of_a_divided_gpu_are_apart() -> None:
    answer = read(
        "\n".join(
            [
                series("T", "40"),
                series("U", "0.5", GPU_I_PROFILE="1g.10gb", GPU_I_ID="7"),
                series("U", "0.7", GPU_I_PROFILE="2g.20gb", GPU_I_ID="3"),
            ]
        )
    )
    assert {sample.gpu.id: sample.metrics for sample in answer.samples} == {
        "GPU-a": {"T": 40.0},
        "GPU-a-mig-7": {"U": 0.5},
        "GPU-a-mig-3": {"U": 0.7},
    }
    assert answer.samples[1].gpu.labels == {"GPU_I_PROFILE": "1g.10gb", "GPU_I_ID": "7"}


def test_what_tells_series_of_a_gpu_apart_is_in_the_metrics_name() -> None:
    answer = read(
        "\n".join(
            [
                series("T", "40"),
                series("XID", "2", xid="31", window="300000"),
                series("XID", "1", xid="43", window="300000"),
            ]
        )
    )
    [sample] = answer.samples
    assert sample.metrics == {
        "T": 40.0,
        'XID{window="300000",xid="31"}': 2.0,
        'XID{window="300000",xid="43"}': 1.0,
    }
    assert answer.duplicates == 0


def test_a_label_that_changes_for_all_series_is_the_gpus() -> None:
    reader = ExpositionReader("h")
    for pod in ("train-0", "train-1"):
        text = "\n".join([series("T", "40", pod=pod), series("U", "1", pod=pod)])
        [sample] = reader.read(text, MOMENT).samples
        assert sample.gpu.pod == pod
        assert sample.metrics == {"T": 40.0, "U": 1.0}


def test_a_gpu_without_host_or_uuid_is_named_by_its_target() -> None:
    [sample] = read('T{gpu="3"} 1').samples
    assert sample.gpu.id == "10.0.0.1-3"


def test_escapes_and_braces_in_a_label_are_read() -> None:
    [sample] = read(r'T{gpu="0",UUID="GPU-a",note="a\"b\\c} 1\n, x=\"y\""} 2').samples
    assert sample.gpu.labels == {"note": 'a"b\\c} 1\n, x="y"'}
    assert sample.metrics == {"T": 2.0}


def test_bad_lines_are_counted_and_the_rest_is_taken() -> None:
    lines = [
        series("T", "1"),
        series("U", "NaN"),
        series("V", "warm"),
        series("W", "1_0"),
        'X{gpu="0" 1',
        'Y{gpu="0",UUID=GPU-a} 1',
        "9z 1",
        series("Z", "1", long="x" * 600),
        series("T", "2"),
        series("Q", ""),
    ]
    answer = read("\n".join(lines))
    found = {reason: entry["count"] for reason, entry in answer.rejects.report().items()}
    assert found == {
        "not_finite": 1,
        "bad_value": 3,
        "bad_labels": 2,
        "no_metric": 1,
        "text_too_long": 1,
    }
    assert answer.rows == 10
    assert answer.duplicates == 1
    assert answer.samples[0].metrics == {"T": 2.0}


def test_garbage_is_told_from_an_answer_without_gpus() -> None:
    assert read("<html>\n<body>502 Bad Gateway</body>\n").is_garbage
    assert read("\x00\x01\x02").is_garbage
    assert not read("go_goroutines 12\n").is_garbage
    assert not read("").is_garbage
