"""QStash follows the stack: what CloudFormation creates, changes, rolls back and deletes.

Each test has a small stack of its own: of the template that the CDK app made, the custom resource and what it needs.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from botocore.exceptions import WaiterError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.deployed.clients import Relay

Groups = dict[str, dict[str, str]]
RESOURCE = "Custom::QStash"
STORAGE = ("AWS::DynamoDB::Table", "AWS::S3::Bucket")
OLD: Groups = {"a": {"kept": "https://kept.example.com/", "moved": "https://old.example.com/", "gone": "https://g.io/"}}
NEW: Groups = {
    "a": {"kept": "https://kept.example.com/", "moved": "https://new.example.com/"},
    "b": {"c": "https://c.io/"},
}


class SyncStack:
    """A stack with the custom resource alone; its relay has the stack's name."""

    def __init__(self, relay: Relay, config: Path) -> None:
        self.name = f"s{uuid4().hex[:8]}"
        self._relay = relay
        self._cloudformation = relay.aws("cloudformation")
        config.write_text(json.dumps(EMPTY | {"name": self.name}))
        template = json.loads((relay.local.assembly / f"{relay.local.name}.template.json").read_text())
        for resource in template["Resources"].values():
            if resource["Type"] in STORAGE:
                resource.pop("DependsOn")  # the preflight, which others test
        self._template = needed_for(RESOURCE, template)
        for resource in self._template["Resources"].values():
            if resource["Type"] == "AWS::Lambda::Function" and "RELAY_TABLE" in str(resource):
                resource["Properties"]["Environment"]["Variables"]["RELAY_CONFIG"] = str(config)

    def deploy(self, groups: Groups, *, failing: bool = False, take_over: bool = False) -> str:
        """Create or change the stack so that QStash should hold *groups*; return the stack's status.

        Args:
            failing: Another resource, which comes after, fails.
            take_over: As `make deploy TAKE_OVER=1`.
        """
        resources = self._template["Resources"]
        (key,) = [key for key, it in resources.items() if it["Type"] == RESOURCE]
        state = resources[key]
        desired = {
            "relay": self.name,
            "groups": {
                f"{self.name}.{group}": [{"name": name, "url": url} for name, url in members.items()]
                for group, members in groups.items()
            },
        }
        state["Properties"]["Desired"] = json.dumps(desired)
        state["Properties"]["TakeOver"] = "1" if take_over else "0"
        broken = {**state, "Properties": {**state["Properties"], "Desired": "no JSON"}, "DependsOn": [key]}
        template = {**self._template, "Resources": {**resources, **({"Broken": broken} if failing else {})}}
        new = not self._status()
        change = self._cloudformation.create_stack if new else self._cloudformation.update_stack
        change(StackName=self.name, TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_IAM"])
        self._wait("stack_create_complete" if new else "stack_update_complete")
        return self._status()

    def destroy(self) -> None:
        """Delete the stack."""
        self._cloudformation.delete_stack(StackName=self.name)
        self._wait("stack_delete_complete")

    @property
    def reasons(self) -> str:
        """Why what failed did."""
        events = self._cloudformation.describe_stack_events(StackName=self.name)["StackEvents"]
        return "\n".join(it.get("ResourceStatusReason", "") for it in events)

    def _wait(self, for_what: str) -> None:
        """Wait for the end of a change, be it good or bad: the waiter raises where it is bad."""
        waiter = self._cloudformation.get_waiter(for_what)
        with suppress(WaiterError):
            waiter.wait(StackName=self.name, WaiterConfig={"Delay": 0.1, "MaxAttempts": 300})

    def _status(self) -> str:
        stacks = self._cloudformation.list_stacks()["StackSummaries"]
        found = [it["StackStatus"] for it in stacks if it["StackName"] == self.name]
        return "" if not found or found[0] == "DELETE_COMPLETE" else str(found[0])

    def expected(self, groups: Groups) -> Groups:
        """Return *groups* by the names that they have in QStash."""
        return {f"{self.name}.{group}": members for group, members in groups.items()}

    @property
    def actual(self) -> Groups:
        """What QStash holds of this relay."""
        return self._relay.groups(self.name)


EMPTY: dict[str, Any] = {"retention_days": 1, "sources": {}, "url_groups": {}, "destinations": {}}


def needed_for(kind: str, template: dict[str, Any]) -> dict[str, Any]:
    """Return the part of *template* that the resources of type *kind* need, themselves included."""
    resources = template["Resources"]
    needed: dict[str, Any] = {}
    todo = [key for key, it in resources.items() if it["Type"] == kind]
    while todo:
        key = todo.pop()
        if key in resources and key not in needed:
            needed[key] = resources[key]
            todo += referred_to(resources[key])
            todo += [name for name, it in resources.items() if is_policy_of(key, it)]
    return {"Resources": needed}


def referred_to(node: Any) -> Iterator[str]:
    """Yield the logical ids that *node* refers to."""
    if isinstance(node, list):
        for inner in node:
            yield from referred_to(inner)
    elif isinstance(node, dict):
        for name, value in node.items():
            if name == "Ref":
                yield value
            elif name == "Fn::GetAtt":
                yield value[0]
            elif name == "DependsOn":
                yield from [value] if isinstance(value, str) else value
            else:
                yield from referred_to(value)


def is_policy_of(role: str, resource: dict[str, Any]) -> bool:
    """Tell whether *resource* is a policy attached to *role*."""
    return resource["Type"] == "AWS::IAM::Policy" and {"Ref": role} in resource["Properties"].get("Roles", [])


@pytest.fixture
def make(relay: Relay, tmp_path: Path) -> Iterator[Callable[[], SyncStack]]:
    """Return what makes a stack; it is destroyed afterwards."""
    made: list[SyncStack] = []

    def make() -> SyncStack:
        made.append(SyncStack(relay, tmp_path / f"relay-{len(made)}.json"))
        return made[-1]

    yield make
    for stack in made:
        stack.destroy()


@pytest.fixture
def stack(make: Callable[[], SyncStack]) -> SyncStack:
    """A stack that is deployed with `OLD`."""
    stack = make()
    assert stack.deploy(OLD) == "CREATE_COMPLETE"
    return stack


def test_the_real_stack_has_brought_its_groups(relay: Relay) -> None:
    groups = relay.groups(relay.local.name)

    assert groups["deployed.aws"] == {"ledger": f"{relay.local.relay_url}/qstash/deliver/ledger"}
    assert set(groups["deployed.apps"]) == {"healthy", "flaky", "dead"}


def test_creating_makes_the_groups(stack: SyncStack) -> None:
    assert stack.actual == stack.expected(OLD)


def test_a_change_adds_moves_and_removes(stack: SyncStack) -> None:
    status = stack.deploy(NEW)

    assert status == "UPDATE_COMPLETE"
    assert stack.actual == stack.expected(NEW)


def test_a_change_back_restores(stack: SyncStack) -> None:
    stack.deploy(NEW)

    stack.deploy(OLD)

    assert stack.actual == stack.expected(OLD)


def test_a_rollback_restores_what_was(stack: SyncStack) -> None:
    status = stack.deploy(NEW, failing=True)

    assert status == "UPDATE_ROLLBACK_COMPLETE"
    assert stack.actual == stack.expected(OLD)


def test_a_deploy_after_a_rollback_works(stack: SyncStack) -> None:
    stack.deploy(NEW, failing=True)

    status = stack.deploy(NEW)

    assert status == "UPDATE_COMPLETE"
    assert stack.actual == stack.expected(NEW)


def test_a_first_deploy_that_fails_leaves_nothing(make: Callable[[], SyncStack]) -> None:
    stack = make()

    status = stack.deploy(OLD, failing=True)

    assert status == "ROLLBACK_COMPLETE"
    assert stack.actual == {}


def test_destroying_removes_what_is_its_own_and_nothing_else(relay: Relay, stack: SyncStack) -> None:
    foreign = f"{stack.name}x.a"
    relay.qstash(f"/v2/topics/{foreign}/endpoints", "POST", endpoints=[{"url": "https://f.io/", "name": "f"}])
    stack.deploy(NEW)
    others = relay.groups(relay.local.name)

    stack.destroy()

    assert stack.actual == {}
    assert relay.groups(f"{stack.name}x") == {foreign: {"f": "https://f.io/"}}
    assert relay.groups(relay.local.name) == others


def test_a_first_deploy_that_finds_its_name_used_is_refused_until_it_is_to_take_over(
    relay: Relay, make: Callable[[], SyncStack]
) -> None:
    """What is there stays as it was, through the refusal and its rollback; and to be taken over is said once."""
    stack = make()
    there = {"name": "moved", "url": "https://elsewhere.example.com/?key=s3cret"}
    relay.qstash(f"/v2/topics/{stack.name}.a/endpoints", "POST", endpoints=[there])

    refused = stack.deploy(OLD)
    reasons, untouched = stack.reasons, stack.actual
    stack.destroy()

    assert refused == "ROLLBACK_COMPLETE"
    assert f"URL group {stack.name}.a (moved https://elsewhere.example.com/)" in reasons
    assert untouched == stack.actual == {f"{stack.name}.a": {"moved": there["url"]}}
    assert stack.deploy(OLD, take_over=True) == "CREATE_COMPLETE"
    assert stack.actual == stack.expected(OLD)
    assert stack.deploy(OLD) == "UPDATE_COMPLETE"
    assert stack.actual == stack.expected(OLD)


def test_destroying_leaves_what_another_deployment_made_otherwise(relay: Relay, stack: SyncStack) -> None:
    moved = {"name": "moved", "url": "https://elsewhere.example.com/"}
    relay.qstash(f"/v2/topics/{stack.name}.a/endpoints", "POST", endpoints=[moved])

    stack.destroy()

    assert stack.actual == {f"{stack.name}.a": {"moved": moved["url"]}}
