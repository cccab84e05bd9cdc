"""Each role may do exactly this, and nothing else: a change of any permission must change this file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.infra.conftest import CONFIG, synthesize

if TYPE_CHECKING:
    from pathlib import Path

    from tests.infra.conftest import Synthesized

RECORDS = (
    sorted(
        f"dynamodb:{verb}"
        for verb in (
            *("GetItem", "Query"),
            *("PutItem", "UpdateItem"),
        )
    ),
    ["<StorageTable>"],
)
READ = (["dynamodb:GetItem", "dynamodb:Query"], ["<StorageTable>"])
INDEXES = (["dynamodb:Query"], ["<StorageTable>/index/*"])
SAVE_BODIES = (["s3:PutObject"], ["<StorageBucket>/bodies/*"])
READ_BODIES = (["s3:GetObject"], ["<StorageBucket>/bodies/*"])
SECRET = "arn:<AWS::Partition>:secretsmanager:<AWS::Region>:<AWS::AccountId>:secret:shop"
TOKEN = (["secretsmanager:GetSecretValue"], [f"{SECRET}/qstash", f"{SECRET}/qstash-??????"])
BUS = "arn:<AWS::Partition>:events:<AWS::Region>:<AWS::AccountId>:event-bus"
TRACES = (["xray:PutTelemetryRecords", "xray:PutTraceSegments"], ["*"])  # X-Ray has nothing narrower


def writes(*keys: str) -> tuple[Any, ...]:
    """Return what lets a function write under *keys* alone."""
    condition = {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": [*keys]}}
    return ["dynamodb:PutItem", "dynamodb:UpdateItem"], ["<StorageTable>"], condition


EXPECTED = {
    "ingest": {
        "Read": READ,
        "Write": writes("rly_*", "SEEN#*", "REPLAY#*", "REFUSAL#*", "QUARANTINE#*", "HANDSHAKE"),
        "SaveBodies": SAVE_BODIES,
        "Spool": (["s3:PutObject"], ["<StorageBucket>/spool/*"]),
        "QStashToken": TOKEN,
        "SigningSecrets": (
            ["secretsmanager:GetSecretValue"],
            [f"{SECRET}/sources", f"{SECRET}/sources-??????"],
        ),
    },
    "record": {"Read": READ, "Write": writes("rly_*", "ORPHAN#*", "COUNT")},
    "deliver": {
        "Read": READ,
        "Write": writes("rly_*"),
        "ReadBodies": READ_BODIES,
        "HandOverEventbridge": (["events:PutEvents"], [f"{BUS}/accounting", f"{BUS}/default"]),
    },
    "claim": {"LookUp": (["dynamodb:GetItem"], ["<StorageTable>"]), "ReadBodies": READ_BODIES},
    "query": {
        "Records": RECORDS,
        "Indexes": INDEXES,
        "ReadBodies": READ_BODIES,
        "FindSpooled": (["s3:ListBucket"], ["<StorageBucket>"], {"StringLike": {"s3:prefix": "spool/*"}}),
        "WakeSweep": (["lambda:InvokeFunction"], ["<Sweep>"]),
    },
    "sweep": {
        "Records": RECORDS,
        "Indexes": INDEXES,
        "ReadBodies": READ_BODIES,
        "SaveBodies": SAVE_BODIES,
        "TakeIn": (["s3:DeleteObject", "s3:GetObject"], ["<StorageBucket>/spool/*"]),
        "FindSpooled": (["s3:ListBucket"], ["<StorageBucket>"]),
        "QStashToken": TOKEN,
    },
    "audit": {"Records": RECORDS, "Indexes": INDEXES, "QStashToken": TOKEN},
    "sync": {"Records": RECORDS, "Indexes": INDEXES, "QStashToken": TOKEN},
    "preflight": {"FindStack": (["cloudformation:DescribeStacks"], ["<AWS::StackId>"]), "QStashToken": TOKEN},
}


TARGETS = """
[url_groups.aws.destinations]
queue = { sqs = "orders" }
fifo = { sqs = "orders.fifo", group_id = "body.account" }
topic = { sns = "orders" }
function = { lambda = "ship" }
machine = { step_functions = "order" }
bucket = { s3 = "archive", prefix = "in/" }
far = { sqs = "arn:aws:sqs:eu-west-1:111122223333:orders" }
"""


def test_deliver_may_reach_the_targets_that_are_named_and_no_other(tmp_path: Path) -> None:
    """Each by the one action that hands a delivery over to it."""
    config = CONFIG.replace('to = ["audit", "ci"]', 'to = ["audit", "ci", "aws"]') + TARGETS
    arn = "arn:<AWS::Partition>:{}:<AWS::Region>:<AWS::AccountId>:{}"

    granted = synthesize(tmp_path, config, local=False).statements("deliver")

    assert {name: it for name, it in granted.items() if name.startswith("HandOver")} == {
        "HandOverEventbridge": (["events:PutEvents"], [f"{BUS}/accounting", f"{BUS}/default"]),
        "HandOverSqs": (
            ["sqs:GetQueueUrl", "sqs:SendMessage"],
            [
                arn.format("sqs", "orders"),
                arn.format("sqs", "orders.fifo"),
                "arn:aws:sqs:eu-west-1:111122223333:orders",
            ],
        ),
        "HandOverSns": (["sns:Publish"], [arn.format("sns", "orders")]),
        "HandOverLambda": (["lambda:InvokeFunction"], [arn.format("lambda", "function:ship")]),
        "HandOverStepFunctions": (["states:StartExecution"], [arn.format("states", "stateMachine:order")]),
        "HandOverS3": (["s3:PutObject"], ["arn:<AWS::Partition>:s3:::archive/in/*"]),
    }


@pytest.mark.parametrize("verb", EXPECTED)
def test_a_function_may_do_exactly_what_its_verb_needs(real: Synthesized, verb: str) -> None:
    logs = (["logs:CreateLogStream", "logs:PutLogEvents"], [f"<{verb.capitalize()}Logs>"])

    assert real.statements(verb) == {**EXPECTED[verb], "Logs": logs}


@pytest.mark.parametrize("verb", EXPECTED)
def test_a_function_has_a_role_of_its_own_without_managed_policies(real: Synthesized, verb: str) -> None:
    role_id = real.function(verb)["Properties"]["Role"]["Fn::GetAtt"][0]
    others = [it for it in EXPECTED if it != verb]

    role = real.template["Resources"][role_id]["Properties"]

    assert set(role) == {"AssumeRolePolicyDocument"}
    assert role["AssumeRolePolicyDocument"]["Statement"] == [
        {"Action": "sts:AssumeRole", "Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}}
    ]
    assert role_id not in [real.function(it)["Properties"]["Role"]["Fn::GetAtt"][0] for it in others]


def test_there_are_no_roles_and_policies_but_the_functions_and_the_custom_resources(real: Synthesized) -> None:
    assert len(real.of_type("AWS::IAM::Role")) == len(EXPECTED) + 2
    assert len(real.of_type("AWS::IAM::Policy")) == len(EXPECTED) + 2
    for provider in ("QStashProvider", "BeforeProvider"):
        (framework,) = [it for id_, it in real.of_type("AWS::IAM::Policy").items() if id_.startswith(provider)]
        actions = {str(it["Action"]) for it in framework["Properties"]["PolicyDocument"]["Statement"]}
        assert actions == {"lambda:InvokeFunction", "lambda:GetFunction"}


@pytest.mark.parametrize(
    ("policy", "routes"),
    [
        ("OperatorRead", ["GET/v1/*"]),
        (
            "OperatorOperate",
            [
                *("GET/v1/*", "POST/v1/destinations/*", "POST/v1/replays", "POST/v1/replays/*"),
                *("POST/v1/sources/*/quarantine", "POST/v1/sync"),
            ],
        ),
    ],
)
def test_an_operators_policy_opens_these_routes_and_finds_this_stack(
    real: Synthesized, policy: str, routes: list[str]
) -> None:
    (managed,) = [it for id_, it in real.of_type("AWS::IAM::ManagedPolicy").items() if policy in id_]
    api = "arn:<AWS::Partition>:execute-api:<AWS::Region>:<AWS::AccountId>:<GatewayApi>/$default"

    ask, find = managed["Properties"]["PolicyDocument"]["Statement"]

    resources = ask["Resource"] if isinstance(ask["Resource"], list) else [ask["Resource"]]
    assert ask["Action"] == "execute-api:Invoke"
    assert [real.plain(one) for one in resources] == [f"{api}/{route}" for route in routes]
    assert find["Action"] == "cloudformation:DescribeStacks"
    assert real.plain(find["Resource"]).endswith(":stack/shop/*")
