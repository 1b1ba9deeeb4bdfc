"""The labels that DCGM writes beside a metric: ``name="value",...``."""

import re

import msgspec

from common.models import MAX_TEXT, Gpu

MAX_LABELS = 64
MIG_ID = "GPU_I_ID"  # the exporter's name for the number of a MIG instance

# What labels repeat of a row's other columns, and the metric's own name; in lower case.
_NOT_LABELS = frozenset(Gpu.__struct_fields__) - {"model", "labels"} | {
    "modelname",
    "gpu",
    "__name__",
}
_LABEL = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)="([^"]*)"')


def parse_labels(text: str) -> dict[str, str]:
    """Read labels, leaving out what columns say; at most ``MAX_LABELS``."""
    found = {
        name: value
        for name, value in _LABEL.findall(text)
        if value and name.casefold() not in _NOT_LABELS and len(name) <= MAX_TEXT >= len(value)
    }
    return dict(list(found.items())[:MAX_LABELS])


def instance_of(gpu: Gpu) -> Gpu:
    """Return the MIG instance that the labels name, which is a GPU of its own, or the GPU."""
    instance = gpu.labels.get(MIG_ID)
    if not instance:
        return gpu
    field = "uuid" if gpu.uuid else "gpu_id"
    return msgspec.structs.replace(gpu, **{field: f"{getattr(gpu, field)}-mig-{instance}"})
