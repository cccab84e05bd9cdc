"""A first deploy that can't succeed fails before the table and the bucket are made, which would stay.

Each test has a small stack of its own: of the template that the CDK app made, the storage and what it waits for.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from botocore.exceptions import WaiterError

from tests.deployed.test_sync import STORAGE, needed_for

if TYPE_CHECKING:
    from tests.deployed.clients import Relay


class FirstDeploy:
    """A stack of the storage alone, as on AWS: it stays whatever becomes of the stack."""

    def __init__(self, relay: Relay) -> None:
        self.name = f"f{uuid4().hex[:8]}"
        self._relay = relay
        self._cloudformation = relay.aws("cloudformation")
        template = json.loads((relay.local.assembly / f"{relay.local.name}.template.json").read_text())
        self.resources: dict[str, Any] = {}
        for kind in STORAGE:
            self.resources |= needed_for(kind, template)["Resources"]
        for resource in self.resources.values():
            if resource["Type"] in STORAGE:
                resource["DeletionPolicy"] = "Retain"
            if resource["Type"] == "Custom::Preflight":
                resource["Properties"] |= {"Relay": self.name, "Secret": f"{self.name}/qstash", "TakeOver": "0"}

    def set_token(self) -> None:
        """Do what `relay secret set qstash` does."""
        held = json.dumps(self._relay.secret("qstash"))
        self._relay.aws("secretsmanager").create_secret(Name=f"{self.name}/qstash", SecretString=held)

    def deploy(self) -> tuple[str, str]:
        """Make the stack; return what became of it, and why."""
        template = json.dumps({"Resources": self.resources})
        self._cloudformation.create_stack(StackName=self.name, TemplateBody=template, Capabilities=["CAPABILITY_IAM"])
        with suppress(WaiterError):
            waiter = self._cloudformation.get_waiter("stack_create_complete")
            waiter.wait(StackName=self.name, WaiterConfig={"Delay": 0.1, "MaxAttempts": 600})
        (stack,) = self._cloudformation.describe_stacks(StackName=self.name)["Stacks"]
        events = self._cloudformation.describe_stack_events(StackName=self.name)["StackEvents"]
        return stack["StackStatus"], "\n".join(it.get("ResourceStatusReason", "") for it in events)

    @property
    def stored(self) -> set[str]:
        """The tables and buckets that there are."""
        tables = self._relay.aws("dynamodb").list_tables()["TableNames"]
        buckets = self._relay.aws("s3").list_buckets()["Buckets"]
        return {*tables, *(it["Name"] for it in buckets)}


@pytest.fixture
def first(relay: Relay) -> FirstDeploy:
    return FirstDeploy(relay)


def test_a_first_deploy_without_the_secret_leaves_no_table_and_no_bucket(first: FirstDeploy) -> None:
    before = first.stored

    status, why = first.deploy()

    assert status == "ROLLBACK_COMPLETE"
    assert f"there is no secret {first.name}/qstash in this region: run `relay --name {first.name} secret set" in why
    assert "Log group: " in why
    assert first.stored == before


def test_a_first_deploy_that_finds_its_name_used_leaves_none_either(first: FirstDeploy, relay: Relay) -> None:
    there = {"name": "a", "url": "https://a.example.com/"}
    relay.qstash(f"/v2/topics/{first.name}.a/endpoints", "POST", endpoints=[there])
    first.set_token()
    before = first.stored

    status, why = first.deploy()

    assert status == "ROLLBACK_COMPLETE"
    assert f"URL group {first.name}.a (a https://a.example.com/)" in why
    assert first.stored == before


def test_a_first_deploy_of_a_free_name_makes_both(first: FirstDeploy) -> None:
    first.set_token()
    before = first.stored

    status, why = first.deploy()

    assert status == "CREATE_COMPLETE", why
    assert len(first.stored - before) == len(STORAGE)
