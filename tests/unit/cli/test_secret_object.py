"""Several people set secrets at once: none is lost, and what is told as set is there."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from cli.client import aws, secret_object
from tests.aws_wire import refused
from tests.unit.cli.conftest import entry, values
from tests.unit.cli.terminal import PROGRAM, TERMINAL_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.unit.cli.conftest import Relay

PUT, MOVE = "PutSecretValue", "UpdateSecretVersionStage"


@contextmanager
def before(operation: str, act: Callable[[Any], Any]) -> Iterator[None]:
    """Have *act* called just before the command's own *operation* is sent; what it returns is AWS's answer instead."""
    events, name = aws.client("secretsmanager").meta.events, f"before-send.secretsmanager.{operation}"

    def called(request: Any, **_: Any) -> Any:
        return act(request)

    events.register(name, called)
    try:
        yield
    finally:
        events.unregister(name, called)


def somebody_else(relay: Relay, kind: str, times: int = 1) -> Callable[[object], None]:
    """Return what changes the secret *kind* behind the command's back, so many *times*."""
    left = iter(range(times))

    def change(_: object) -> None:
        number = next(left, None)
        if number is not None:
            changed = {**relay.kept(kind), f"other-{number}": [entry("s3cr3t-other")]}
            name = f"{relay.name}/{kind}"
            relay.secretsmanager.put_secret_value(SecretId=name, SecretString=json.dumps(changed))

    return change


def plain(kept_object: dict[str, Any]) -> dict[str, Any]:
    """Return what is kept without its times."""
    return {name: [each["value"] for each in it] if isinstance(it, list) else it for name, it in kept_object.items()}


@pytest.mark.parametrize("operation", [PUT, MOVE])
@pytest.mark.parametrize(
    ("kind", "words", "left"),
    [
        ("sources", ("set", "acme"), {"github": ["s3cr3t-b", "s3cr3t-a"], "acme": ["s3cr3t-new"]}),
        ("sources", ("set", "github", "--replace"), {"github": ["s3cr3t-new"]}),
        ("sources", ("retire", "github"), {"github": ["s3cr3t-b"]}),
        ("sources", ("retire", "github", "--all", "--yes"), {}),
        ("github", ("set", "github-api"), {"token": "s3cr3t-new"}),
        ("destinations", ("set", "destination:erp"), {"crm": "s3cr3t-crm", "erp": "s3cr3t-new"}),
        ("destinations", ("retire", "destination:crm", "--all", "--yes"), {}),
    ],
)
def test_what_somebody_else_sets_meanwhile_stays(
    undeployed: Relay, operation: str, kind: str, words: tuple[str, ...], left: dict[str, Any]
) -> None:
    """Whoever writes second begins anew with what the first wrote."""
    undeployed.keep("sources", {"github": [entry("s3cr3t-b"), entry("s3cr3t-a")]})
    undeployed.keep("github", {"token": "s3cr3t-before"})
    undeployed.keep("destinations", {"crm": "s3cr3t-crm"})

    with before(operation, somebody_else(undeployed, kind)):
        shown = undeployed.run("secret", *words, stdin="s3cr3t-new")

    assert shown.exit_code == 0, shown.stderr
    assert plain(undeployed.kept(kind)) == {**left, "other-0": ["s3cr3t-other"]}


def test_two_who_make_the_secret_at_once_both_have_theirs_in_it(undeployed: Relay) -> None:
    def make(_: object) -> None:
        undeployed.keep("sources", {"other": [entry("s3cr3t-other")]})

    with before("CreateSecret", make):
        shown = undeployed.run("secret", "set", "github", "--json", stdin="s3cr3t-new")

    assert json.loads(shown.stdout)["changed"] is True
    assert (values(undeployed, "github"), values(undeployed, "other")) == (["s3cr3t-new"], ["s3cr3t-other"])


def test_a_secret_with_nothing_in_it_yet_is_filled(undeployed: Relay) -> None:
    """Somebody made it with a template, and left the value to others: AWS has no AWSCURRENT then, the local one has."""
    name = f"{undeployed.name}/sources"
    version = undeployed.secretsmanager.create_secret(Name=name)["VersionId"]
    undeployed.secretsmanager.update_secret_version_stage(
        SecretId=name, VersionStage="AWSCURRENT", RemoveFromVersionId=version
    )

    shown = undeployed.run("secret", "set", "github", stdin="s3cr3t-new")

    assert shown.exit_code == 0, shown.stderr
    assert values(undeployed, "github") == ["s3cr3t-new"]


def test_many_at_once_lose_none(undeployed: Relay) -> None:
    undeployed.keep("sources", {})
    name = f"{undeployed.name}/sources"
    sources = [f"source-{number}" for number in range(6)]

    with ThreadPoolExecutor(len(sources)) as people:
        work = [people.submit(secret_object.change_object, name, partial(_with, it), "") for it in sources]
        assert [it.result() for it in work] == [True] * len(sources)

    assert sorted(undeployed.kept("sources")) == sources


def _with(source: str, held: dict[str, Any]) -> dict[str, Any]:
    return {**held, source: [entry("s3cr3t")]}


def test_three_commands_at_once_lose_none(undeployed: Relay) -> None:
    """As a script sets them: three processes, started together."""
    sources = ("github", "acme", "shop")
    command = [*PROGRAM, "--name", undeployed.name, "secret", "set"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    running = [subprocess.Popen([*command, it], **pipes) for it in sources]  # type: ignore[call-overload]  # noqa: S603
    for process in running:
        process.stdin.write(b"s3cr3t")
        process.stdin.close()
        process.stdin = None
    told = [it.communicate(timeout=TERMINAL_S) for it in running]

    assert [it.returncode for it in running] == [0, 0, 0], told
    assert [f"{it} is set" in out.decode() for it, (out, _) in zip(sources, told, strict=True)] == [True] * 3
    assert {it: values(undeployed, it) for it in sources} == {it: ["s3cr3t"] for it in sources}


@pytest.mark.parametrize("operation", [PUT, MOVE])
def test_killed_in_the_middle_it_leaves_what_was_there_and_the_next_works(undeployed: Relay, operation: str) -> None:
    undeployed.run("secret", "set", "github", stdin="s3cr3t-one")

    def kill(_: object) -> None:
        raise KeyboardInterrupt

    with before(operation, kill):
        undeployed.run("secret", "set", "github", stdin="s3cr3t-lost")
    assert values(undeployed, "github") == ["s3cr3t-one"]

    assert undeployed.run("secret", "set", "github", stdin="s3cr3t-two").exit_code == 0
    assert values(undeployed, "github") == ["s3cr3t-two", "s3cr3t-one"]


def test_versions_have_one_label_of_the_relays_own(undeployed: Relay) -> None:
    """A version has twenty labels at most: one for all of them never fills that up."""
    undeployed.run("secret", "set", "github", stdin="s3cr3t-one")
    with before(MOVE, somebody_else(undeployed, "sources", times=3)):
        undeployed.run("secret", "set", "github", stdin="s3cr3t-two")

    versions = undeployed.secretsmanager.list_secret_version_ids(
        SecretId=f"{undeployed.name}/sources", IncludeDeprecated=True
    )["Versions"]
    labels = {label for it in versions for label in it.get("VersionStages", ())}
    assert labels == {"AWSCURRENT", "AWSPREVIOUS", "RELAYPENDING"}


def test_who_is_never_the_fastest_is_told_that_nothing_is_set(
    undeployed: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secret_object, "PAUSE_MAX_S", 0)
    undeployed.keep("sources", {})

    with before(MOVE, somebody_else(undeployed, "sources", times=100)):
        shown = undeployed.run("secret", "set", "github", stdin="s3cr3t-new")

    assert shown.exit_code == 1
    assert "was changed by others at each of 12 tries" in shown.stderr
    assert "is set" not in shown.stdout
    assert "github" not in undeployed.kept("sources")


def test_a_move_whose_answer_got_lost_is_known_again(undeployed: Relay) -> None:
    """It is sent once more by itself, and then refused, since it was done the first time."""
    undeployed.keep("sources", {})

    def move(request: Any) -> Any:
        undeployed.secretsmanager.update_secret_version_stage(**json.loads(request.body))
        return refused(request, "InvalidParameterException")

    with before(MOVE, move):
        shown = undeployed.run("secret", "set", "github", "--json", stdin="s3cr3t-new")

    assert json.loads(shown.stdout)["changed"] is True
    assert values(undeployed, "github") == ["s3cr3t-new"]


def test_who_may_put_and_not_move_is_told_and_changes_nothing(undeployed: Relay) -> None:
    undeployed.keep("sources", {"github": [entry("s3cr3t-one")]})

    with before(MOVE, lambda request: refused(request, "AccessDeniedException")):
        shown = undeployed.run("secret", "set", "github", stdin="s3cr3t-new")

    assert shown.exit_code == 1
    assert f"refused {MOVE} (AccessDeniedException): your AWS identity may not do that" in shown.stderr
    assert values(undeployed, "github") == ["s3cr3t-one"]
