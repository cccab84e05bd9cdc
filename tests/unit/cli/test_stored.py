"""Secrets that several people change at once: what one says is set, is set."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from cli import aws, stored
from cli.command import Failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.cli.conftest import Relay

    Object = dict[str, Any]


@pytest.fixture
def name(undeployed: Relay) -> str:
    return f"{undeployed.name}/sources"


def adding(key: str) -> Callable[[Object], Object]:
    return lambda held: {**held, key: key}


def labels(relay: Relay, name: str) -> set[str]:
    versions = relay.secretsmanager.list_secret_version_ids(SecretId=name, IncludeDeprecated=True)["Versions"]
    return {label for it in versions for label in it.get("VersionStages", [])}


@pytest.mark.parametrize("exists", [False, True], ids=["new", "there"])
def test_none_of_many_at_once_is_lost(undeployed: Relay, name: str, exists: bool) -> None:  # noqa: FBT001
    if exists:
        undeployed.keep("sources", {"old": "old"})
    keys = [f"source-{it}" for it in range(12)]
    aws.client("secretsmanager")  # made once, before the threads

    with ThreadPoolExecutor(6) as pool:
        changes = list(pool.map(lambda it: stored.change(name, adding(it), "secrets"), keys))

    assert undeployed.kept("sources") == dict(zip(keys, keys, strict=True)) | ({"old": "old"} if exists else {})
    assert all(key in after for key, (_, after) in zip(keys, changes, strict=True))
    assert labels(undeployed, name) <= {"AWSCURRENT", "AWSPREVIOUS"}


def test_who_was_slower_begins_with_what_is_there_now(undeployed: Relay, name: str) -> None:
    undeployed.keep("sources", {"a": "a"})
    seen: list[Object] = []

    def slow(held: Object) -> Object:
        seen.append(held)
        if len(seen) == 1:
            stored.change(name, adding("faster"), "secrets")
        return {**held, "slower": "slower"}

    before, after = stored.change(name, slow, "secrets")

    assert seen == [{"a": "a"}, {"a": "a", "faster": "faster"}]
    assert (before, after) == (seen[1], undeployed.kept("sources"))
    assert after.keys() == {"a", "faster", "slower"}


def test_two_who_make_the_secret_make_it_once(undeployed: Relay, name: str) -> None:
    seen: list[Object] = []

    def slow(held: Object) -> Object:
        seen.append(held)
        if len(seen) == 1:
            stored.change(name, adding("faster"), "secrets")
        return {**held, "slower": "slower"}

    stored.change(name, slow, "secrets")

    assert undeployed.kept("sources").keys() == {"faster", "slower"}


def test_who_is_always_slower_gives_up_and_changes_nothing(undeployed: Relay, name: str) -> None:
    count = iter(range(1000))

    def slow(held: Object) -> Object:
        stored.change(name, adding(f"faster-{next(count)}"), "secrets")
        return {**held, "slower": "slower"}

    with pytest.raises(Failure, match="by others all the time: nothing was changed"):
        stored.change(name, slow, "secrets")

    assert "slower" not in undeployed.kept("sources")
    assert labels(undeployed, name) <= {"AWSCURRENT", "AWSPREVIOUS"}


class Broken:
    """Secrets Manager, of which one call isn't answered, or not carried out either."""

    def __init__(self, relay: Relay, *, carried_out: bool, code: str) -> None:
        self.client, self.carried_out, self.code = relay.secretsmanager, carried_out, code

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def update_secret_version_stage(self, **said: Any) -> Any:
        if said["VersionStage"] != "AWSCURRENT":
            return self.client.update_secret_version_stage(**said)
        if self.carried_out:
            self.client.update_secret_version_stage(**said)
        raise ClientError({"Error": {"Code": self.code, "Message": "no"}}, "UpdateSecretVersionStage")


def test_a_move_whose_answer_was_lost_counts(undeployed: Relay, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client tries again by itself, and is told then that the label isn't there any more."""
    undeployed.keep("sources", {"a": "a"})
    broken = Broken(undeployed, carried_out=True, code="InvalidParameterException")
    monkeypatch.setattr(aws, "client", lambda _: broken)

    stored.change(name, adding("b"), "secrets")

    assert undeployed.kept("sources").keys() == {"a", "b"}
    assert labels(undeployed, name) <= {"AWSCURRENT", "AWSPREVIOUS"}


@pytest.mark.parametrize("code", ["AccessDeniedException", "InvalidParameterException"])
def test_a_move_that_is_refused_for_itself_is_told_and_leaves_no_label(
    undeployed: Relay, name: str, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    undeployed.keep("sources", {"a": "a"})
    monkeypatch.setattr(aws, "client", lambda _: Broken(undeployed, carried_out=False, code=code))

    with pytest.raises(Failure, match="UpdateSecretVersionStage"):
        stored.change(name, adding("b"), "secrets")

    assert undeployed.kept("sources") == {"a": "a"}
    assert labels(undeployed, name) <= {"AWSCURRENT", "AWSPREVIOUS"}


def test_who_is_cut_off_in_the_middle_leaves_the_secret_as_it_was(undeployed: Relay, name: str) -> None:
    undeployed.keep("sources", {"a": "a"})
    undeployed.secretsmanager.put_secret_value(SecretId=name, SecretString="{}", VersionStages=["relay-cut-off"])

    stored.change(name, adding("b"), "secrets")

    assert undeployed.kept("sources") == {"a": "a", "b": "b"}
