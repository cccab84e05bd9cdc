"""The relay with IAM enforced: each function's role suffices, and /v1 is for operators alone.

Elsewhere the local AWS lets every role do everything, so a missing grant shows here first.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

import boto3
import httpx
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from infra.local.aws.server import client
from infra.local.destinations import DEAD, HEALTHY, Destinations
from infra.local.dev import running
from tests.deployed.clients import SETTLED_S, Relay
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Call = tuple[str, Callable[[Any, str], object]]

CONFIG = """
[relay]
name = "gate"

[sources.github]
scheme = "github"
to = ["all"]
quarantine = "1h"

[url_groups.all]
retries = 0
destinations = {{ builder = "{builder}", ledger = {{ eventbridge = "default", detail_type = "github" }} }}

[queues.fifo]

[schemes.acme]
signature = "X-Acme-Signature: {{base64}}"
algorithm = "hmac-sha512"
id = "X-Acme-Id"

[sources.acme]
scheme = "acme"
to = ["aws"]

[url_groups.aws]
retries = 0
[url_groups.aws.destinations]
queue = {{ sqs = "named" }}
topic = {{ sns = "named" }}
function = {{ lambda = "named" }}
machine = {{ step_functions = "named" }}
bucket = {{ s3 = "named-archive", prefix = "in/" }}
bus = {{ eventbridge = "named" }}
"""
MACHINE = json.dumps({"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}})
ENTRY = {"Source": "relay.any", "DetailType": "any", "Detail": "{}"}
LARGE = json.dumps({"action": "opened", "padding": "x" * 100_000}).encode()  # too large for an item: it is in S3


@pytest.fixture(scope="module")
def builder() -> Iterator[Destinations]:
    """Serve the destination `builder`."""
    with Destinations() as served:
        served.behave("builder")
        yield served


@pytest.fixture(scope="module")
def relay(builder: Destinations, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """Deploy the relay with IAM enforced; the caller is an operator who may ask and replay."""
    config = tmp_path_factory.mktemp("gate") / "relay.toml"
    config.write_text(CONFIG.format(builder=f"{builder.base_url}/builder"))
    with running(config, iam=True) as local, closing(Relay(local)) as relay:
        events = relay.aws("events")
        for rule in events.list_rules()["Rules"]:
            if "ScheduleExpression" in rule:  # sweep's: what it published within the minute would hide who may not
                events.disable_rule(Name=rule["Name"])
        yield relay


@pytest.fixture(scope="module")
def bus(relay: Relay) -> Callable[[str], dict[str, Any]]:
    """Put a queue behind the bus; return what waits for an event's entry and returns its detail."""
    sqs, events = relay.aws("sqs"), relay.aws("events")
    url = sqs.create_queue(QueueName="ledger")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    rule = events.put_rule(Name="ledger", EventPattern='{"source":["relay.github"]}')["RuleArn"]
    allowed = {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": rule}},
        },
    }
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(allowed)})
    events.put_targets(Rule="ledger", Targets=[{"Id": "ledger", "Arn": arn}])
    seen: dict[str, dict[str, Any]] = {}

    def entry(event_id: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
                detail = json.loads(message["Body"])["detail"]
                seen[detail["event_id"]] = detail
            return seen.get(event_id)

        return eventually(look, f"{event_id} is on the bus")

    return entry


@pytest.fixture(scope="module")
def event_id(relay: Relay, bus: Callable[[str], dict[str, Any]]) -> str:  # noqa: ARG001  # it must listen first
    """Post a webhook whose body goes to the bucket; return its event."""
    answer = relay.push(LARGE)
    assert answer.status_code == 202, answer.text
    accepted: str = answer.json()["event_id"]
    return accepted


@pytest.fixture(scope="module")
def targets(relay: Relay) -> dict[str, Call]:
    """Make two targets of each kind, `named` in the configuration and `other`; return how each kind is asked."""
    account = "000000000000"
    arn = f"arn:aws:{{}}:{relay.local.region}:{account}:{{}}{{}}"
    role = f"arn:aws:iam::{account}:role/any"
    code = BytesIO()
    with ZipFile(code, "w") as zipped:
        zipped.writestr("it.py", "def handler(event, context): pass")
    relay.aws("iam").create_role(
        RoleName="any", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": []})
    )
    for name in ("named", "other"):
        relay.aws("sqs").create_queue(QueueName=name)
        relay.aws("sns").create_topic(Name=name)
        relay.aws("stepfunctions").create_state_machine(name=name, definition=MACHINE, roleArn=role)
        relay.aws("s3").create_bucket(Bucket=f"{name}-archive")
        relay.aws("events").create_event_bus(Name=name)
        relay.aws("lambda").create_function(
            FunctionName=name, Runtime="python3.13", Handler="it.handler", Role=role, Code={"ZipFile": code.getvalue()}
        )
    return {
        "queue": ("sqs", lambda it, name: it.get_queue_url(QueueName=name)),
        "topic": ("sns", lambda it, name: it.publish(TopicArn=arn.format("sns", "", name), Message="a")),
        "function": ("lambda", lambda it, name: it.invoke(FunctionName=name, InvocationType="Event")),
        "machine": (
            "stepfunctions",
            lambda it, name: it.start_execution(stateMachineArn=arn.format("states", "stateMachine:", name)),
        ),
        "bucket": ("s3", lambda it, name: it.put_object(Bucket=f"{name}-archive", Key="in/a")),
        "bus": ("events", lambda it, name: it.put_events(Entries=[ENTRY | {"EventBusName": name}])),
    }


# -- roles ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b'{"action":"opened"}', LARGE], ids=["small", "large"])
def test_ingest_may_read_its_secrets_save_an_event_with_its_body_and_publish_it(relay: Relay, body: bytes) -> None:
    """202 says that it is saved; `published`, that QStash's token was readable and its answer recorded."""
    answer = relay.push(body)

    assert answer.status_code == 202, answer.text
    assert relay.event(answer.json()["event_id"])["published"] is True


def test_ingest_may_keep_what_it_refuses_find_it_and_forget_it(relay: Relay) -> None:
    """And an operator may have it do so; of what is gone it is said that it is, not that it is forbidden."""
    body = b'{"action":"kept"}'
    signature = "sha256=" + hmac.new(b"another key", body, hashlib.sha256).hexdigest()

    refused = relay.push(body, x_hub_signature_256=signature)
    shown = relay.ask("sources/github/quarantine")
    (kept,) = shown.raise_for_status().json()["requests"]
    answer = relay.turn_quarantine("github", action="discard", ids=[kept["id"], "ab" * 16])

    assert (refused.status_code, kept["outcome"]) == (401, "refused")
    assert answer.status_code == 200, answer.text
    assert [it["outcome"] for it in answer.json()["requests"]] == ["discarded", "gone"]
    assert relay.ask("sources/github/quarantine").json()["requests"] == []


def test_sync_may_read_the_token_and_keep_the_keys(relay: Relay) -> None:
    """The deploy succeeded, and what sync had to leave behind is there; an AWS target beside a URL is in no group."""
    held = {it["name"]: it["endpoints"] for it in relay.qstash("/v2/topics")}
    table = relay.aws("dynamodb")
    kept = table.get_item(TableName=relay.local.table_name, Key={"pk": {"S": "KEYS"}, "sk": {"S": "KEYS"}})["Item"]

    assert {it["name"] for it in held["gate.all"]} == {"builder"}
    assert kept["current"]["S"] == relay.local.qstash_current_signing_key
    assert kept["next"]["S"] == relay.local.qstash_next_signing_key


def test_sync_may_ask_whether_anything_is_in_flight(relay: Relay) -> None:
    """It does before a queue goes; then, or since something is, it has done all that there is to do."""
    relay.qstash("/v2/queues", "POST", queueName="gate.old", parallelism=1)

    done = relay.mend()

    assert [it["change"] for it in done["done"]] in ([], ["remove queue gate.old"])


def test_record_may_write_what_qstash_reports(relay: Relay, builder: Destinations, event_id: str) -> None:
    """A delivery is delivered once its callback is recorded."""
    delivery = relay.delivery(event_id, "builder", "delivered")

    assert [it["status_code"] for it in delivery["attempts"]] == [200]
    assert [it.body for it in builder.received("builder", event_id)] == [LARGE]


def test_deliver_may_read_the_body_hand_it_over_and_record_that(
    relay: Relay, bus: Callable[[str], dict[str, Any]], event_id: str
) -> None:
    """The bus gets the event, and the delivery says when."""
    detail = bus(event_id)

    assert detail["body"] == json.loads(LARGE)
    assert relay.delivery(event_id, "ledger", "delivered")["received_at"] is not None


def test_deliver_may_reach_each_named_target(relay: Relay, targets: dict[str, Call]) -> None:
    """A delivery counts as delivered once its target took it."""
    event = relay.send("acme", b"{}", content_type="application/json").json()["event_id"]

    for name in targets:
        relay.delivery(event, name, "delivered")


@pytest.mark.parametrize("name", ["queue", "topic", "function", "machine", "bucket", "bus"])
def test_deliver_may_reach_no_target_that_is_not_named(relay: Relay, targets: dict[str, Call], name: str) -> None:
    """Of the same kind, by the same call: with the role's own key, since its function asks for none but the named."""
    service, call = targets[name]
    functions = relay.aws("lambda").list_functions()["Functions"]
    (function,) = [it for it in functions if it["FunctionName"].startswith("gate-Deliver")]
    role = relay.aws("sts").assume_role(RoleArn=function["Role"], RoleSessionName="gate")["Credentials"]
    deliver = boto3.client(
        service,  # type: ignore[call-overload]  # the service is a value here
        relay.local.region,
        endpoint_url=relay.local.aws_endpoint_url,
        aws_access_key_id=role["AccessKeyId"],
        aws_secret_access_key=role["SecretAccessKey"],
        aws_session_token=role["SessionToken"],
    )

    call(deliver, "named")
    with pytest.raises(ClientError, match=r"AccessDenied|not authorized"):
        call(deliver, "other")


def test_claim_may_look_the_event_up_and_sign_for_its_body(relay: Relay, builder: Destinations) -> None:
    """The presigned URL does what the role of who signed it may."""
    body = json.dumps({"action": "opened", "padding": "x" * 1_100_000}).encode()
    (got,) = builder.await_received("builder", 1, event_id=relay.push(body).json()["event_id"], timeout_s=SETTLED_S)

    answer = httpx.get(json.loads(got.body)["url"], follow_redirects=True, trust_env=False, timeout=20)

    assert answer.content == body


def test_query_may_read_the_table_its_indexes_and_the_body(relay: Relay, event_id: str) -> None:
    """Every question that an operator can ask."""
    shown = relay.ask(f"events/{event_id}", body="true")
    lists = {path: relay.ask(path) for path in ("events", "deliveries", "config")}

    assert shown.status_code == 200, shown.text
    assert shown.json()["body"].encode() == LARGE
    assert {path: it.status_code for path, it in lists.items()} == dict.fromkeys(lists, 200)
    assert event_id in [it["id"] for it in lists["events"].json()["events"]]


def test_query_may_start_a_replay_and_wake_sweep_which_may_publish_it(relay: Relay, builder: Destinations) -> None:
    """From a dead letter to a delivery, by way of query, sweep and QStash; nothing else wakes sweep here."""
    builder.behave("builder", DEAD)
    event = relay.push(LARGE).json()["event_id"]
    dead = relay.delivery(event, "builder", "dead_lettered")
    builder.behave("builder", HEALTHY)

    answer = relay.replay(delivery_ids=[dead["id"]], reason="repaired")

    assert answer.status_code == 202, answer.text
    delivered = relay.delivery(event, "builder", "delivered")
    assert [it["status_code"] for it in delivered["attempts"]] == [503, 200]
    assert [it.body for it in builder.received("builder", event)] == [LARGE, LARGE]


def test_sweep_may_take_its_lease_and_look_for_what_is_due(relay: Relay) -> None:
    """It reports no failure; where it was already running, it is asked again."""
    done = eventually(lambda: _sweep(relay), "sweep ran")

    assert "FunctionError" not in done, done
    assert done["failed"] == 0


def test_a_role_without_its_grants_is_refused(relay: Relay) -> None:
    """Else nothing above says anything: the local AWS must judge the roles of functions."""
    iam = relay.aws("iam")
    function = relay.local.outputs["SweepFunction"]
    role = relay.aws("lambda").get_function_configuration(FunctionName=function)["Role"].rpartition("/")[2]
    policies = {
        name: iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
    }
    assert policies
    try:
        for name in policies:
            iam.delete_role_policy(RoleName=role, PolicyName=name)
        done = eventually(lambda: _sweep(relay), "sweep ran")
    finally:
        for name, document in policies.items():
            iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document))

    assert "AccessDenied" in json.dumps(done)


def _sweep(relay: Relay) -> dict[str, Any] | None:
    """Invoke sweep; return what it says, with FunctionError where it failed, or None where another run holds on."""
    answer = relay.aws("lambda").invoke(FunctionName=relay.local.outputs["SweepFunction"], Payload=b"{}")
    said: dict[str, Any] = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        return said | {"FunctionError": answer["FunctionError"]}
    return None if said["skipped"] else said


# -- callers of /v1 ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["events", "events/rly_x", "deliveries", "config"])
def test_an_unsigned_question_is_refused(relay: Relay, path: str) -> None:
    """No route of /v1 is open."""
    answer = httpx.get(f"{relay.local.relay_url}/v1/{path}", trust_env=False)

    assert answer.status_code == 403


def test_an_unsigned_replay_is_refused(relay: Relay) -> None:
    """Nor is the one that changes something."""
    answer = httpx.post(f"{relay.local.relay_url}/v1/replays", json={"delivery_ids": ["dlv_x"]}, trust_env=False)

    assert answer.status_code == 403


def test_an_operators_key_with_a_wrong_secret_is_refused(relay: Relay) -> None:
    """The signature is checked, not only the key's name."""
    wrong = relay.local.secret_access_key[::-1]

    with _as(relay, relay.local.access_key_id, wrong) as operator:
        answer = operator.ask("config")

    assert answer.status_code == 403


def test_an_unknown_key_is_refused(relay: Relay) -> None:
    """A well-formed signature of nobody's."""
    with _as(relay, "AKIA" + "Q" * 16, "x" * 40) as nobody:
        answer = nobody.ask("config")

    assert answer.status_code == 403


def test_a_signature_that_covers_another_path_is_refused(relay: Relay) -> None:
    """Who overhears one question can't ask another."""
    local = relay.local
    request = AWSRequest(method="GET", url=f"{local.relay_url}/v1/config")
    SigV4Auth(Credentials(local.access_key_id, local.secret_access_key), "execute-api", local.region).add_auth(request)

    headers = dict(request.headers.items())
    answer = httpx.get(f"{local.relay_url}/v1/events", headers=headers, trust_env=False)

    assert answer.status_code == 403


def test_a_principal_of_the_account_without_the_policy_is_refused(relay: Relay) -> None:
    """To be of the account isn't enough."""
    with _principal(relay, "stranger") as stranger:
        answers = stranger.ask("config"), stranger.replay(delivery_ids=["dlv_x"])

    assert [it.status_code for it in answers] == [403, 403]


def test_the_read_policy_lets_its_holder_ask_and_not_replay(relay: Relay) -> None:
    """A replay calls other people's systems: it takes the other policy."""
    with _principal(relay, "reader", relay.local.outputs["OperatorReadPolicy"]) as reader:
        answers = reader.ask("config"), reader.replay(delivery_ids=["dlv_x"])

    assert [it.status_code for it in answers] == [200, 403]


def test_the_operate_policy_lets_its_holder_replay(relay: Relay) -> None:
    """The relay itself answers: there is no such delivery."""
    assert relay.replay(delivery_ids=["dlv_x"]).status_code in {400, 404}


def _as(relay: Relay, key: str, secret: str) -> closing[Relay]:
    """Return the relay as the holder of another key sees it."""
    return closing(Relay(replace(relay.local, access_key_id=key, secret_access_key=secret)))


def _principal(relay: Relay, name: str, *policies: str) -> closing[Relay]:
    """Make an IAM user with the managed *policies*; return the relay as they see it."""
    iam = client("iam", relay.local.aws_endpoint_url)
    iam.create_user(UserName=name)
    for policy in policies:
        iam.attach_user_policy(UserName=name, PolicyArn=policy)
    made = iam.create_access_key(UserName=name)["AccessKey"]
    return _as(relay, made["AccessKeyId"], made["SecretAccessKey"])


def test_the_operate_policy_is_all_that_the_command_needs(relay: Relay) -> None:
    """It finds the relay by its stack's name, and asks."""
    command = [str(Path(sys.executable).with_name("relay")), "event", "list", "--json"]
    environment = {**os.environ, **relay.local.environment()}

    shown = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603

    assert (shown.returncode, shown.stderr) == (0, "")
