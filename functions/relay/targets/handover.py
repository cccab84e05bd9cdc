"""Hands a delivery to each kind of AWS target: once where the kind knows a deduplication token, else at least once.

A delivery that a target will never take is `Undeliverable`.  Any other failure is retried, a missing permission too:
the next deploy may grant it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from relay.config.expressions import Expression, ExpressionError
from relay.errors import Undeliverable, UpstreamError
from relay.model.content import read
from relay.model.ids import DeliveryId, Generation, iso
from relay.publishing.routing import facts
from relay.runtime import aws
from relay.targets.kinds import DETAIL_TYPE, GROUP_ID, KINDS, arn_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from relay.model.event import Event
    from relay.targets.kinds import Kind

    Clients = Callable[[str, str | None], Any]

NEVER_TAKEN = (
    *("ValidationException", "ValidationError", "InvalidMessageContents", "InvalidParameterValue", "InvalidParameter"),
    *("RequestTooLargeException", "InvalidRequestContentException", "InvalidExecutionInput", "EntityTooLarge"),
)
DOUBT = "it may have taken it all the same, and then gets it twice: deduplicate by the delivery's id"
METADATA_QUERY_MAX_CHARS = 512  # S3 takes 2 KB of metadata in all
_NOT_IN_A_MESSAGE = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_GROUP_ID = re.compile(r"[!-~]{1,128}")


@dataclass(frozen=True)
class HandOver:
    """One delivery to hand over.

    Attributes:
        target: As in the flat configuration: `kind`, `name`, `arn` where the file names one, and the kind's settings.
        body: The bytes for the target.
        content_type: Of *body*.
        encoding: The `Content-Encoding` of *body*; None where it has none.
        account: `partition`, `region` and `account` of the relay, for ARNs.
    """

    target: Mapping[str, Any]
    event: Event
    delivery: DeliveryId
    generation: Generation
    body: bytes
    content_type: str | None
    account: Mapping[str, str]
    encoding: str | None = None

    @property
    def token(self) -> str:
        """A token of this generation of the delivery, up to 80 characters that every service takes."""
        said = f"{self.delivery}/{self.generation}"
        return f"{self.event.id}-{hashlib.sha256(said.encode()).hexdigest()[:24]}"

    @property
    def detail(self) -> str:
        """The event as JSON, with its body: decompressed and as written where it is JSON, else in base64."""
        said: dict[str, Any] = {
            "event_id": self.event.id,
            "delivery_id": self.delivery,
            "source": self.event.source,
            "event_type": self.event.event_type,
            "received_at": iso(self.event.received_at),
            "content_type": self.content_type,
            "method": self.event.method,
        }
        if self.event.raw_query:
            said["query"] = self.event.raw_query
        if self.event.query_left_out:
            said["query_left_out"] = True
        try:
            text = read(self.body, self.content_type, self.encoding).text.decode()
            json.loads(text, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            if self.encoding:
                said["content_encoding"] = self.encoding
            said["body_base64"] = base64.b64encode(self.body).decode()
            return json.dumps(said, separators=(",", ":"))
        return f'{json.dumps(said, separators=(",", ":"))[:-1]},"body":{text.strip()}}}'

    @property
    def message(self) -> tuple[str, dict[str, Any]]:
        """The text and the attributes of a message: the body as it is, or in base64 where a message can't hold it."""
        said = {
            "Relay-Event-Id": self.event.id,
            "Relay-Delivery-Id": self.delivery,
            "Relay-Source": self.event.source,
            "Relay-Event-Type": self.event.event_type,
            "Content-Type": self.content_type,
            "Content-Encoding": self.encoding,
            "Relay-Method": self.event.method,
            "Relay-Query": self.event.raw_query,
            "Relay-Query-Left-Out": "true" if self.event.query_left_out else None,
        }
        try:
            text = self.body.decode()
        except UnicodeDecodeError:
            text = ""
        if not text or _NOT_IN_A_MESSAGE.search(text):
            text, said["encoding"] = base64.b64encode(self.body).decode(), "base64"
        told = {name: _NOT_IN_A_MESSAGE.sub("\ufffd", it) for name, it in said.items() if it}
        return text, {name: {"DataType": "String", "StringValue": it} for name, it in told.items()}

    @property
    def region(self) -> str | None:
        """The target's region; None for the relay's own."""
        return str(self.target["arn"]).split(":")[3] if "arn" in self.target else None

    @property
    def arn(self) -> str:
        """The target's ARN: from the configuration, or made of its name in the relay's account and region."""
        return arn_of(self.target, **self.account)

    @property
    def kind(self) -> Kind:
        """The row of the target's kind."""
        return KINDS[self.target["kind"]]

    @property
    def is_known_again(self) -> bool:
        """Whether the target recognizes this delivery where it gets it twice."""
        return self.kind.knows_again or bool(self.target.get(GROUP_ID.name))


def hand_over(handover: HandOver, clients: Clients = aws.client) -> None:
    """Give the target its delivery.

    Args:
        clients: Returns boto3's client of a service in a region.

    Raises:
        Undeliverable: The target will never take it.
        UpstreamError: The hand-over failed this time.
    """
    kind = handover.kind
    try:
        with aws.speaking_to(kind.client):
            _GIVES[kind.name](handover, clients(kind.client, handover.region))
    except UpstreamError as error:
        if any(code in str(error) for code in NEVER_TAKEN):
            raise Undeliverable(f"{kind.name} will never take this delivery: {error}") from error
        if _may_have_it(error) and not handover.is_known_again:
            raise UpstreamError(error.service, f"{error.reason}; {DOUBT}") from error
        raise


def _may_have_it(error: UpstreamError) -> bool:
    """Tell whether the target may have taken the delivery in spite of *error*: no answer came, or a 5xx."""
    answer = getattr(error.__cause__, "response", None)
    return answer is None or answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 500) >= 500


def _fits(handover: HandOver, *parts: str) -> None:
    most, size = handover.kind.max_bytes, sum(len(part.encode(errors="replace")) for part in parts)
    if most is not None and size > most:
        raise Undeliverable(f"{handover.kind.name} takes {most} bytes at most, and this delivery has {size}")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON, though Python takes it")


def _eventbridge(handover: HandOver, client: Any) -> None:
    entry = {
        "EventBusName": handover.target.get("arn", handover.target["name"]),
        "Source": f"relay.{handover.event.source}",
        "DetailType": handover.target.get("detail_type") or handover.event.event_type[: DETAIL_TYPE.max_chars],
        "Time": handover.event.received_at,
        "Detail": handover.detail,
    }
    _fits(handover, entry["Detail"], entry["Source"], entry["DetailType"])
    answer = client.put_events(Entries=[entry])
    if answer.get("FailedEntryCount"):
        raise UpstreamError("EventBridge", answer["Entries"][0].get("ErrorCode", "failed"))


def _sqs(handover: HandOver, client: Any) -> None:
    text, attributes = handover.message
    _fits(handover, text, *_told(attributes))
    if not text:
        raise Undeliverable("sqs takes no message without a body")
    account = handover.target["arn"].split(":")[4] if "arn" in handover.target else None
    url = _queue_url(client, handover.target["name"], account)
    client.send_message(QueueUrl=url, MessageBody=text, MessageAttributes=attributes, **_in_order(handover))


def _sns(handover: HandOver, client: Any) -> None:
    text, attributes = handover.message
    _fits(handover, text, *_told(attributes))
    if not text:
        raise Undeliverable("sns takes no message without a body")
    client.publish(TopicArn=handover.arn, Message=text, MessageAttributes=attributes, **_in_order(handover))


def _lambda(handover: HandOver, client: Any) -> None:
    _fits(handover, handover.detail)
    function = handover.target.get("arn", handover.target["name"])
    client.invoke(FunctionName=function, InvocationType="Event", Payload=handover.detail.encode())


def _step_functions(handover: HandOver, client: Any) -> None:
    _fits(handover, handover.detail)
    with suppress(client.exceptions.ExecutionAlreadyExists):  # an earlier hand-over, whose answer was lost
        client.start_execution(stateMachineArn=handover.arn, name=handover.token, input=handover.detail)


def _s3(handover: HandOver, client: Any) -> None:
    event = handover.event
    day = event.received_at.strftime("%Y/%m/%d")
    client.put_object(
        Bucket=handover.target["name"],
        Key=f"{handover.target.get('prefix') or ''}{event.source}/{day}/{event.id}",
        Body=handover.body,
        **({"ContentType": handover.content_type} if handover.content_type else {}),
        **({"ContentEncoding": handover.encoding} if handover.encoding else {}),
        Metadata={
            "relay-event-id": event.id,
            "relay-delivery-id": handover.delivery,
            "relay-event-type": quote(event.event_type),
            "relay-method": quote(event.method),
            **({"relay-query": event.raw_query} if 0 < len(event.raw_query) <= METADATA_QUERY_MAX_CHARS else {}),
        },
    )


def _told(attributes: Mapping[str, Mapping[str, str]]) -> list[str]:
    return [part for name, it in attributes.items() for part in (name, it["DataType"], it["StringValue"])]


def _in_order(handover: HandOver) -> dict[str, str]:
    """Return what a FIFO queue or topic wants: what keeps its order among which messages, and what it is known by."""
    if not handover.target.get("group_id"):
        return {}
    try:
        value = Expression(handover.target["group_id"]).search(facts(handover.event, handover.body))
    except ExpressionError as error:
        raise Undeliverable(f"group_id can't be computed: {error}") from error
    if value is None or value == "":
        raise Undeliverable(f"group_id {handover.target['group_id']} gives nothing of this event")
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    group = text if _GROUP_ID.fullmatch(text) else hashlib.sha256(text.encode(errors="replace")).hexdigest()
    return {"MessageGroupId": group, "MessageDeduplicationId": handover.token}


@lru_cache(maxsize=64)
def _queue_url(client: Any, name: str, account: str | None) -> str:
    owner = {"QueueOwnerAWSAccountId": account} if account else {}
    return str(client.get_queue_url(QueueName=name, **owner)["QueueUrl"])


_GIVES: dict[str, Callable[[HandOver, Any], None]] = {
    "eventbridge": _eventbridge,
    "sqs": _sqs,
    "sns": _sns,
    "lambda": _lambda,
    "step_functions": _step_functions,
    "s3": _s3,
}
