"""What each request of the broker takes and answers, for machines: ``GET /openapi.json``."""

from typing import Any

from broker.dlq import RedriveRequest
from broker.letters import LettersRequest
from broker.settings import TopicRequest
from broker.settle import ExtendRequest, NackRequest
from common.errors import (
    DiskFull,
    Draining,
    GroupInUse,
    HeadersTooLarge,
    InvalidRequest,
    NotFound,
    Overloaded,
    PartitionFull,
    PartitionReadOnly,
    ReceiptInvalid,
    ReceiptStale,
    RequestTimeout,
    TooLarge,
    TopicConflict,
    Unauthorized,
    Unavailable,
    UnsupportedEncoding,
)
from common.http.openapi import Description, Operation, answer
from common.http.sse import MEDIA_TYPE as EVENT_STREAM
from common.wire import DURABILITIES, MAX_PARTITIONS, SettleRequest

NAME = {
    "type": "string",
    "pattern": r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$",
    "not": {"pattern": r"\.\."},
}
PLACE = {"type": "string", "description": "earliest, latest, an offset or a time (RFC 3339)"}
OFFSET = {"type": "integer", "minimum": 0, "maximum": 1 << 62}

PARAMETERS: dict[str, Any] = {
    "topic": NAME,
    "group": NAME,
    "member": {"type": "string"},
    "id": {"type": "string", "pattern": r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}:\d{1,6}:\d{1,18}$"},
    "partition": {"type": "integer", "minimum": 0, "maximum": MAX_PARTITIONS},
    "partitions": {"type": "integer", "minimum": 1, "maximum": MAX_PARTITIONS},
    "key": {"type": "string", "minLength": 1, "maxLength": 256},
    "durability": {"enum": list(DURABILITIES)},
    "from": PLACE,
    "to": PLACE,
    "offset": OFFSET,
    "max_in_flight": {"type": "integer", "minimum": 1},
    "batch": {"type": "integer", "minimum": 1},
    "limit": {"type": "integer", "minimum": 1, "maximum": 1000},
    "reason": {"type": "string"},
    "kick": {"enum": ["true", "false"]},
    "payload": {"enum": ["true", "false"]},
    "Idempotency-Key": {"type": "string", "maxLength": 256},
}
_LOST = (GroupInUse, NotFound)
_PUT = (DiskFull, PartitionReadOnly, Unavailable, Overloaded)
_ANY: dict[str, Any] = {"type": "string"}


def _json(shape: type) -> dict[str, Any]:
    return {"application/json": {"$ref": f"#/components/schemas/{shape.__name__}"}}


def _settled(word: str) -> dict[str, Any]:
    counts = {word: "integer", "already": "integer", "refused": "object"}
    return {
        "answer": answer(**counts),
        "required": ["topic"],
        "optional": ["group"],
        "errors": (NotFound, ReceiptInvalid, ReceiptStale, TooLarge, UnsupportedEncoding),
    }


_TOPIC = answer(topic="string", partition_count="integer", settings="object", partitions="array")
_DRAIN = answer(draining="boolean", empty="boolean", messages="integer", dead_letters="integer")
_PRODUCED = answer(
    id="string",
    topic="string",
    partition="integer",
    offset="integer",
    count="integer",
    durability="string",
    duplicate="boolean",
)

OPERATIONS = {
    ("POST", "/produce"): Operation(
        _PRODUCED,
        required=["topic"],
        optional=["partition", "partitions", "key", "durability"],
        headers=["Idempotency-Key"],
        bodies={
            "application/octet-stream": {},
            "application/x-ndjson": {},
            "application/json": {},
        },
        body_required=False,  # an empty body is an empty message
        errors=(
            *(NotFound, TopicConflict, TooLarge, UnsupportedEncoding),
            *(PartitionFull, Draining, *_PUT),
        ),
    ),
    ("GET", "/consume"): Operation(
        _ANY,
        required=["topic"],
        optional=["group", "partition", "partitions", "from", "max_in_flight", "batch"],
        errors=(NotFound, TopicConflict, *_PUT),
        media_type=EVENT_STREAM,
    ),
    ("POST", "/ack"): Operation(bodies=_json(SettleRequest), **_settled("acked")),
    ("POST", "/nack"): Operation(bodies=_json(NackRequest), **_settled("nacked")),
    ("POST", "/extend"): Operation(bodies=_json(ExtendRequest), **_settled("extended")),
    ("GET", "/topics"): Operation(answer(topics="array")),
    ("PUT", "/topics/{topic}"): Operation(
        _TOPIC,
        bodies=_json(TopicRequest),
        body_required=False,
        errors=(TopicConflict, TooLarge, UnsupportedEncoding, *_PUT),
    ),
    ("DELETE", "/topics/{topic}"): Operation(
        answer(topic="string", deleted_messages="integer"),
        optional=["kick"],
        errors=(*_LOST, Unavailable, DiskFull),
    ),
    ("POST", "/pause"): Operation(
        answer(topic="string", paused="boolean", paused_groups="array"),
        required=["topic"],
        optional=["group"],
        errors=(NotFound, *_PUT),
    ),
    ("POST", "/resume"): Operation(
        {"type": "object"}, optional=["topic", "group"], errors=(NotFound, *_PUT)
    ),
    ("POST", "/purge"): Operation(
        answer(purged="integer"),
        required=["topic"],
        optional=["group", "partition"],
        errors=(NotFound, *_PUT),
    ),
    ("POST", "/kick"): Operation(
        answer(kicked="integer"),
        required=["topic", "group"],
        optional=["member"],
        errors=(NotFound,),
    ),
    ("POST", "/drain"): Operation(_DRAIN, errors=_PUT),
    ("GET", "/drain"): Operation(_DRAIN),
    ("GET", "/groups"): Operation(answer(groups="array"), optional=["topic"], errors=(NotFound,)),
    ("POST", "/groups/{group}/seek"): Operation(
        answer(topic="string", group="string", offsets="object"),
        required=["topic", "to"],
        optional=["partition"],
        errors=(NotFound, *_PUT),
    ),
    ("DELETE", "/groups/{group}"): Operation(
        answer(topic="string", group="string"), required=["topic"], errors=(*_LOST, *_PUT)
    ),
    ("GET", "/dlq"): Operation(
        answer(dead_letters="array", depth="integer", next="integer"),
        required=["topic"],
        optional=["group", "limit", "reason"],
        own={"from": OFFSET},
        errors=(NotFound,),
    ),
    ("POST", "/dlq"): Operation(
        answer(kept="integer", already="integer"),
        required=["topic"],
        optional=["group", "partition", "partitions"],
        bodies=_json(LettersRequest),
        errors=(NotFound, TopicConflict, TooLarge, UnsupportedEncoding, Draining, *_PUT),
    ),
    ("DELETE", "/dlq"): Operation(
        answer(purged="integer"),
        required=["topic"],
        optional=["group", "reason"],
        errors=(NotFound, *_PUT),
    ),
    ("POST", "/dlq/redrive"): Operation(
        answer(redriving="integer"),
        required=["topic"],
        optional=["group"],
        bodies=_json(RedriveRequest),
        body_required=False,
        errors=(NotFound, TooLarge, UnsupportedEncoding, *_PUT),
    ),
    ("GET", "/trace/{id}"): Operation(
        answer(
            id="string",
            topic="string",
            broker="string",
            partition="integer",
            offset="integer",
            groups="array",
        ),
        required=["topic"],
        optional=["payload"],
        errors=(NotFound,),
    ),
    ("GET", "/messages"): Operation(
        answer(messages="array"),
        required=["topic"],
        optional=["partition", "offset", "limit"],
        errors=(NotFound,),
    ),
}

BROKER = Description(
    title="telemetry-stack broker",
    text="The wire protocol of one broker; every request shows the service token.",
    operations=OPERATIONS,
    parameters=PARAMETERS,
    errors=(InvalidRequest, Unauthorized, RequestTimeout, HeadersTooLarge),
    shapes=(
        SettleRequest,
        NackRequest,
        ExtendRequest,
        TopicRequest,
        RedriveRequest,
        LettersRequest,
    ),
)
