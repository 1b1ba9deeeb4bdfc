"""The shapes of VictoriaMetrics' answers."""

import msgspec

Labels = dict[str, str]


class Series(msgspec.Struct):
    """Some points of a series, by time."""

    metric: Labels
    values: list[float]
    timestamps: list[int]


class Element(msgspec.Struct):
    """A series and what a question about it came to, as text."""

    metric: Labels
    value: tuple[float, str]


class Vector(msgspec.Struct):
    """What a question came to."""

    result: list[Element]


class VectorAnswer(msgspec.Struct):
    """The answer to a question."""

    data: Vector


class NamesAnswer(msgspec.Struct):
    """The values of a label."""

    data: list[str]


class Snapshot(msgspec.Struct):
    """What became of a snapshot."""

    status: str
    snapshot: str = ""
    msg: str = ""


SERIES = msgspec.json.Decoder(Series)
VECTOR = msgspec.json.Decoder(VectorAnswer)
NAMES = msgspec.json.Decoder(NamesAnswer)
SNAPSHOT = msgspec.json.Decoder(Snapshot)
