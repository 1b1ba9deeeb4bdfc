"""Who GPUs are, by what was told of them: of each field the value that was told last."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import msgspec

from common.models import Gpu
from common.storage.influx.lines import IDENTITY, LABELS, decode
from common.storage.victoria.lines import GPU, LONG_LABELS, NAME, OF, PART, TEXT, text_id
from common.storage.victoria.shapes import Element

Told = tuple[int, str]
"""When, and what."""


def identities(elements: Iterable[Element]) -> dict[str, Gpu]:
    """Who each GPU is; the value of each series is when it was last told."""
    fields: dict[str, dict[str, Told]] = defaultdict(dict)
    parts: dict[tuple[str, str], dict[int, Told]] = defaultdict(dict)
    for each in elements:
        labels, at = each.metric, int(float(each.value[1]))
        gpu_id = decode(labels[GPU])
        if labels[NAME] == LONG_LABELS:
            parts[gpu_id, labels[OF]][int(labels[PART])] = at, labels.get(TEXT, "")
            continue
        for name in (*IDENTITY, LABELS):
            if name in labels:
                _tell(fields[gpu_id], name, (at, labels[name]))
    for (gpu_id, whole), told in parts.items():
        text = "".join(told[number][1] for number in sorted(told))
        if text_id(text) == whole:  # else a part of a write is seen, or was cut off
            _tell(fields[gpu_id], LABELS, (max(at for at, _ in told.values()), text))
    return {gpu_id: _gpu(known) for gpu_id, known in fields.items()}


def _tell(known: dict[str, Told], name: str, told: Told) -> None:
    known[name] = max(known.get(name, told), told)


def _gpu(known: dict[str, Told]) -> Gpu:
    fields: dict[str, Any] = {name: decode(text) for name, (_, text) in known.items()}
    if LABELS in fields:
        fields[LABELS] = msgspec.json.decode(fields[LABELS])
    return msgspec.convert(fields, Gpu)
