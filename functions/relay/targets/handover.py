"""How each kind of AWS target is given a delivery: once where it has a token of its own for that, else at least once.

What a target will never take is `Undeliverable`; any other failure, a missing permission included, is to be tried
again: it may be over once a deploy is.
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

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from relay.model.event import Event

    Clients = Callable[[str, str | None], Any]

KIB = 1024
# Source: each service's page of quotas; of a message its attributes count, too.
MAX_BYTES = {
    "eventbridge": 1024 * KIB,  # since 29 January 2026; where it is less, AWS itself refuses, for good
    "sqs": 1024 * KIB,
    "sns": 256 * KIB,
    "lambda": 1024 * KIB,
    "step_functions": 256 * KIB,
}
NEVER_TAKEN = (
    *("ValidationException", "ValidationError", "InvalidMessageContents", "InvalidParameterValue", "InvalidParameter"),
    *("RequestTooLargeException", "InvalidRequestContentException", "InvalidExecutionInput", "EntityTooLarge"),
)
DOUBT = "it may have taken it all the same, and then gets it twice: deduplicate by the delivery's id"
DETAIL_TYPE_MAX_CHARS = 128
METADATA_QUERY_MAX_CHARS = 512  # S3 takes 2 KB of metadata in all
_NOT_IN_A_MESSAGE = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_GROUP_ID = re.compile(r"[!-~]{1,128}")


@dataclass(frozen=True)
class HandOver:
    """One delivery to hand over.

    Attributes:
        target: As the flat configuration has it: `kind`, `name`, `arn` where it may be elsewhere, what the kind needs.
        body: What the target is to get.
        content_type: Of *body*.
        encoding: Its `Content-Encoding`, where it has one.
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
        """What is the same of this generation of the delivery alone: up to 80 characters that all services take."""
        said = f"{self.delivery}/{self.generation}"
        return f"{self.event.id}-{hashlib.sha256(said.encode()).hexdigest()[:24]}"

    @property
    def detail(self) -> str:
        """What is told of the event, and its body: unpacked and as it was written where it is JSON, else in base64."""
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
        """The body as the text of a message, in base64 where it can't be that, and the message's attributes."""
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
        """The target's region; None: the relay's own."""
        return str(self.target["arn"]).split(":")[3] if "arn" in self.target else None

    def arn(self, service: str, resource: str) -> str:
        """Return the target's ARN: its own, or that of *resource* in the relay's account and region."""
        where = self.account
        own = f"arn:{where['partition']}:{service}:{where['region']}:{where['account']}:{resource}"
        return str(self.target.get("arn", own))


def hand_over(it: HandOver, clients: Clients = aws.client) -> None:
    """Hand *it* over.

    Args:
        clients: Returns boto3's client of a service in a region.

    Raises:
        Undeliverable: The target will never take it.
        UpstreamError: It didn't, this time.
    """
    kind = it.target["kind"]
    service, give = KINDS[kind]
    try:
        with aws.speaking_to(service):
            give(it, clients(service, it.region))
    except UpstreamError as error:
        if any(code in str(error) for code in NEVER_TAKEN):
            raise Undeliverable(f"{kind} will never take this delivery: {error}") from error
        if _may_have_it(error) and not _has_token(it):
            raise UpstreamError(error.service, f"{error.reason}; {DOUBT}") from error
        raise


def _may_have_it(error: UpstreamError) -> bool:
    """Tell whether *error* leaves open that the target took what it was given: no answer came, or a 5xx."""
    answer = getattr(error.__cause__, "response", None)
    return answer is None or answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 500) >= 500


def _has_token(it: HandOver) -> bool:
    """Tell whether the target knows a delivery again by what it is given with it."""
    return it.target["kind"] in ("step_functions", "s3") or bool(it.target.get("group_id"))


def _fits(it: HandOver, *parts: str) -> None:
    most, size = MAX_BYTES[it.target["kind"]], sum(len(part.encode(errors="replace")) for part in parts)
    if size > most:
        raise Undeliverable(f"{it.target['kind']} takes {most} bytes at most, and this delivery has {size}")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON, though Python takes it")


def _eventbridge(it: HandOver, client: Any) -> None:
    entry = {
        "EventBusName": it.target.get("arn", it.target["name"]),
        "Source": f"relay.{it.event.source}",
        "DetailType": it.target.get("detail_type") or it.event.event_type[:DETAIL_TYPE_MAX_CHARS],
        "Time": it.event.received_at,
        "Detail": it.detail,
    }
    _fits(it, entry["Detail"], entry["Source"], entry["DetailType"])
    answer = client.put_events(Entries=[entry])
    if answer.get("FailedEntryCount"):
        raise UpstreamError("EventBridge", answer["Entries"][0].get("ErrorCode", "failed"))


def _sqs(it: HandOver, client: Any) -> None:
    text, attributes = it.message
    _fits(it, text, *_told(attributes))
    if not text:
        raise Undeliverable("sqs takes no message without a body")
    account = it.target["arn"].split(":")[4] if "arn" in it.target else None
    url = _queue_url(client, it.target["name"], account)
    client.send_message(QueueUrl=url, MessageBody=text, MessageAttributes=attributes, **_in_order(it))


def _sns(it: HandOver, client: Any) -> None:
    text, attributes = it.message
    _fits(it, text, *_told(attributes))
    if not text:
        raise Undeliverable("sns takes no message without a body")
    topic = it.arn("sns", it.target["name"])
    client.publish(TopicArn=topic, Message=text, MessageAttributes=attributes, **_in_order(it))


def _lambda(it: HandOver, client: Any) -> None:
    _fits(it, it.detail)
    client.invoke(
        FunctionName=it.target.get("arn", it.target["name"]), InvocationType="Event", Payload=it.detail.encode()
    )


def _step_functions(it: HandOver, client: Any) -> None:
    _fits(it, it.detail)
    machine = it.arn("states", f"stateMachine:{it.target['name']}")
    with suppress(client.exceptions.ExecutionAlreadyExists):  # an earlier hand-over, whose answer was lost
        client.start_execution(stateMachineArn=machine, name=it.token, input=it.detail)


def _s3(it: HandOver, client: Any) -> None:
    day = it.event.received_at.strftime("%Y/%m/%d")
    client.put_object(
        Bucket=it.target["name"],
        Key=f"{it.target.get('prefix') or ''}{it.event.source}/{day}/{it.event.id}",
        Body=it.body,
        **({"ContentType": it.content_type} if it.content_type else {}),
        **({"ContentEncoding": it.encoding} if it.encoding else {}),
        Metadata={
            "relay-event-id": it.event.id,
            "relay-delivery-id": it.delivery,
            "relay-event-type": quote(it.event.event_type),
            "relay-method": quote(it.event.method),
            **({"relay-query": it.event.raw_query} if 0 < len(it.event.raw_query) <= METADATA_QUERY_MAX_CHARS else {}),
        },
    )


def _told(attributes: Mapping[str, Mapping[str, str]]) -> list[str]:
    return [part for name, it in attributes.items() for part in (name, it["DataType"], it["StringValue"])]


def _in_order(it: HandOver) -> dict[str, str]:
    """Return what a FIFO queue or topic wants: what keeps its order among which messages, and what it is known by."""
    if not it.target.get("group_id"):
        return {}
    try:
        value = Expression(it.target["group_id"]).search(facts(it.event, it.body))
    except ExpressionError as error:
        raise Undeliverable(f"group_id can't be computed: {error}") from error
    if value is None or value == "":
        raise Undeliverable(f"group_id {it.target['group_id']} gives nothing of this event")
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    group = text if _GROUP_ID.fullmatch(text) else hashlib.sha256(text.encode(errors="replace")).hexdigest()
    return {"MessageGroupId": group, "MessageDeduplicationId": it.token}


@lru_cache(maxsize=64)
def _queue_url(client: Any, name: str, account: str | None) -> str:
    owner = {"QueueOwnerAWSAccountId": account} if account else {}
    return str(client.get_queue_url(QueueName=name, **owner)["QueueUrl"])


KINDS: dict[str, tuple[str, Callable[[HandOver, Any], None]]] = {
    "eventbridge": ("events", _eventbridge),
    "sqs": ("sqs", _sqs),
    "sns": ("sns", _sns),
    "lambda": ("lambda", _lambda),
    "step_functions": ("stepfunctions", _step_functions),
    "s3": ("s3", _s3),
}
