"""What the stack promises of storage, functions, routes, order, alarms and outputs: the local AWS drops much of it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from infra.stack.gateway import COUNTED
from relay.runtime.metrics import Metric
from tests.infra.conftest import CONFIG, ROOT, synthesize
from tests.infra.test_permissions import TRACES

if TYPE_CHECKING:
    from pathlib import Path

    from tests.infra.conftest import Synthesized

VERBS = {
    # verb: (timeout in s, memory in MB, what its environment names beside the usual)
    "ingest": (29, 1024, {"RELAY_QSTASH_SECRET": "shop/qstash", "RELAY_SOURCES_SECRET": "shop/sources"}),
    "record": (15, 512, {}),
    "deliver": (29, 512, {"RELAY_ACCOUNT": "<AWS::AccountId>", "RELAY_PARTITION": "<AWS::Partition>"}),
    "claim": (15, 512, {}),
    "query": (29, 512, {"RELAY_SWEEP_FUNCTION": "<Sweep>"}),
    "sweep": (55, 512, {"RELAY_QSTASH_SECRET": "shop/qstash"}),
    "audit": (120, 512, {"RELAY_QSTASH_SECRET": "shop/qstash"}),
    "sync": (300, 512, {"RELAY_QSTASH_SECRET": "shop/qstash"}),
}
URL = "https://<GatewayApi>.execute-api.<AWS::Region>.<AWS::URLSuffix>"

# -- storage ------------------------------------------------------------------------------------------------------


def test_the_table_forgets_by_itself_and_by_nothing_else(real: Synthesized) -> None:
    table = real.one("AWS::DynamoDB::Table")

    properties = table["Properties"]

    assert properties["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert properties["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert properties["DeletionProtectionEnabled"] is True
    assert properties["BillingMode"] == "PAY_PER_REQUEST"
    assert (table["DeletionPolicy"], table["UpdateReplacePolicy"]) == ("Retain", "Retain")
    assert "SSESpecification" not in properties  # DynamoDB's own key: always on, free


def test_the_table_has_these_keys_and_indexes(real: Synthesized) -> None:
    properties = real.one("AWS::DynamoDB::Table")["Properties"]

    indexes = {it["IndexName"]: it for it in properties["GlobalSecondaryIndexes"]}

    assert _keys(properties) == ["pk", "sk"]
    assert {name: _keys(it) for name, it in indexes.items()} == {
        "feed": ["feed_pk", "feed_sk"],
        "due": ["due_pk", "due_sk"],
    }
    assert indexes["due"]["Projection"] == {"ProjectionType": "KEYS_ONLY"}
    assert {"status", "received_at", "expires_at"} <= set(indexes["feed"]["Projection"]["NonKeyAttributes"])
    assert len(properties["GlobalSecondaryIndexes"]) == 2
    assert {it["AttributeType"] for it in properties["AttributeDefinitions"]} == {"S"}


def _keys(properties: dict[str, Any]) -> list[str]:
    return [it["AttributeName"] for it in properties["KeySchema"]]


def test_the_bucket_is_private_encrypted_and_kept(real: Synthesized) -> None:
    bucket = real.one("AWS::S3::Bucket")

    properties = bucket["Properties"]

    assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(properties["PublicAccessBlockConfiguration"]) == 4
    rules = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rules == [{"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
    assert properties["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    assert (bucket["DeletionPolicy"], bucket["UpdateReplacePolicy"]) == ("Retain", "Retain")


def test_the_bucket_refuses_requests_without_tls(real: Synthesized) -> None:
    (statement,) = real.one("AWS::S3::BucketPolicy")["Properties"]["PolicyDocument"]["Statement"]

    assert (statement["Effect"], statement["Action"], statement["Principal"]) == ("Deny", "s3:*", {"AWS": "*"})
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert [real.plain(it) for it in statement["Resource"]] == ["<StorageBucket>", "<StorageBucket>/*"]


def test_bodies_go_a_day_after_their_records(real: Synthesized) -> None:
    rules = real.one("AWS::S3::Bucket")["Properties"]["LifecycleConfiguration"]["Rules"]

    kept = {it["Prefix"]: (it["ExpirationInDays"], it["Status"]) for it in rules if "Prefix" in it}

    assert kept == {"bodies/": (15, "Enabled"), "spool/": (15, "Enabled"), "quarantine/": (31, "Enabled")}


def test_what_is_deleted_or_overwritten_in_the_bucket_can_be_had_back_for_a_while_and_then_is_gone(
    real: Synthesized,
) -> None:
    """An expiration only puts a marker before a version: versions and markers need an end of their own."""
    properties = real.one("AWS::S3::Bucket")["Properties"]
    rules = [it for it in properties["LifecycleConfiguration"]["Rules"] if it["Status"] == "Enabled"]

    ends = {it["Prefix"]: it["NoncurrentVersionExpiration"] for it in rules if "NoncurrentVersionExpiration" in it}
    (markers,) = [it for it in rules if it.get("ExpiredObjectDeleteMarker")]

    assert properties["VersioningConfiguration"] == {"Status": "Enabled"}
    assert ends == {
        "bodies/": {"NoncurrentDays": 1},
        "spool/": {"NoncurrentDays": 7},
        "quarantine/": {"NoncurrentDays": 1},
    }
    assert set(markers) == {"Id", "Status", "ExpiredObjectDeleteMarker"}  # S3 takes no days beside it


def test_no_function_may_delete_a_version_or_change_how_long_the_bucket_keeps_them(real: Synthesized) -> None:
    allowed = {action for verb in VERBS for actions, *_ in real.statements(verb).values() for action in actions}

    assert {it for it in allowed if it.startswith("s3:")} == {
        *("s3:PutObject", "s3:GetObject", "s3:ListBucket"),
        "s3:DeleteObject",  # which leaves a marker, and the version behind it
    }


# -- functions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", VERBS)
def test_a_function_runs_on_python_3_13_on_arm_within_its_limits(real: Synthesized, verb: str) -> None:
    timeout_s, memory_mb, _ = VERBS[verb]

    properties = real.function(verb)["Properties"]

    assert (properties["Runtime"], properties["Architectures"]) == ("python3.13", ["arm64"])
    assert (properties["Timeout"], properties["MemorySize"]) == (timeout_s, memory_mb)
    assert "TracingConfig" not in properties
    assert "ReservedConcurrentExecutions" not in properties  # a limit that nobody set would lose webhooks
    assert "FunctionName" not in properties


def test_x_ray_traces_every_function_where_the_configuration_says_so(tmp_path: Path) -> None:
    """And none where it doesn't, for AWS charges for traces: no mode, and no permission to write any."""
    traced = synthesize(tmp_path, CONFIG.replace("[relay]\n", "[relay]\ntracing = true\n"), local=False)

    for verb in (*VERBS, "preflight"):
        assert traced.function(verb)["Properties"]["TracingConfig"] == {"Mode": "Active"}
        assert traced.statements(verb)[""] == TRACES


@pytest.mark.parametrize("verb", VERBS)
def test_a_functions_environment_names_what_it_needs_and_holds_no_secret(real: Synthesized, verb: str) -> None:
    variables = real.function(verb)["Properties"]["Environment"]["Variables"]

    assert {name: real.plain(it) for name, it in variables.items()} == {
        "RELAY_TABLE": "<StorageTable>",
        "RELAY_BUCKET": "<StorageBucket>",
        "RELAY_BASE_URLS": URL,
        "POWERTOOLS_SERVICE_NAME": verb,
        "POWERTOOLS_METRICS_NAMESPACE": "FanoutRelay",
        "POWERTOOLS_LOG_LEVEL": "INFO",
        **VERBS[verb][2],
    }


def test_every_function_is_one_of_the_verbs_or_the_custom_resources(real: Synthesized) -> None:
    handlers = sorted(it["Properties"]["Handler"] for it in real.of_type("AWS::Lambda::Function").values())

    framework = ["framework.onEvent"] * 2
    assert handlers == sorted([*(f"{verb}.handler" for verb in VERBS), "preflight.handler", *framework])


def test_every_function_writes_to_a_log_group_that_forgets_after_a_month(real: Synthesized) -> None:
    groups = real.of_type("AWS::Logs::LogGroup")

    functions = real.of_type("AWS::Lambda::Function").values()
    used = [it["Properties"]["LoggingConfig"]["LogGroup"]["Ref"] for it in functions]

    assert len(used) == len(set(used))
    assert set(used) < groups.keys()
    assert {it["Properties"]["RetentionInDays"] for it in groups.values()} == {30}


def test_nothing_calls_a_function_twice_by_itself(real: Synthesized) -> None:
    limits = real.of_type("AWS::Lambda::EventInvokeConfig").values()

    assert len(limits) == len(VERBS) + 1  # and the preflight
    assert {it["Properties"]["MaximumRetryAttempts"] for it in limits} == {0}


def test_sweep_and_audit_run_by_the_clock_without_retries(real: Synthesized) -> None:
    rules = [it["Properties"] for it in real.of_type("AWS::Events::Rule").values()]

    runs = {
        rule["ScheduleExpression"]: [(real.plain(target["Arn"]), target["RetryPolicy"]) for target in rule["Targets"]]
        for rule in rules
    }

    never = {"MaximumRetryAttempts": 0}
    assert runs == {"rate(1 minute)": [("<Sweep>", never)], "rate(5 minutes)": [("<Audit>", never)]}
    assert {it["State"] for it in rules} == {"ENABLED"}


def test_several_sweeps_a_minute_can_share_what_is_due(tmp_path_factory: pytest.TempPathFactory) -> None:
    from tests.infra.conftest import CONFIG, synthesize

    config = CONFIG.replace("[relay]", "[relay]\nsweeps = 3")
    stack = synthesize(tmp_path_factory.mktemp("sweeps"), config, local=True)

    rules = [it["Properties"] for it in stack.of_type("AWS::Events::Rule").values()]

    assert sorted(len(it["Targets"]) for it in rules) == [1, 3]


# -- the front door -----------------------------------------------------------------------------------------------

OPEN = {
    "ANY /webhooks/{source}": "<Ingest>",
    "$default": "<Ingest>",
    "POST /qstash/callback/{proxy+}": "<Record>",
    "POST /qstash/failure/{proxy+}": "<Record>",
    "POST /qstash/deliver/{destination}": "<Deliver>",
    "GET /claims/{event_id}/{sha256}/{mac}": "<Claim>",
    "HEAD /claims/{event_id}/{sha256}/{mac}": "<Claim>",
}
GUARDED = {
    "GET /v1/events": "<Query>",
    "GET /v1/events/{event_id}": "<Query>",
    "GET /v1/deliveries": "<Query>",
    "GET /v1/config": "<Query>",
    "GET /v1/destinations": "<Query>",
    "GET /v1/destinations/{destination}": "<Query>",
    "POST /v1/destinations/{destination}": "<Query>",
    "GET /v1/sources/{source}/refusals": "<Query>",
    "GET /v1/audit": "<Query>",
    "POST /v1/replays": "<Query>",
    "GET /v1/replays": "<Query>",
    "GET /v1/replays/{replay_id}": "<Query>",
    "POST /v1/replays/{replay_id}": "<Query>",
    "GET /v1/sync": "<Sync>",
    "POST /v1/sync": "<Sync>",
}


def test_these_routes_are_open_and_those_ask_iam(real: Synthesized) -> None:
    routes = [it["Properties"] for it in real.of_type("AWS::ApiGatewayV2::Route").values()]

    authorized = {it["RouteKey"]: it["AuthorizationType"] for it in routes}

    assert authorized == {**dict.fromkeys(OPEN, "NONE"), **dict.fromkeys(GUARDED, "AWS_IAM")}


def test_every_route_goes_to_its_function_in_payload_format_2(real: Synthesized) -> None:
    routes = [it["Properties"] for it in real.of_type("AWS::ApiGatewayV2::Route").values()]
    goes = {}
    for route in routes:
        integration = real.template["Resources"][route["Target"]["Fn::Join"][1][1]["Ref"]]["Properties"]
        assert integration["PayloadFormatVersion"] == "2.0"
        goes[route["RouteKey"]] = real.plain(integration["IntegrationUri"])

    assert goes == {**OPEN, **GUARDED}


def test_the_stage_limits_nothing_and_logs_no_path(real: Synthesized) -> None:
    stage = real.one("AWS::ApiGatewayV2::Stage")["Properties"]

    logged = json.loads(stage["AccessLogSettings"]["Format"])

    assert (stage["StageName"], stage["AutoDeploy"]) == ("$default", True)
    assert not {"DefaultRouteSettings", "RouteSettings"} & set(stage)
    assert real.plain(stage["AccessLogSettings"]["DestinationArn"]) == "<GatewayAccessLogs>"
    assert {"request_id", "route", "status", "error"} <= set(logged)
    # A callback's path holds a MAC.
    assert not re.search(r"\$context\.(path|requestPath|customDomain|http\.path)", stage["AccessLogSettings"]["Format"])


# -- sync ---------------------------------------------------------------------------------------------------------


def test_sync_is_told_the_whole_desired_state_in_one_property(real: Synthesized) -> None:
    properties = real.one("Custom::QStash")["Properties"]

    desired = json.loads(real.plain(properties["Desired"]))

    assert desired == {
        "relay": "shop",
        "groups": {
            "shop.audit": [
                {"name": "ledger", "url": f"{URL}/qstash/deliver/ledger"},
                {"name": "books", "url": f"{URL}/qstash/deliver/books"},
            ],
            "shop.ci": [{"name": "builder", "url": "https://ci.example.com/hooks/github"}],
        },
        "alone": {},
        "schedules": {},
        "queues": {},
        "flow_controls": {},
    }
    assert set(properties) == {"ServiceToken", "ServiceTimeout", "Desired"}
    assert VERBS["sync"][0] < int(properties["ServiceTimeout"]) < 3600


def test_whatever_stays_after_a_failed_first_deploy_is_made_once_the_preflight_has_succeeded(
    real: Synthesized,
) -> None:
    """And the preflight waits for nothing that stays, or it would come too late."""
    resources = real.template["Resources"]
    (preflight,) = real.of_type("Custom::Preflight")
    stays = {id_ for id_, it in resources.items() if it.get("DeletionPolicy", "Delete") != "Delete"}

    late = {id_ for id_ in stays if preflight not in _needed_for(id_, resources)}

    assert {resources[id_]["Type"] for id_ in stays} == {"AWS::DynamoDB::Table", "AWS::S3::Bucket"}
    assert late == set()
    assert _needed_for(preflight, resources) & stays == set()


def _needed_for(id_: str, resources: dict[str, Any]) -> set[str]:
    """Return the logical ids of all that is there before *id_* is made."""
    found: set[str] = set()
    todo = [id_]
    while todo:
        names = set(re.findall(r'"([A-Za-z0-9]+)"', json.dumps(resources[todo.pop()]))) & resources.keys()
        todo += names - found
        found |= names
    return found


def test_the_preflight_is_told_what_it_looks_at_and_has_nothing_of_storage(real: Synthesized) -> None:
    properties = real.one("Custom::Preflight")["Properties"]
    function = real.function("preflight")["Properties"]

    assert {name: it for name, it in properties.items() if name != "ServiceToken"} == {
        "ServiceTimeout": "180",
        "Relay": "shop",
        "Secret": "shop/qstash",
    }
    assert function["Timeout"] < int(properties["ServiceTimeout"])
    assert not [it for it in function["Environment"]["Variables"] if it.startswith("RELAY_")]


def test_qstash_changes_before_the_functions_do(real: Synthesized) -> None:
    (sync,) = real.of_type("Custom::QStash")
    (table,) = real.of_type("AWS::DynamoDB::Table")

    waits = {verb: sync in real.function(verb).get("DependsOn", []) for verb in VERBS}

    assert waits == {**dict.fromkeys(VERBS, True), "sync": False}
    assert real.template["Resources"][sync]["DependsOn"] == [table]


def test_an_own_domain_is_given_to_qstash_and_the_apis_url_still_accepted(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    from tests.infra.conftest import CONFIG, LOCAL, synthesize

    config = CONFIG.replace("[relay]", '[relay]\nurl = "https://Hooks.example.com/"')
    stack = synthesize(tmp_path_factory.mktemp("domain"), config, local=True)

    urls = stack.function("record")["Properties"]["Environment"]["Variables"]["RELAY_BASE_URLS"]

    assert urls == f"https://hooks.example.com,{LOCAL['base_url']}"
    assert "https://hooks.example.com/qstash/deliver/ledger" in stack.one("Custom::QStash")["Properties"]["Desired"]
    assert stack.template["Outputs"]["RelayUrl"]["Value"] == "https://hooks.example.com"
    assert stack.template["Outputs"]["ApiUrl"]["Value"] == LOCAL["base_url"]


# -- alarms and outputs -------------------------------------------------------------------------------------------


def test_every_function_has_an_alarm_for_its_errors(real: Synthesized) -> None:
    alarms = [it["Properties"] for it in real.of_type("AWS::CloudWatch::Alarm").values()]

    watched = {
        real.plain(dimension["Value"])
        for alarm in alarms
        if alarm["MetricName"] == "Errors"
        for dimension in alarm["Dimensions"]
    }

    assert watched == {f"<{verb.capitalize()}>" for verb in VERBS}


def test_alarms_watch_what_the_functions_of_this_relay_count(real: Synthesized) -> None:
    """Of this one: an account may have several, and each counts under its own name."""
    alarms = [it["Properties"] for it in real.of_type("AWS::CloudWatch::Alarm").values()]

    own = {
        (alarm["MetricName"], *(f"{one['Name']}={one['Value']}" for one in alarm["Dimensions"])): (
            alarm["Statistic"],
            alarm["Threshold"],
        )
        for alarm in alarms
        if alarm["Namespace"] == "FanoutRelay"
    }

    assert own == {
        ("Unpublishable", "relay=shop", "service=ingest"): ("Sum", 0),
        ("Unpublishable", "relay=shop", "service=sweep"): ("Sum", 0),
        ("RouteFailed", "relay=shop", "service=ingest"): ("Sum", 0),
        ("RouteFailed", "relay=shop", "service=sweep"): ("Sum", 0),
        ("Drift", "relay=shop", "service=audit"): ("Maximum", 0),
        ("Defects", "relay=shop", "service=ingest"): ("Sum", 0),
        ("Defects", "relay=shop", "service=sweep"): ("Sum", 0),
        ("Defects", "relay=shop", "service=audit"): ("Sum", 0),
        ("DeadLettered", "relay=shop", "service=record"): ("Sum", 0),
        ("DeadLettered", "relay=shop", "service=sweep"): ("Sum", 0),
        ("Removed", "relay=shop", "service=sweep"): ("Sum", 0),
        ("Unaccounted", "relay=shop", "service=audit"): ("Maximum", 0),
        ("Orphans", "relay=shop", "service=record"): ("Sum", 0),
        ("DueAge", "relay=shop", "service=sweep"): ("Maximum", 300),
        ("TooLarge", "relay=shop"): ("Sum", 0),
        ("Throttled", "relay=shop"): ("Sum", 0),
        ("SpoolAge", "relay=shop", "service=sweep"): ("Maximum", 900),
    }
    assert {name for name, *_ in own} <= {*COUNTED, *(it.value for it in Metric)}


def test_the_alarm_on_drift_is_on_while_any_look_in_half_an_hour_finds_some(real: Synthesized) -> None:
    """While anything differs there is a look every five minutes; what a deploy is at for seconds is no alarm."""
    (alarm,) = [
        alarm["Properties"]
        for alarm in real.of_type("AWS::CloudWatch::Alarm").values()
        if alarm["Properties"]["MetricName"] == "Drift"
    ]

    assert (alarm["Period"], alarm["EvaluationPeriods"], alarm["TreatMissingData"]) == (900, 2, "notBreaching")
    assert "relay sync --plan" in alarm["AlarmDescription"]


def test_every_alarm_is_of_something_of_this_relay_alone(real: Synthesized) -> None:
    """Two relays in one account share no alarm: each looks at its own functions and API, or at its own name."""
    for alarm in real.of_type("AWS::CloudWatch::Alarm").values():
        dimensions = {it["Name"]: real.plain(it["Value"]) for it in alarm["Properties"]["Dimensions"]}

        assert dimensions.get("relay") == "shop" or dimensions.keys() & {"FunctionName", "ApiId"}, alarm


@pytest.mark.parametrize(("metric", "status"), [("TooLarge", "413"), ("Throttled", "429")])
def test_what_the_gateway_refuses_itself_is_counted_where_no_function_sees_it(
    real: Synthesized, metric: str, status: str
) -> None:
    """From the access log, whose status is text, by the relay that the line names."""
    filters = [it["Properties"] for it in real.of_type("AWS::Logs::MetricFilter").values()]
    logged = json.loads(real.one("AWS::ApiGatewayV2::Stage")["Properties"]["AccessLogSettings"]["Format"])

    (properties,) = [it for it in filters if it["MetricTransformations"][0]["MetricName"] == metric]
    (counted,) = properties["MetricTransformations"]

    assert real.plain(properties["LogGroupName"]) == "<GatewayAccessLogs>"
    assert properties["FilterPattern"] == f'{{ $.status = "{status}" }}'
    assert (logged["status"], logged["relay"]) == ("$context.status", "shop")
    assert (counted["MetricNamespace"], counted["MetricValue"]) == ("FanoutRelay", "1")
    assert counted["Dimensions"] == [{"Key": "relay", "Value": "$.relay"}]


def test_alarms_may_publish_to_the_topic_and_nobody_in_the_clear(real: Synthesized) -> None:
    """A policy of one's own takes the place of SNS's: without the first statement every alarm falls silent."""
    (topic,) = real.of_type("AWS::SNS::Topic")
    policy = real.one("AWS::SNS::TopicPolicy")["Properties"]

    statements = {it["Sid"]: it for it in policy["PolicyDocument"]["Statement"]}

    assert policy["Topics"] == [{"Ref": topic}]
    assert {it["Resource"]["Ref"] for it in statements.values()} == {topic}
    assert len(statements) == 2
    alarms = statements["Alarms"]
    assert (alarms["Effect"], alarms["Action"]) == ("Allow", "sns:Publish")
    assert alarms["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert alarms["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    in_the_clear = statements["AllowPublishThroughSSLOnly"]
    assert (in_the_clear["Effect"], in_the_clear["Action"], in_the_clear["Principal"]) == ("Deny", "sns:Publish", "*")
    assert in_the_clear["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_the_topic_isnt_encrypted_since_cloudwatch_may_not_use_snss_own_key(real: Synthesized) -> None:
    """It can't be told so anywhere: its publishes fail, and nobody hears an alarm, or of that."""
    assert "KmsMasterKeyId" not in real.one("AWS::SNS::Topic").get("Properties", {})


def test_nobody_hears_the_alarms_unless_the_configuration_says_who(real: Synthesized) -> None:
    assert real.of_type("AWS::SNS::Subscription") == {}


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    """The stack of a relay that says who hears its alarms, and what limits it."""
    said = """
alarm_emails = ["ops@example.com", "night.watch+relay@mail.example.org"]
throttle = { rate = 100, burst = 200 }
concurrency = { ingest = 50, record = 40, deliver = 7 }
"""
    return synthesize(tmp_path_factory.mktemp("limited"), CONFIG.replace("[relay]", f"[relay]{said}"), local=True)


def test_whoever_is_to_hear_the_alarms_is_subscribed_by_the_deploy(limited: Synthesized) -> None:
    (topic,) = limited.of_type("AWS::SNS::Topic")

    subscribed = [it["Properties"] for it in limited.of_type("AWS::SNS::Subscription").values()]

    assert sorted(it["Endpoint"] for it in subscribed) == ["night.watch+relay@mail.example.org", "ops@example.com"]
    assert {it["Protocol"] for it in subscribed} == {"email"}
    assert [it["TopicArn"] for it in subscribed] == [{"Ref": topic}] * 2


def test_the_stage_lets_through_what_it_is_told_to(limited: Synthesized) -> None:
    stage = limited.one("AWS::ApiGatewayV2::Stage")["Properties"]

    assert stage["DefaultRouteSettings"] == {"ThrottlingRateLimit": 100, "ThrottlingBurstLimit": 200}
    assert "RouteSettings" not in stage


def test_as_many_of_a_function_run_at_once_as_is_said(limited: Synthesized) -> None:
    reserved = {verb: limited.function(verb)["Properties"].get("ReservedConcurrentExecutions") for verb in VERBS}

    assert {verb: it for verb, it in reserved.items() if it is not None} == {"ingest": 50, "record": 40, "deliver": 7}


def test_every_alarm_tells_the_topic_and_says_what_to_do(real: Synthesized) -> None:
    (topic,) = real.of_type("AWS::SNS::Topic")

    for alarm in real.of_type("AWS::CloudWatch::Alarm").values():
        properties = alarm["Properties"]
        assert properties["AlarmActions"] == [{"Ref": topic}]
        assert len(properties["AlarmDescription"]) > 40
        assert "Metrics" not in properties  # metric math, which the local AWS refuses


def test_the_page_of_costs_reckons_with_every_alarm(real: Synthesized) -> None:
    """What the relay costs while it is idle is mostly that."""
    number = len(real.of_type("AWS::CloudWatch::Alarm"))

    assert f"| {number} alarms " in (ROOT / "docs" / "costs.md").read_text(encoding="utf-8")


def test_silence_is_an_alarm_only_for_sweep(real: Synthesized) -> None:
    alarms = [it["Properties"] for it in real.of_type("AWS::CloudWatch::Alarm").values()]

    missing = {it["MetricName"] for it in alarms if it["TreatMissingData"] == "breaching"}

    assert missing == {"Invocations"}


def test_the_outputs_are_what_a_person_needs(real: Synthesized) -> None:
    outputs = {name: real.plain(it["Value"]) for name, it in real.template["Outputs"].items()}

    assert outputs == {
        "RelayUrl": URL,
        "ApiUrl": URL,
        "RelayName": "shop",
        "TableName": "<StorageTable>",
        "BucketName": "<StorageBucket>",
        "SyncFunction": "<Sync>",
        "SweepFunction": "<Sweep>",
        "AuditFunction": "<Audit>",
        "OperatorReadPolicy": "<GatewayOperatorRead>",
        "OperatorOperatePolicy": "<GatewayOperatorOperate>",
        "AlarmTopic": "<AlarmsTopic>",
    }


def test_nothing_has_a_physical_name_but_the_api_which_may_share_it_and_the_access_log(real: Synthesized) -> None:
    names = {
        *("TableName", "BucketName", "FunctionName", "RoleName", "LogGroupName", "TopicName", "AlarmName"),
        *("ManagedPolicyName", "Name"),
    }

    kinds = {
        (resource["Type"], name)
        for resource in real.template["Resources"].values()
        for name in names & set(resource.get("Properties", {}))
    }

    assert kinds == {
        ("AWS::ApiGatewayV2::Api", "Name"),
        ("AWS::Lambda::Permission", "FunctionName"),  # a reference
        ("AWS::Lambda::EventInvokeConfig", "FunctionName"),  # a reference
        ("AWS::Logs::LogGroup", "LogGroupName"),  # the access log's, with the stack's own id in it
        ("AWS::Logs::MetricFilter", "LogGroupName"),  # a reference
    }


def test_the_stack_holds_no_value_of_a_secret(real: Synthesized) -> None:
    assert real.of_type("AWS::SecretsManager::Secret") == {}
    assert "resolve:secretsmanager" not in json.dumps(real.template)


def test_ingest_alone_has_an_asset_of_its_own_where_a_source_signs_with_a_public_key(
    tmp_path_factory: pytest.TempPathFactory, real: Synthesized
) -> None:
    discord = CONFIG + '\n[sources.discord]\nscheme = "discord"\nto = ["ci"]\n'
    signed = synthesize(tmp_path_factory.mktemp("signed"), discord, local=False)

    codes = {verb: signed.function(verb)["Properties"]["Code"]["S3Key"] for verb in VERBS}

    assert len({key for verb, key in codes.items() if verb != "ingest"}) == 1
    assert codes["ingest"] not in {key for verb, key in codes.items() if verb != "ingest"}
    assert len({real.function(verb)["Properties"]["Code"]["S3Key"] for verb in VERBS}) == 1
