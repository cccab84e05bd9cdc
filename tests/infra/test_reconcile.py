"""What the stack has for reconciliation with GitHub: where a source asks for it, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aws_cdk as cdk
import pytest

from infra.app import main, relay_stack
from infra.config.load import load
from infra.local.aws.differences import LocalAws
from relay.runtime.metrics import Metric
from tests.infra.conftest import CONFIG, LOCAL, ROOT, synthesize
from tests.infra.test_permissions import RECORDS, SECRET

if TYPE_CHECKING:
    from pathlib import Path

    from tests.infra.conftest import Synthesized

ASKING = CONFIG.replace(
    'scheme = "github"\n', 'scheme = "github"\nreconcile = "repos/octo-org/hello-world/hooks/123"\n', 1
)


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    """The stack of a relay whose source github names a hook."""
    return synthesize(tmp_path_factory.mktemp("asking"), ASKING, local=False)


def _new(real: Synthesized, asking: Synthesized, kind: str) -> list[str]:
    return sorted(asking.of_type(kind).keys() - real.of_type(kind).keys())


def test_nothing_of_it_is_there_unless_a_source_names_a_hook(real: Synthesized, asking: Synthesized) -> None:
    """A function, its role and policy and log group, a rule, and two alarms: no more."""
    there, here = real.template["Resources"], asking.template["Resources"]

    added = sorted(here[id_]["Type"] for id_ in here.keys() - there.keys())

    assert added == [
        "AWS::CloudWatch::Alarm",
        "AWS::CloudWatch::Alarm",
        "AWS::Events::Rule",
        "AWS::IAM::Policy",
        "AWS::IAM::Role",
        "AWS::Lambda::EventInvokeConfig",
        "AWS::Lambda::Function",
        "AWS::Lambda::Permission",
        "AWS::Logs::LogGroup",
    ]
    assert there.keys() <= here.keys()


def test_it_may_read_and_write_records_and_read_its_own_secret(asking: Synthesized) -> None:
    """No other secret, no index, no body."""
    assert asking.statements("reconcile") == {
        "Records": RECORDS,
        "LookUp": (["dynamodb:BatchGetItem"], ["<StorageTable>"]),
        "GitHubToken": (["secretsmanager:GetSecretValue"], [f"{SECRET}/github", f"{SECRET}/github-??????"]),
        "Logs": (["logs:CreateLogStream", "logs:PutLogEvents"], ["<ReconcileLogs>"]),
    }


def test_nobody_else_may_read_its_secret(asking: Synthesized) -> None:
    for verb in ("ingest", "record", "deliver", "query", "sweep", "sync"):
        named = [one for _, resources, *_ in asking.statements(verb).values() for one in resources]
        assert not any("/github" in one for one in named), verb


def test_it_is_told_where_its_secret_is_and_of_no_other(asking: Synthesized) -> None:
    properties = asking.function("reconcile")["Properties"]

    names = {name for name in properties["Environment"]["Variables"] if name.endswith(("SECRET", "URL"))}

    assert names == {"RELAY_GITHUB_SECRET"}
    assert properties["Environment"]["Variables"]["RELAY_GITHUB_SECRET"] == "shop/github"
    assert (properties["Timeout"], properties["MemorySize"]) == (300, 512)


def test_it_runs_every_quarter_of_an_hour_without_retries(real: Synthesized, asking: Synthesized) -> None:
    (id_,) = _new(real, asking, "AWS::Events::Rule")
    rule = asking.template["Resources"][id_]["Properties"]

    (target,) = rule["Targets"]

    assert (rule["ScheduleExpression"], rule["State"]) == ("rate(15 minutes)", "ENABLED")
    assert asking.plain(target["Arn"]) == "<Reconcile>"
    assert target["RetryPolicy"] == {"MaximumRetryAttempts": 0}


def test_what_is_missing_and_what_fails_is_an_alarm(real: Synthesized, asking: Synthesized) -> None:
    """Over an hour, so that it stays on from run to run."""
    alarms = [asking.template["Resources"][id_]["Properties"] for id_ in _new(real, asking, "AWS::CloudWatch::Alarm")]

    missing, errors = sorted(alarms, key=lambda it: str(it["MetricName"]), reverse=True)

    assert (missing["MetricName"], missing["Statistic"], missing["Threshold"]) == (Metric.MISSING, "Maximum", 0)
    assert {it["Name"]: it["Value"] for it in missing["Dimensions"]} == {"relay": "shop", "service": "reconcile"}
    assert (missing["Period"], missing["ComparisonOperator"]) == (3600, "GreaterThanThreshold")
    assert "`relay secret set SOURCE`" in missing["AlarmDescription"]
    assert asking.plain(errors["Dimensions"][0]["Value"]) == "<Reconcile>"


def test_its_name_is_an_output(asking: Synthesized) -> None:
    assert asking.plain(asking.template["Outputs"]["ReconcileFunction"]["Value"]) == "<Reconcile>"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("https://ghe.example.com/api/v3", "https://ghe.example.com/api/v3"),
        ("https://api.github.com", None),
        (None, None),
    ],
)
def test_the_api_of_an_enterprise_server_is_told_and_githubs_own_changes_nothing(
    tmp_path: Path, given: str | None, told: str | None
) -> None:
    """GitHub's Actions set GITHUB_API_URL everywhere: a deploy from there is the same as from here."""
    (tmp_path / "relay.toml").write_text(ASKING, encoding="utf-8")
    app = cdk.App(outdir=str(tmp_path / "out"), analytics_reporting=False)

    stack = relay_stack(app, load(tmp_path / "relay.toml"), local=LocalAws.of(dict(LOCAL)), github_api_url=given)

    assert stack.reconcile is not None
    variables = cdk.assertions.Template.from_stack(stack).find_resources(
        "AWS::Lambda::Function", {"Properties": {"Handler": "reconcile.handler"}}
    )
    (function,) = variables.values()
    assert function["Properties"]["Environment"]["Variables"].get("GITHUB_API_URL") == told


@pytest.mark.parametrize("given", ["http://ghe.example.com/api/v3", "https://token@ghe.example.com", "ghe.example.com"])
def test_the_token_is_never_sent_in_the_clear(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    """Nor to whom a name in front of an @ hides."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("GITHUB_API_URL", given)

    with pytest.raises(SystemExit) as told:
        main()

    assert told.value.code == f"GITHUB_API_URL is {given}: set it to a URL like https://HOST/api/v3, or unset it"
