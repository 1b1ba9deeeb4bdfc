"""What ``POST /telemetry`` takes: records of one metric each, and the samples they become."""

from collections.abc import Iterable
from typing import Annotated, Any

import msgspec

from common.clock import from_rfc3339
from common.errors import InvalidParameter, InvalidRequest, TooLarge
from common.http.body import decode_json
from common.labels import instance_of, parse_labels
from common.models import MAX_METRICS, MAX_TEXT, Gpu, Sample, Text, sample_problem
from common.wire import JSON_SPACE

MAX_RECORDS = 10_000
MAX_LABELS_RAW = 16_384
MAX_PROBLEMS = 20

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TEXT)]
Index = Text | Annotated[int, msgspec.Meta(ge=0, le=1 << 32)]

_PROBLEMS = {
    "no_identity": "a uuid, or a hostname with gpu_id or device_id, or a device_id is required",
    "bad_timestamp": "time must be from 2000 to 2100",
}


class Record(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One metric of one GPU at one moment, with the names of a DCGM export.

    A GPU is named by `uuid`, or by `hostname` with `gpu_id` or `device_id`, or by a `device_id`
    alone, which is then its id. Without `time` it is the moment of arrival.
    """

    metric: Name
    value: float
    time: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    device_id: Index = ""
    gpu_id: Index = ""
    uuid: Text = ""
    model_name: Text = ""
    hostname: Text = ""
    container: Text = ""
    pod: Text = ""
    namespace: Text = ""
    labels_raw: Annotated[str, msgspec.Meta(max_length=MAX_LABELS_RAW)] = ""

    def gpu(self) -> Gpu:
        """Who the record speaks of."""
        device = str(self.device_id)
        return instance_of(
            Gpu(
                uuid=self.uuid or ("" if self.hostname else device),
                hostname=self.hostname,
                gpu_id=str(self.gpu_id),
                device=device,
                model=self.model_name,
                namespace=self.namespace,
                pod=self.pod,
                container=self.container,
                labels=parse_labels(self.labels_raw),
            )
        )

    def milliseconds(self, now_ms: int) -> int:
        """When, since 1970 UTC; raises ValueError for what is no RFC 3339 time."""
        if self.time is None:
            return now_ms
        found = from_rfc3339(self.time)
        if found is None:
            raise ValueError("time must be RFC 3339 such as 2025-07-18T20:42:34Z")
        return found


def read_records(body: bytes, a_line_each: bool) -> list[Record]:
    """Read one record, a list of them, or one a line; raises InvalidRequest, TooLarge."""
    if a_line_each:
        lines = [line for line in body.split(b"\n") if line.strip(JSON_SPACE)]
        check_count(len(lines))
        return [decode_json(line, Record) for line in lines]
    if body.lstrip(JSON_SPACE)[:1] != b"[":
        return [decode_json(body, Record)]
    records = decode_json(body, list[Record])
    check_count(len(records))
    return records


def check_count(records: int) -> None:
    """Raise InvalidRequest for none, TooLarge for too many."""
    if not records:
        raise InvalidRequest("there is no record in the body")
    if records > MAX_RECORDS:
        raise TooLarge(f"at most {MAX_RECORDS} records are taken at once")


def to_samples(records: Iterable[Record], now_ms: int) -> list[Sample]:
    """Put records of one GPU and moment into one sample; of a metric given twice the last stands.

    Raises InvalidParameter that names each record which cannot be stored; none is taken then.
    """
    together: dict[tuple[bytes, int], Sample] = {}
    samples: list[Sample] = []
    problems: list[dict[str, Any]] = []
    for number, record in enumerate(records):
        try:
            sample = to_sample(record, now_ms)
        except ValueError as error:
            problems.append({"record": number, "problem": str(error)})
            continue
        key = msgspec.json.encode(sample.gpu), sample.timestamp
        found = together.get(key)
        if found is None or (
            len(found.metrics) == MAX_METRICS and record.metric not in found.metrics
        ):
            together[key] = sample
            samples.append(sample)
        else:
            found.metrics[record.metric] = record.value
    if problems:
        raise InvalidParameter(
            f"{len(problems)} records cannot be stored, so none was; the first: record "
            f"{problems[0]['record']}, {problems[0]['problem']}",
            details=problems[:MAX_PROBLEMS],
        )
    return samples


def to_sample(record: Record, now_ms: int) -> Sample:
    """Return a record as a sample of one metric; raises ValueError with what is wrong."""
    sample = Sample(record.gpu(), record.milliseconds(now_ms), {record.metric: record.value})
    problem = sample_problem(sample)
    if problem is not None:
        raise ValueError(_PROBLEMS.get(problem, problem))
    return sample
