"""Handing over to every kind of AWS target: what each is given, once, and what becomes of failures."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError

from relay.errors import Undeliverable, UpstreamError
from relay.model.delivery import Delivery
from relay.model.ids import Generation
from relay.targets.handover import HandOver, hand_over
from relay.targets.kinds import KINDS

if TYPE_CHECKING:
    from tests.conftest import LocalClients
    from tests.unit.relay.world import World

ACCOUNT = {"partition": "aws", "region": "us-east-1", "account": "000000000000"}


@pytest.fixture(scope="module")
def aws(local_clients: LocalClients) -> Any:
    """Return what makes clients of the local AWS."""
    session = boto3.Session("test", "test", region_name="us-east-1")
    made: dict[tuple[str, str | None], Any] = {}

    def client(service: str, region: str | None = None) -> Any:
        if (service, region) not in made:
            made[service, region] = session.client(service, region, endpoint_url=local_clients.url)  # type: ignore[call-overload]
        return made[service, region]

    return client


def a_delivery(world: World, target: dict[str, Any], body: bytes = b'{"account": "a 1"}') -> HandOver:
    """Return the hand-over of a new event's delivery to *target*."""
    event = world.post(body, key=body.hex()).event
    delivery = Delivery.of(event, "ledger")
    return HandOver(target, event, delivery.id, delivery.generation, body, "application/json", ACCOUNT)


def received(sqs: Any, name: str) -> list[dict[str, Any]]:
    """Return what waits in a queue."""
    url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    asked = {"QueueUrl": url, "MaxNumberOfMessages": 10, "MessageAttributeNames": ["All"], "AttributeNames": ["All"]}
    return list(sqs.receive_message(**asked).get("Messages", []))


def test_a_queue_gets_the_body_with_what_the_relay_knows_of_it(world: World, aws: Any) -> None:
    aws("sqs").create_queue(QueueName="plain")
    handover = a_delivery(world, {"kind": "sqs", "name": "plain"})

    hand_over(handover, aws)

    (message,) = received(aws("sqs"), "plain")
    said = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
    assert message["Body"] == '{"account": "a 1"}'
    assert said == {
        "Relay-Event-Id": handover.event.id,
        "Relay-Delivery-Id": handover.delivery,
        "Relay-Source": "github",
        "Relay-Event-Type": handover.event.event_type,
        "Content-Type": "application/json",
        "Relay-Method": "POST",
    }


@pytest.mark.parametrize("body", [b"\xff\x00", b"a\x00b"])
def test_a_body_that_no_message_can_hold_goes_in_base64(world: World, aws: Any, body: bytes) -> None:
    aws("sqs").create_queue(QueueName="bytes")

    hand_over(a_delivery(world, {"kind": "sqs", "name": "bytes"}, body), aws)

    (message,) = received(aws("sqs"), "bytes")
    assert message["MessageAttributes"]["encoding"]["StringValue"] == "base64"
    aws("sqs").purge_queue(QueueUrl=aws("sqs").get_queue_url(QueueName="bytes")["QueueUrl"])


def test_a_fifo_queue_gets_it_once_and_again_when_it_is_replayed(world: World, aws: Any) -> None:
    """What it is known by is the delivery's generation; whose order it keeps the expression says."""
    aws("sqs").create_queue(QueueName="q.fifo", Attributes={"FifoQueue": "true"})
    target = {"kind": "sqs", "name": "q.fifo", "group_id": "body.account"}
    first, other = a_delivery(world, target), a_delivery(world, target, b'{"account": 7}')

    hand_over(first, aws)
    hand_over(first, aws)
    hand_over(replace(first, generation=Generation("next")), aws)
    hand_over(other, aws)

    url = aws("sqs").get_queue_url(QueueName="q.fifo")["QueueUrl"]
    number = aws("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
    assert number["Attributes"]["ApproximateNumberOfMessages"] == "3"
    seen = {it["Body"]: it["Attributes"] for it in received(aws("sqs"), "q.fifo")}
    assert seen['{"account": 7}']["MessageGroupId"] == "7"
    assert len(seen['{"account": "a 1"}']["MessageGroupId"]) == 64  # a space isn't allowed: the hash of it is
    assert seen['{"account": 7}']["MessageDeduplicationId"] == other.token


def test_a_topic_passes_it_on(world: World, aws: Any) -> None:
    queue = aws("sqs").create_queue(QueueName="of-topic")["QueueUrl"]
    arn = aws("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    topic = aws("sns").create_topic(Name="orders")["TopicArn"]
    aws("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"})

    hand_over(a_delivery(world, {"kind": "sns", "name": "orders"}), aws)

    assert [it["Body"] for it in received(aws("sqs"), "of-topic")] == ['{"account": "a 1"}']


def test_a_state_machine_starts_once_for_a_delivery(world: World, aws: Any) -> None:
    definition = {"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}}
    role = "arn:aws:iam::000000000000:role/r"
    machine = aws("stepfunctions").create_state_machine(name="order", definition=json.dumps(definition), roleArn=role)
    handover = a_delivery(world, {"kind": "step_functions", "name": "order"})

    hand_over(handover, aws)
    hand_over(handover, aws)

    started = aws("stepfunctions").list_executions(stateMachineArn=machine["stateMachineArn"])["executions"]
    assert [one["name"] for one in started] == [handover.token]
    assert len(handover.token) <= 80
    given = aws("stepfunctions").describe_execution(executionArn=started[0]["executionArn"])["input"]
    assert json.loads(given)["body"] == {"account": "a 1"}


def test_a_bucket_gets_the_bytes_under_source_day_and_event(world: World, aws: Any) -> None:
    aws("s3").create_bucket(Bucket="archive")
    handover = a_delivery(world, {"kind": "s3", "name": "archive", "prefix": "in/"}, b"\xff")

    hand_over(handover, aws)
    hand_over(handover, aws)

    (listed,) = aws("s3").list_objects_v2(Bucket="archive")["Contents"]
    kept = aws("s3").get_object(Bucket="archive", Key=listed["Key"])
    assert listed["Key"] == f"in/github/2026/01/31/{handover.event.id}"
    assert (kept["Body"].read(), kept["ContentType"]) == (b"\xff", "application/json")
    assert kept["Metadata"]["relay-delivery-id"] == handover.delivery


@pytest.mark.parametrize("kind", ["sqs", "sns"])
def test_a_target_in_another_region_is_reached_by_its_arn(world: World, aws: Any, kind: str) -> None:
    """And none of the same name here."""
    name, far = f"far-{kind}", "eu-west-1"
    for region in (far, "us-east-1"):
        queue = aws("sqs", region).create_queue(QueueName=name)["QueueUrl"]
        asked = {"QueueUrl": queue, "AttributeNames": ["QueueArn"]}
        arn = aws("sqs", region).get_queue_attributes(**asked)["Attributes"]["QueueArn"]
        topic = aws("sns", region).create_topic(Name=name)["TopicArn"]
        aws("sns", region).subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    handover = a_delivery(world, {"kind": kind, "name": name, "arn": f"arn:aws:{kind}:{far}:000000000000:{name}"})

    hand_over(handover, aws)

    assert len(received(aws("sqs", far), name)) == 1
    assert received(aws("sqs"), name) == []


class Client:
    """A client of any service: what it is asked, and what it answers."""

    class exceptions:  # noqa: N801  # boto3's name
        class ExecutionAlreadyExists(Exception):
            """As Step Functions says it."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.looked_up: list[dict[str, Any]] = []
        self._failure = failure

    def __getattr__(self, name: str) -> Any:
        def call(**given: Any) -> Any:
            if name == "get_queue_url":
                self.looked_up.append(given)
                return {"QueueUrl": "https://queue"}
            self.asked.append((name, given))
            if self._failure is not None:
                raise self._failure
            return {"FailedEntryCount": 0}

        return call


def target(kind: str) -> dict[str, Any]:
    return {"kind": kind, "name": "orders"}


def test_a_function_is_invoked_asynchronously_with_what_an_entry_has(world: World) -> None:
    client = Client()
    handover = a_delivery(world, target("lambda"))

    hand_over(handover, lambda *_: client)

    ((call, given),) = client.asked
    assert (call, given["FunctionName"], given["InvocationType"]) == ("invoke", "orders", "Event")
    assert json.loads(given["Payload"])["delivery_id"] == handover.delivery


@pytest.mark.parametrize(
    ("kind", "resource", "call", "said"),
    [
        ("eventbridge", "events:eu-west-1:111122223333:event-bus/orders", "put_events", "Entries"),
        ("lambda", "lambda:eu-west-1:111122223333:function:orders:live", "invoke", "FunctionName"),
        ("step_functions", "states:eu-west-1:111122223333:stateMachine:orders", "start_execution", "stateMachineArn"),
        ("sns", "sns:eu-west-1:111122223333:orders", "publish", "TopicArn"),
    ],
)
def test_an_arn_is_asked_for_as_it_stands_where_it_is(
    world: World, kind: str, resource: str, call: str, said: str
) -> None:
    clients = {"eu-west-1": Client()}
    arn = f"arn:aws:{resource}"

    hand_over(a_delivery(world, {**target(kind), "arn": arn}), lambda _, region: clients[str(region)])

    ((called, given),) = clients["eu-west-1"].asked
    assert called == call
    assert arn in ([given[said]] if isinstance(given[said], str) else given[said][0].values())


def test_a_queue_of_another_account_is_asked_for_there(world: World) -> None:
    client = Client()
    handover = a_delivery(world, {**target("sqs"), "arn": "arn:aws:sqs:eu-west-1:111122223333:orders"})

    hand_over(handover, lambda *_: client)

    assert client.looked_up == [{"QueueName": "orders", "QueueOwnerAWSAccountId": "111122223333"}]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("code", ["AccessDenied", "ThrottlingException", "ResourceNotFoundException", "Whatever"])
def test_what_a_deploy_or_time_may_mend_is_tried_again(world: World, kind: str, code: str) -> None:
    client = Client(ClientError({"Error": {"Code": code}}, "Call"))

    with pytest.raises(UpstreamError):
        hand_over(a_delivery(world, target(kind)), lambda *_: client)


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_target_will_never_take_is_not_tried_again(world: World, kind: str) -> None:
    client = Client(ClientError({"Error": {"Code": "ValidationException"}}, "Call"))

    with pytest.raises(Undeliverable):
        hand_over(a_delivery(world, target(kind)), lambda *_: client)


@pytest.mark.parametrize("text", ['{"n": 1.00, "n": 12345678901234567890.10, "e": 1e400}', ' "\\ud800" ', "[]"])
def test_the_detail_has_json_as_the_source_wrote_it(world: World, text: str) -> None:
    detail = a_delivery(world, target("eventbridge"), text.encode()).detail

    assert detail.endswith(f',"body":{text.strip()}}}')
    assert json.loads(detail)["source"] == "github"


@pytest.mark.parametrize("body", [b'{"n": NaN}', b"[-Infinity]", b'\xef\xbb\xbf{"n": 1}', b"1 2", b"", b"[" * 100_000])
def test_what_isnt_json_is_in_the_detail_in_base64(world: World, body: bytes) -> None:
    detail = json.loads(a_delivery(world, target("eventbridge"), body).detail)

    assert base64.b64decode(detail["body_base64"]) == body
    assert "body" not in detail


def test_a_type_that_no_attribute_and_no_entry_can_have_is_told_as_far_as_it_can_be(world: World) -> None:
    handover = a_delivery(world, target("eventbridge"))
    unusual = replace(handover, event=replace(handover.event, event_type="a\x01" + "b" * 198))
    client = Client()

    hand_over(unusual, lambda *_: client)

    ((_, given),) = client.asked
    assert len(given["Entries"][0]["DetailType"]) == 128
    assert unusual.message[1]["Relay-Event-Type"]["StringValue"] == "a\ufffd" + "b" * 198


@pytest.mark.parametrize(
    ("kind", "most"), [(it.name, it.max_bytes) for it in KINDS.values() if it.max_bytes is not None]
)
def test_what_is_too_large_for_a_target_is_not_even_asked(world: World, kind: str, most: int) -> None:
    client = Client()
    body = b"[" + b"1," * (most // 2) + b"1]"

    with pytest.raises(Undeliverable, match="at most"):
        hand_over(replace(a_delivery(world, target(kind)), body=body), lambda *_: client)

    assert client.asked == []


@pytest.mark.parametrize("body", [b"{}", b"no JSON"])
def test_a_fifo_queue_whose_group_is_nowhere_in_the_event_never_takes_it(world: World, body: bytes) -> None:
    handover = a_delivery(world, {"kind": "sqs", "name": "q.fifo", "group_id": "body.account"}, body)

    with pytest.raises(Undeliverable, match="group_id"):
        hand_over(handover, lambda *_: Client())


def test_a_token_is_of_one_generation_of_one_delivery(world: World) -> None:
    handover = a_delivery(world, target("sqs"))

    replayed = replace(handover, generation=Generation("x"))
    other = replace(handover, delivery="dlv_1.b")  # type: ignore[arg-type]
    tokens = {handover.token, replayed.token, other.token}

    assert len(tokens) == 3
