"""Samples as InfluxDB's line protocol, by the layout that docs/stores.md draws.

A line is ``measurement,gpu=ID field=value,... milliseconds``. Integers and floats of one field
are different types to the server, so that every metric is written as a float.
"""

import re
from collections.abc import Iterable, Iterator

import msgspec

from common.models import EARLIEST_MS, LATEST_MS, Gpu, Sample

TELEMETRY = "gpu"
INVENTORY = "gpu_info"
TAG = "gpu"
SEEN = "_seen"
FIRST_SEEN = "first_seen"
LABELS = "labels"
IDENTITY = tuple(name for name in Gpu.__struct_fields__ if name != LABELS)

MAX_FORMS = 4096
MAX_HEADS = 100_000
"""Orders of names, and beginnings of lines, that are remembered; past that they are made again."""

# The server's answers are CSV in which a carriage return is lost; a backslash at the end of a
# name, or before what is escaped, means something else. So neither is ever sent.
_CONTROL = re.compile(r"[%\x00-\x1f\x7f]")
_UNSAFE = re.compile(r"[%\\\x00-\x1f\x7f]")
_CODED = re.compile(r"%([0-9A-F]{2})")
_ESCAPED_IN_KEY = re.compile(r"[,= ]")
_ESCAPED_IN_TEXT = re.compile(r'["\\]')


def encode_name(name: str) -> str:
    """A metric's name or a GPU's id as a field or tag; `decode` is the way back."""
    coded = _UNSAFE.sub(_percent, name)
    if coded.startswith("_") or coded == "time":  # the server's own names, and ours
        return f"%{ord(coded[0]):02X}{coded[1:]}"
    return coded


def encode_text(text: str) -> str:
    """A text of an identity as a string field; `decode` is the way back."""
    return _CONTROL.sub(_percent, text)


def decode(coded: str) -> str:
    """What was encoded."""
    return _CODED.sub(lambda found: chr(int(found[1], 16)), coded) if "%" in coded else coded


def identity_line(gpu_id: str, gpu: Gpu, first_seen: int, at: int) -> bytes:
    """The line that says who a GPU was at a moment; what is not known is left out."""
    fields = [
        f'{name}="{_quoted(value)}"' for name in IDENTITY if (value := getattr(gpu, name)) != ""
    ]
    if gpu.labels:
        labels = msgspec.json.encode(gpu.labels, order="deterministic").decode()
        fields.append(f'{LABELS}="{_quoted(labels)}"')
    fields.append(f"{FIRST_SEEN}={first_seen}i")
    return f"{INVENTORY},{TAG}={_key(gpu_id)} {','.join(fields)} {at}".encode()


class Encoder:
    """Makes lines of samples; remembers the parts that come again and again."""

    def __init__(self) -> None:
        self._heads: dict[str, bytes] = {}
        self._forms: dict[tuple[str, ...], bytes] = {}

    def lines(self, samples: Iterable[Sample]) -> Iterator[bytes]:
        """Yield a line for each sample; raises ValueError for a time that no sample may have."""
        encode = msgspec.json.encode
        for sample in samples:
            gpu, at, metrics = sample.gpu, sample.timestamp, sample.metrics
            if not EARLIEST_MS <= at <= LATEST_MS:
                raise ValueError(f"a sample's time is out of bounds: {at}")
            gpu_id = gpu.uuid or gpu.id
            head = self._heads.get(gpu_id) or self._head(gpu_id)
            names = tuple(metrics)
            form = self._forms.get(names) or self._form(names)
            # JSON's numbers are the shortest that come back to the same float
            values = tuple(encode(list(metrics.values()))[1:-1].split(b","))
            yield b"%b%b %d" % (head, form % values, at)

    def _head(self, gpu_id: str) -> bytes:
        if len(self._heads) >= MAX_HEADS:
            self._heads.clear()
        head = f"{TELEMETRY},{TAG}={_key(gpu_id)} {SEEN}=t,".encode()
        return self._heads.setdefault(gpu_id, head)

    def _form(self, names: tuple[str, ...]) -> bytes:
        if len(self._forms) >= MAX_FORMS:
            self._forms.clear()
        form = ",".join(f"{_key(name).replace('%', '%%')}=%b" for name in names)
        return self._forms.setdefault(names, form.encode())


def _percent(found: re.Match[str]) -> str:
    return f"%{ord(found[0]):02X}"


def _key(name: str) -> str:
    return _ESCAPED_IN_KEY.sub(r"\\\g<0>", encode_name(name))


def _quoted(text: str) -> str:
    return _ESCAPED_IN_TEXT.sub(r"\\\g<0>", encode_text(text))
