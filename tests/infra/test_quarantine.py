"""`quarantine`: of which sources it can be asked, what the stack has for it, and nothing of it where none asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from infra.config import quarantine
from infra.config.flatten import flatten
from infra.config.load import load
from infra.config.mistakes import ConfigError
from infra.config.schemes import built_in_schemes
from relay.config.settings import Settings
from relay.runtime.metrics import Metric
from relay.storage.quarantine import QUARANTINE
from tests.infra.conftest import CONFIG, synthesize
from tests.infra.test_permissions import EXPECTED

if TYPE_CHECKING:
    from pathlib import Path

    from tests.infra.conftest import Synthesized

ASKING = CONFIG.replace('scheme = "github"\n', 'scheme = "github"\nquarantine = "3d"\n', 1)
MAC_OVER_THE_BODY = {"github", "stripe", "slack", "shopify", "svix", "discord", "twilio", "hubspot-v2", "hmac"}
NOT_SO = {
    "gitlab-token": "the secret itself",
    "basic": "the secret itself",
    "chargebee-basic": "the secret itself",
    "ms-graph": "the secret itself",
    "jwt": "a JWT",
    "vonage": "a JWT",
    "plaid": "a JWT",
    "mailgun": "over the whole body",
    "aws-sns": "over the whole body",
    "paypal": "over the whole body",
    "pusher": "a part of the secret",
}


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    """The stack of a relay whose source github keeps what is refused."""
    return synthesize(tmp_path_factory.mktemp("asking"), ASKING, local=False)


def flat(tmp_path: Path, text: str) -> dict[str, Any]:
    file = tmp_path / "relay.toml"
    file.write_text(text, encoding="utf-8")
    return flatten(load(file))


def source(scheme: str, kept: str = "3d", retention_days: int = 30) -> str:
    return f"""
[relay]
retention_days = {retention_days}
[sources.it]
{scheme}
to = ["audit"]
quarantine = "{kept}"
retries = 3
[url_groups.audit.destinations]
ledger = "https://example.com/in"
"""


def told(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        flat(tmp_path, text)
    (mistake,) = caught.value.mistakes
    assert mistake.path == "sources.it.quarantine"
    return mistake.message


def test_it_is_off_unless_a_source_asks_for_it(tmp_path: Path) -> None:
    found = flat(tmp_path, ASKING)

    settings = Settings.of({}, found)

    assert settings.sources["github"].quarantine_s == 3 * 86_400
    assert "quarantine_s" not in found["sources"]["my-acme"]
    assert settings.sources["my-acme"].quarantine_s == 0


@pytest.mark.parametrize("scheme", sorted(MAC_OVER_THE_BODY))
def test_a_scheme_that_signs_the_body_can_have_it(tmp_path: Path, scheme: str) -> None:
    assert flat(tmp_path, source(f'scheme = "{scheme}"'))["sources"]["it"]["quarantine_s"] == 3 * 86_400


@pytest.mark.parametrize("scheme", NOT_SO)
def test_a_scheme_whose_requests_hold_a_secret_or_prove_less_cant(tmp_path: Path, scheme: str) -> None:
    assert NOT_SO[scheme] in told(tmp_path, source(f'scheme = "{scheme}"'))


def test_no_scheme_that_sends_its_secret_can_have_it(tmp_path: Path) -> None:
    """Of all that are built in: where a header is the secret, a JWT, or holds a part of the secret."""
    for name, scheme in built_in_schemes().items():
        row = Settings.of({}, _alone(name, scheme.row())).sources["it"].row
        ways = set(row.algorithms)
        if row.is_secret_itself or any(it.startswith("jwt-") for it in ways) or "@ms-graph" in ways:
            told(tmp_path, source(f'scheme = "{name}"'))


def _alone(name: str, row: dict[str, Any]) -> dict[str, Any]:
    source = {"scheme": name, "row": row, "routes": []}
    return {"name": "relay", "retention_days": 30, "sources": {"it": source}, "url_groups": {}, "destinations": {}}


def test_a_scheme_of_ones_own_is_held_to_the_same(tmp_path: Path) -> None:
    own = '[schemes.own]\nsignature = "X-Token: {text}"\nalgorithm = "token"\n'

    assert "the secret itself" in told(tmp_path, own + source('scheme = "own"'))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (source('cron = "0 3 * * *"\ntimezone = "Europe/Berlin"'), "take it out"),
        (source('scheme = "github"', kept="59m"), "between an hour and 30 days"),
        (source('scheme = "github"', kept="30d1s", retention_days=60), "between an hour and 30 days"),
        (source('scheme = "github"', kept="29d1s"), "a day shorter than events are kept"),
        (source('scheme = "github"', kept="1h", retention_days=1), "a day shorter than events are kept"),
        (source('scheme = "github"', kept="3"), "with a unit"),
    ],
)
def test_what_it_cant_be_is_told(tmp_path: Path, text: str, said: str) -> None:
    assert said in told(tmp_path, text)


@pytest.mark.parametrize(("kept", "retention_days"), [("1h", 2), ("29d", 30), ("30d", 31)])
def test_it_may_be_as_long_as_that(tmp_path: Path, kept: str, retention_days: int) -> None:
    assert flat(tmp_path, source('scheme = "github"', kept, retention_days))["sources"]["it"]["quarantine_s"]


def test_nothing_of_it_is_there_unless_a_source_asks(real: Synthesized, asking: Synthesized) -> None:
    """Two routes to ingest and an alarm: no function more, and no other's permission."""
    there, here = real.template["Resources"], asking.template["Resources"]
    added = sorted(here[id_]["Type"] for id_ in here.keys() - there.keys())

    assert added == [
        "AWS::ApiGatewayV2::Integration",
        "AWS::ApiGatewayV2::Route",
        "AWS::ApiGatewayV2::Route",
        "AWS::CloudWatch::Alarm",
        "AWS::Lambda::Permission",
        "AWS::Lambda::Permission",
    ]
    assert there.keys() <= here.keys()
    logs = (["logs:CreateLogStream", "logs:PutLogEvents"], ["<QueryLogs>"])
    assert asking.statements("query") == {**EXPECTED["query"], "Logs": logs}


def test_ingest_alone_may_keep_and_find_it(real: Synthesized, asking: Synthesized) -> None:
    """Under its own prefix, in listings too."""
    said = [
        statement
        for policy in asking.of_type("AWS::IAM::Policy").values()
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if QUARANTINE in str(statement)
    ]
    kept, found = said

    assert kept["Sid"] == "Quarantine"
    assert sorted(kept["Action"]) == ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
    assert asking.plain(kept["Resource"]) == f"<StorageBucket>/{QUARANTINE}*"
    assert (found["Sid"], found["Action"]) == ("FindQuarantined", "s3:ListBucket")
    assert found["Condition"] == {"StringLike": {"s3:prefix": f"{QUARANTINE}*"}}
    role = asking.function("ingest")["Properties"]["Role"]["Fn::GetAtt"][0]
    (policy,) = [it for it in asking.of_type("AWS::IAM::Policy").values() if QUARANTINE in str(it)]
    assert policy["Properties"]["Roles"] == [{"Ref": role}]
    assert QUARANTINE not in str(real.of_type("AWS::IAM::Policy"))


def test_its_routes_ask_iam_and_go_to_ingest(asking: Synthesized) -> None:
    """It holds the signing secrets already; query never does."""
    routes = [it["Properties"] for it in asking.of_type("AWS::ApiGatewayV2::Route").values()]
    own = {it["RouteKey"]: it for it in routes if it["RouteKey"].endswith("/quarantine")}

    assert set(own) == {f"{method} /v1/sources/{{source}}/quarantine" for method in ("GET", "POST")}
    for route in own.values():
        integration = asking.template["Resources"][route["Target"]["Fn::Join"][1][1]["Ref"]]["Properties"]
        assert route["AuthorizationType"] == "AWS_IAM"
        assert asking.plain(integration["IntegrationUri"]) == "<Ingest>"


def test_what_cant_be_kept_is_an_alarm(asking: Synthesized) -> None:
    (alarm,) = [
        alarm["Properties"]
        for alarm in asking.of_type("AWS::CloudWatch::Alarm").values()
        if alarm["Properties"].get("MetricName") == Metric.NOT_QUARANTINED
    ]

    assert alarm["Dimensions"] == [{"Name": "relay", "Value": "shop"}, {"Name": "service", "Value": "ingest"}]
    assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (0, "GreaterThanThreshold")


@pytest.mark.parametrize("kept", [None, "1h", "3d", "3d1s"])
def test_the_bucket_forgets_it_a_day_after_the_relay_does(kept: str | None, tmp_path: Path) -> None:
    """And in a month where no source asks for it any more."""
    config = ASKING.replace('"3d"', f'"{kept}"') if kept else CONFIG
    stack = synthesize(tmp_path, config, local=False)

    rules = {it["Id"]: it for it in stack.one("AWS::S3::Bucket")["Properties"]["LifecycleConfiguration"]["Rules"]}

    days = {None: 31, "1h": 2, "3d": 4, "3d1s": 5}[kept]
    assert rules["quarantine"] | {"Prefix": QUARANTINE, "ExpirationInDays": days} == rules["quarantine"]
    assert quarantine.MAX_S // 86_400 + 1 == 31
