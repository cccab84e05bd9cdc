"""A large relay stays within the limits of AWS: each with its source, and what of it a deploy would meet."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from infra.config import sizes
from infra.config.flatten import flatten
from infra.config.load import load
from infra.config.mistakes import ConfigError
from tests.infra.conftest import synthesize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.infra.conftest import Synthesized

SOURCES, GROUPS, DESTINATIONS, TARGETS, CANARIES, HOOKS = 190, 100, 300, 200, 20, 20
KINDS = ("eventbridge", "sqs", "sns", "lambda", "step_functions", "s3")
ARNS = {  # as long as they come, where a name alone would do for this account
    "eventbridge": "arn:aws:events:eu-central-1:123456789012:event-bus/{}",
    "sqs": "arn:aws:sqs:eu-central-1:123456789012:{}",
    "sns": "arn:aws:sns:eu-central-1:123456789012:{}",
    "lambda": "arn:aws:lambda:eu-central-1:123456789012:function:{}",
    "step_functions": "arn:aws:states:eu-central-1:123456789012:stateMachine:{}",
    "s3": "{}",
}


def large() -> str:
    """Return a configuration that is as large as anybody's, with names and URLs of a usual length."""
    return "\n".join(
        [
            '[relay]\nname = "shop"\nalarm_emails = ["ops@example.com"]\n[qstash]\nplan = "payg"',
            *_sources(),
            *_groups(),
        ]
    )


def _sources() -> Iterator[str]:
    for number in range(SOURCES):
        name, to = f"source-of-webhooks-{number}", f'to = ["group-of-destinations-{number % GROUPS}"]'
        if number < CANARIES:
            yield f'[sources.{name}]\ncron = "*/5 * * * *"\ntimezone = "Europe/Berlin"\ncanary = true\n{to}'
        elif number < CANARIES + HOOKS:
            hook = f'reconcile = "repos/an-organization/a-repository/hooks/{number}00000000"'
            yield f'[sources.{name}]\nscheme = "github"\n{hook}\n{to}'
        else:
            yield f'[sources.{name}]\nscheme = "github"\nquarantine = "3d"\n{to}'


def _groups() -> Iterator[str]:
    for group in range(GROUPS):
        yield f"[url_groups.group-of-destinations-{group}.destinations]"
        for number in range(group, DESTINATIONS, GROUPS):
            name = f"destination-of-webhooks-{number}"
            if number < TARGETS:
                kind = KINDS[number % len(KINDS)]
                yield f'{name}.{kind} = "{ARNS[kind].format(f"a-resource-of-some-team-number-{number}")}"'
            else:
                yield f'{name} = "https://webhooks.department-{number}.example.com/from/the/relay/{number}"'


def only_queues() -> str:
    """Return a configuration whose AWS targets are all of one kind, as many as `relay check` lets through."""
    arn = "arn:aws:sqs:eu-central-1:123456789012:" + "q" * 76
    names = [f'destination-{number}.sqs = "{arn}{number:04}"' for number in range(sizes.ARNS_MAX_CHARS // 118)]
    groups = [
        f"[url_groups.g{at}.destinations]\n" + "\n".join(names[at : at + 100]) for at in range(0, len(names), 100)
    ]
    source = '[sources.github]\nscheme = "github"\nto = ["g0"]'
    return "\n".join(['[relay]\nname = "shop"\n[qstash]\nplan = "payg"', source, *groups])


def targets(config: str) -> list[str]:
    """Return the ARNs, or names, of the AWS targets in *config*."""
    return re.findall(r"^\S+\.(?:" + "|".join(KINDS) + r') = "(.*)"$', config, re.MULTILINE)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    return synthesize(tmp_path_factory.mktemp("large"), large(), local=True)


def bytes_of(value: Any) -> int:
    """Return how many bytes *value* takes as JSON without blanks."""
    return len(json.dumps(value, separators=(",", ":")).encode())


def deployed(value: Any) -> Any:
    """Return *value* of a template as it is once deployed: each reference is a text, as long as an ARN may be."""
    match value:
        case {"Ref": "AWS::Partition"}:
            return "aws-us-gov"
        case {"Ref": "AWS::Region" | "AWS::AccountId" | "AWS::URLSuffix"}:
            return "ap-southeast-1"
        case {"Ref": _} | {"Fn::GetAtt": _}:
            return "x" * 140
        case {"Fn::Join": [separator, parts]}:
            return separator.join(map(deployed, parts))
        case dict():
            return {name: deployed(it) for name, it in value.items()}
        case list():
            return [deployed(it) for it in value]
    return value


def policies(stack: Synthesized, kind: str) -> dict[str, list[int]]:
    """Return the sizes of the policies of the type *kind* by the role that has them; by "" of those that none has."""
    found: dict[str, list[int]] = {}
    for policy in stack.of_type(kind).values():
        (role,) = [it["Ref"] for it in policy["Properties"].get("Roles", [])] or [""]
        found.setdefault(role, []).append(bytes_of(deployed(policy["Properties"]["PolicyDocument"])))
    return found


def test_the_template_is_what_cloudformation_takes(stack: Synthesized) -> None:
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html"""
    template = stack.template

    grows = CANARIES + 1  # an alarm each; a subscription
    assert len(template["Resources"]) - grows < 500 - sizes.CANARIES_AND_EMAILS_MAX
    assert len(template["Outputs"]) <= 200
    assert len(template.get("Parameters", {})) <= 200
    assert all(len(it) <= 255 for it in template["Resources"])
    file = stack.assembly / "shop.template.json"
    assert file.stat().st_size <= 1_000_000  # 1 MB, in a bucket


def test_no_output_is_of_one_source(stack: Synthesized) -> None:
    assert "source-of-webhooks" not in json.dumps(stack.template["Outputs"])


def test_what_sync_is_told_fits_into_an_event_and_an_item(stack: Synthesized) -> None:
    """CloudFormation invokes asynchronously, and tells of an update what was desired before, too.

    262,144 bytes are the less of two limits: https://docs.aws.amazon.com/lambda/latest/dg/API_InvokeAsync.html.
    DynamoDB's 400 KB of an item have the states of two deploys and the one that failed between them.
    """
    properties = deployed(stack.one("Custom::QStash")["Properties"])
    texts = ("RequestType", "ResponseURL", "StackId", "RequestId", "LogicalResourceId", "PhysicalResourceId")
    event = {**dict.fromkeys(texts, "x" * 1000), "ResourceProperties": properties, "OldResourceProperties": properties}

    largest = sizes.DESIRED_MAX_BYTES
    assert bytes_of(properties["Desired"]) <= largest
    assert bytes_of(event) <= 262_144
    assert bytes_of(event) - 2 * bytes_of(properties["Desired"]) + 2 * largest <= 262_144
    assert 3 * largest <= 400_000


@pytest.mark.parametrize("config", [large, only_queues], ids=["of every kind", "of one kind"])
def test_policies_are_what_iam_takes(tmp_path: Path, config: Callable[[], str]) -> None:
    """A role's own have 10,240 characters together; a managed one 6,144, and a role ten of them.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
    """
    stack = synthesize(tmp_path, config(), local=True)

    own, managed = policies(stack, "AWS::IAM::Policy"), policies(stack, "AWS::IAM::ManagedPolicy")
    assert max(map(sum, own.values())) <= 10_240
    assert max(it for sizes_ in managed.values() for it in sizes_) <= 6_144
    assert max(len(it) for role, it in managed.items() if role) <= 10
    allowed = json.dumps(
        [it["Properties"] for it in stack.template["Resources"].values() if "PolicyDocument" in str(it)]
    )
    assert all(json.dumps(it)[1:-1] in allowed for it in targets(config()))


def test_functions_environments_are_what_lambda_takes(stack: Synthesized) -> None:
    """All of a function's variables have 4 KB: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""
    functions = [it["Properties"] for it in stack.of_type("AWS::Lambda::Function").values()]

    sizes_ = [bytes_of(deployed(it["Environment"]["Variables"])) for it in functions if "Environment" in it]

    assert max(sizes_) <= 4_096


def test_what_hangs_on_one_thing_is_no_more_than_that_takes(stack: Synthesized) -> None:
    """The quotas of EventBridge (targets of a rule), CloudWatch Logs (filters of a group) and API Gateway (routes)."""
    rules = stack.of_type("AWS::Events::Rule").values()
    metric_filters = stack.of_type("AWS::Logs::MetricFilter").values()
    filters = Counter(json.dumps(it["Properties"]["LogGroupName"]) for it in metric_filters)

    assert max(len(it["Properties"]["Targets"]) for it in rules) <= 5
    assert max(filters.values()) <= 100
    assert len(stack.of_type("AWS::ApiGatewayV2::Route")) <= 300
    assert len(stack.of_type("AWS::ApiGatewayV2::Integration")) <= 300


def test_what_the_relay_has_been_deployed_with_is_told_in_one_answer(tmp_path: Path) -> None:
    """/v1/config tells all of it, and Lambda answers with 6 MB at most."""
    file = tmp_path / "relay.toml"
    file.write_text(large(), encoding="utf-8")

    assert bytes_of(flatten(load(file))) <= 6_000_000 // 2


# -- what is larger is told --------------------------------------------------------------------------------------------


def told(tmp_path: Path, config: str) -> str:
    file = tmp_path / "relay.toml"
    file.write_text(config, encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        load(file)
    return str(error.value)


def test_what_sync_can_not_be_told_is_a_mistake(tmp_path: Path) -> None:
    body = "x" * sizes.DESIRED_MAX_BYTES
    schedule = f'[sources.nightly]\ncron = "0 3 * * *"\ntimezone = "UTC"\nbody = "{body}"\nto = ["g0"]\n'

    assert "the schedules have" in told(tmp_path, f"{schedule}{only_queues()}")


def test_more_targets_than_a_role_may_reach_are_a_mistake(tmp_path: Path) -> None:
    one_more = f'destination-more.sqs = "arn:aws:sqs:eu-central-1:123456789012:{"r" * 80}"\n'

    assert "more than the policies of a role hold" in told(tmp_path, only_queues() + "\n" + one_more)


def test_more_canaries_and_addresses_than_a_stack_has_room_for_are_a_mistake(tmp_path: Path) -> None:
    emails = json.dumps([f"ops-{number}@example.com" for number in range(sizes.CANARIES_AND_EMAILS_MAX)])
    canary = '[sources.beat]\ncron = "*/5 * * * *"\ntimezone = "UTC"\ncanary = true\nto = ["g0"]\n'
    config = only_queues().replace('name = "shop"', f'name = "shop"\nalarm_emails = {emails}')

    assert "sources: has 1 canaries, and [relay] 300 alarm_emails" in told(tmp_path, f"{config}\n{canary}")
