"""Names that are certain: what a column of a wide CSV is, in the words of DCGM."""

import re
from typing import NamedTuple

from streamer.sources.units import UNITS

GPU_FIELDS = {"uuid", "gpu_id", "device"}
"""The fields of common.models.Gpu of which one has to be known."""
TIME_NAMES = ("timestamp", "time", "datetime", "date_time", "ts")
# A column's plain name to the field of common.models.Gpu that it fills.
IDENTITY_NAMES = {
    "uuid": "uuid",
    "gpu_uuid": "uuid",
    "hostname": "hostname",
    "host": "hostname",
    "host_name": "hostname",
    "node": "hostname",
    "node_name": "hostname",
    "nodename": "hostname",
    "gpu_id": "gpu_id",
    "gpuid": "gpu_id",
    "gpu_index": "gpu_id",
    "index": "gpu_id",
    "gpu": "gpu_id",
    "id": "gpu_id",
    "device": "device",
    "model": "model",
    "modelname": "model",
    "model_name": "model",
    "gpu_name": "model",
    "gpu_model": "model",
    "name": "model",
    "namespace": "namespace",
    "pod": "pod",
    "container": "container",
}
GPU_NAMES = {name for name, field in IDENTITY_NAMES.items() if field in GPU_FIELDS}
BUS_NAMES = {"pci_bus_id", "gpu_bus_id", "bus_id"}
"""Which GPU of its host it is, for rows that say it in no better way; a label otherwise."""
# What may look like a number and is none.
LABEL_NAMES = BUS_NAMES | {
    "gpu_i_id",
    "gpu_i_profile",
    "serial",
    "gpu_serial",
    "driver_version",
    "vbios_version",
    "cuda_version",
    "pci_bus",
    "pci_device",
    "pci_device_id",
    "pci_domain",
    "pci_sub_device_id",
    "minor_number",
    "job",
    "job_id",
    "jobid",
    "instance",
    "user",
    "rack",
}


class Metric(NamedTuple):
    """A metric's name and unit, and how its text is read: as a number, ``P0`` or in hex."""

    name: str
    unit: str = ""
    form: str = "number"


_METRICS = {
    Metric(
        "DCGM_FI_DEV_GPU_UTIL", "%"
    ): "utilization_gpu utilization gpu_utilization gpu_util util",
    Metric("DCGM_FI_DEV_MEM_COPY_UTIL", "%"): "utilization_memory mem_copy_util",
    Metric("DCGM_FI_DEV_ENC_UTIL", "%"): "utilization_encoder encoder_utilization enc_util",
    Metric("DCGM_FI_DEV_DEC_UTIL", "%"): "utilization_decoder decoder_utilization dec_util",
    Metric("DCGM_FI_DEV_GPU_TEMP", "C"): (
        "temperature_gpu temperature temp gpu_temp gpu_temperature"
    ),
    Metric("DCGM_FI_DEV_MEMORY_TEMP", "C"): "temperature_memory memory_temp memory_temperature",
    Metric("DCGM_FI_DEV_POWER_USAGE", "W"): "power_draw power power_usage gpu_power power_watts",
    Metric("DCGM_FI_DEV_POWER_USAGE_INSTANT", "W"): "power_draw_instant",
    Metric("DCGM_FI_DEV_POWER_MGMT_LIMIT", "W"): "power_limit",
    Metric("DCGM_FI_DEV_ENFORCED_POWER_LIMIT", "W"): "enforced_power_limit",
    Metric("DCGM_FI_DEV_FB_USED", "MiB"): "memory_used mem_used fb_used fb_memory_used",
    Metric("DCGM_FI_DEV_FB_FREE", "MiB"): "memory_free mem_free fb_free fb_memory_free",
    Metric("DCGM_FI_DEV_FB_TOTAL", "MiB"): "memory_total mem_total fb_total fb_memory_total",
    Metric("DCGM_FI_DEV_FB_RESERVED", "MiB"): "memory_reserved",
    Metric("DCGM_FI_DEV_SM_CLOCK", "MHz"): "clocks_sm clocks_current_sm sm_clock",
    Metric("DCGM_FI_DEV_MEM_CLOCK", "MHz"): (
        "clocks_mem clocks_current_memory mem_clock memory_clock"
    ),
    Metric("DCGM_FI_DEV_VIDEO_CLOCK", "MHz"): "clocks_video clocks_current_video video_clock",
    Metric("DCGM_FI_DEV_FAN_SPEED", "%"): "fan_speed",
    Metric("DCGM_FI_DEV_PSTATE", "", "pstate"): "pstate",
    Metric("DCGM_FI_DEV_PCIE_LINK_GEN"): "pcie_link_gen_current pcie_link_gen_gpucurrent",
    Metric("DCGM_FI_DEV_PCIE_LINK_WIDTH"): "pcie_link_width_current",
    Metric("DCGM_FI_DEV_ECC_SBE_VOL_TOTAL"): "ecc_errors_corrected_volatile_total",
    Metric("DCGM_FI_DEV_ECC_DBE_VOL_TOTAL"): "ecc_errors_uncorrected_volatile_total",
    Metric("DCGM_FI_DEV_ECC_SBE_AGG_TOTAL"): "ecc_errors_corrected_aggregate_total",
    Metric("DCGM_FI_DEV_ECC_DBE_AGG_TOTAL"): "ecc_errors_uncorrected_aggregate_total",
    Metric("DCGM_FI_DEV_CLOCK_THROTTLE_REASONS", "", "hex"): (
        "clocks_throttle_reasons_active clocks_event_reasons_active"
    ),
}
METRICS = {name: metric for metric, names in _METRICS.items() for name in names.split()} | {
    metric.name.casefold(): metric for metric in _METRICS
}
_NO_NAME = re.compile(r"[^0-9a-z]+")


def plain_name(name: str) -> str:
    """Fold case and punctuation: ``Utilization.GPU`` is ``utilization_gpu``."""
    return _NO_NAME.sub("_", name.casefold()).strip("_")


def find_metric(plain: str) -> tuple[Metric, str] | None:
    """Return the metric of a plain name, and the unit that its end names: ``memory_used_gb``."""
    if plain in METRICS:
        return METRICS[plain], ""
    stem, _, unit = plain.rpartition("_")
    if unit in UNITS and stem in METRICS:
        return METRICS[stem], unit
    return None
