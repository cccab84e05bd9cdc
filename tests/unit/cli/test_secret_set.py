"""`relay secret set`: what goes in, what overlaps, and what is too much."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from relay.config import secret_names
from tests.unit.cli.conftest import entry, values
from tests.unit.cli.terminal import on_a_terminal

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Relay


def test_the_first_secret_of_the_first_source_is_made_before_any_deploy(undeployed: Relay) -> None:
    shown = undeployed.run("secret", "set", "github", stdin="s3cr3t-one\n")

    assert shown.exit_code == 0, shown.stderr
    assert [it["value"] for it in undeployed.kept("sources")["github"]] == ["s3cr3t-one"]
    assert undeployed.kept("sources")["github"][0]["created_at"].endswith("+00:00")


def test_a_rotation_overlaps_newest_first_and_a_slip_pushes_out_nothing(undeployed: Relay) -> None:
    """The source still signs with the first, whatever was set by mistake before the right one."""
    shown = [undeployed.run("secret", "set", "github", stdin=f"s3cr3t-{it}") for it in ("one", "slip", "two", "3", "4")]
    undeployed.run("secret", "set", "acme", stdin="s3cr3t-acme")

    assert values(undeployed, "github") == ["s3cr3t-4", "s3cr3t-3", "s3cr3t-two", "s3cr3t-slip", "s3cr3t-one"]
    assert values(undeployed, "acme") == ["s3cr3t-acme"]
    said = [it.stdout.partition("github is set")[2] for it in shown]
    assert said[:2] == ["\n", "; 1 older stays valid until `relay secret retire github`\n"]
    assert said[4] == "; 4 older stay valid until `relay secret retire github`\n"
    assert [it.stderr for it in shown] == [""] * 5


@pytest.mark.parametrize("flag", [(), ("--json",)], ids=["people", "program"])
def test_a_sixth_secret_drops_the_oldest_and_says_so(undeployed: Relay, flag: tuple[str, ...]) -> None:
    held = [entry(f"s3cr3t-{it}", days=it) for it in range(1, 6)]
    undeployed.keep("sources", {"github": held})

    shown = undeployed.run("secret", "set", "github", *flag, stdin="s3cr3t-0")

    assert values(undeployed, "github") == [f"s3cr3t-{it}" for it in range(5)]
    assert shown.stderr.startswith("note: github has at most 5 signing secrets: the oldest, set 5 d ago, is dropped")
    assert shown.stderr.count("\n") == 1


@pytest.mark.parametrize("words", [("s3cr3t-3",), ("s3cr3t-0", "--replace")], ids=["again", "replace"])
def test_what_is_not_one_too_many_is_not_told_as_dropped(undeployed: Relay, words: tuple[str, ...]) -> None:
    undeployed.keep("sources", {"github": [entry(f"s3cr3t-{it}", days=it) for it in range(1, 6)]})

    shown = undeployed.run("secret", "set", "github", *words[1:], stdin=words[0])

    assert shown.exit_code == 0
    assert shown.stderr == ""
    assert len(values(undeployed, "github")) == (1 if "--replace" in words else 5)


def test_the_same_secret_again_pushes_nothing_out(undeployed: Relay) -> None:
    for value in ("s3cr3t-one", "s3cr3t-two"):
        undeployed.run("secret", "set", "github", stdin=value)

    again = undeployed.run("secret", "set", "github", "--json", stdin="s3cr3t-two")

    assert json.loads(again.stdout)["changed"] is False
    assert [it["value"] for it in undeployed.kept("sources")["github"]] == ["s3cr3t-two", "s3cr3t-one"]


def test_the_one_before_comes_back_when_it_is_set_again(undeployed: Relay) -> None:
    for value in ("s3cr3t-one", "s3cr3t-two", "s3cr3t-one"):
        undeployed.run("secret", "set", "github", stdin=value)

    assert [it["value"] for it in undeployed.kept("sources")["github"]] == ["s3cr3t-one", "s3cr3t-two"]


def test_replace_forgets_the_one_before(undeployed: Relay) -> None:
    undeployed.run("secret", "set", "github", stdin="s3cr3t-one")

    shown = undeployed.run("secret", "set", "github", "--replace", "--json", stdin="s3cr3t-two")

    assert [it["value"] for it in undeployed.kept("sources")["github"]] == ["s3cr3t-two"]
    assert json.loads(shown.stdout) == {
        "name": "github",
        "secret": f"{undeployed.name}/sources",
        "values": 1,
        "changed": True,
    }


@pytest.mark.parametrize(
    "value", ["", "\n", "   ", "\t\n", " padded", "padded \n", "two\nlines", "\x00", b"\xff\xfe", "x" * 5000]
)
def test_a_secret_that_can_not_be_meant_is_refused(undeployed: Relay, value: str | bytes) -> None:
    shown = undeployed.run("secret", "set", "github", stdin=value)

    assert shown.exit_code == 1
    assert shown.stderr.startswith("error: the secret ")
    with pytest.raises(undeployed.secretsmanager.exceptions.ResourceNotFoundException):
        undeployed.kept("sources")


@pytest.mark.parametrize(
    "words",
    [
        ("a.b",),
        ("",),
        ("github", "--url", "https://qstash.upstash.io"),
        ("qstash", "--replace"),
        ("github-api", "--force"),
    ],
)
def test_a_secret_set_that_makes_no_sense_is_an_error_of_usage(undeployed: Relay, words: tuple[str, ...]) -> None:
    assert undeployed.run("secret", "set", *words, stdin="value").exit_code == 2


@pytest.mark.parametrize("held", ["not JSON", "[]", '{"github": "text"}', '{"github": [{"valu": "s3cr3t-old"}]}'])
def test_a_secret_that_somebody_broke_is_left_as_it_is(undeployed: Relay, held: str) -> None:
    undeployed.keep("sources", held)

    shown = undeployed.run("secret", "set", "github", stdin="s3cr3t-new")

    assert shown.exit_code == 1
    assert "fix it in Secrets Manager" in shown.stderr
    assert "s3cr3t" not in shown.output
    text = undeployed.secretsmanager.get_secret_value(SecretId=f"{undeployed.name}/sources")["SecretString"]
    assert text == held


def test_a_secret_marked_for_deletion_is_told_with_the_command_that_brings_it_back(undeployed: Relay) -> None:
    undeployed.keep("sources", {})
    undeployed.secretsmanager.delete_secret(SecretId=f"{undeployed.name}/sources", RecoveryWindowInDays=7)

    shown = undeployed.run("secret", "set", "github", stdin="s3cr3t-new")

    assert shown.exit_code == 1
    assert f"aws secretsmanager restore-secret --secret-id {undeployed.name}/sources" in shown.stderr


def test_a_source_that_is_not_deployed_is_noted(deployed: Relay) -> None:
    unknown = deployed.run("secret", "set", "zeta", stdin="s3cr3t-new")
    known = deployed.run("secret", "set", "github", stdin="s3cr3t-new")

    assert unknown.exit_code == 0
    assert "has no source zeta" in unknown.stderr
    assert values(deployed, "zeta") == ["s3cr3t-new"]
    assert known.stderr == ""


def test_a_slip_of_a_deployed_sources_name_is_refused_unless_it_is_meant(deployed: Relay) -> None:
    slip = deployed.run("secret", "set", "githbu", stdin="s3cr3t-new")
    assert slip.exit_code == 1
    assert "has no source githbu: did you mean github?" in slip.stderr
    assert "githbu" not in deployed.kept("sources")

    meant = deployed.run("secret", "set", "githbu", "--force", stdin="s3cr3t-new")
    assert meant.exit_code == 0
    assert "has no source githbu yet" in meant.stderr
    assert values(deployed, "githbu") == ["s3cr3t-new"]


def test_where_the_relay_can_not_be_asked_a_secret_is_stored_with_a_note(deployed: Relay) -> None:
    """Whether it has such a source, it alone knows."""
    deployed.server.says("GET", "/v1/config", {"message": "Forbidden"}, status=403)

    unknown = deployed.run("secret", "set", "githbu", stdin="s3cr3t-new")
    known = deployed.run("secret", "set", "github", stdin="s3cr3t-new")

    assert (unknown.exit_code, known.exit_code) == (0, 0)
    assert "has no source" not in unknown.stderr + known.stderr
    assert "attach the managed policy" in unknown.stderr
    assert "attach the managed policy" in known.stderr
    assert values(deployed, "github")[0] == values(deployed, "githbu")[0] == "s3cr3t-new"


def test_a_secret_is_typed_without_an_echo(undeployed: Relay) -> None:
    status, shown = on_a_terminal("secret", "set", "github", asked="Signing secret of github: ", typed="s3cr3t-typed\n")

    assert status == 0, shown
    assert values(undeployed, "github") == ["s3cr3t-typed"]
    assert "s3cr3t" not in shown


@pytest.mark.parametrize("letter", ["x", "é", "語", "𝄞"], ids=lambda it: f"{len(it.encode())} bytes")
def test_a_secret_too_long_is_refused_and_not_cut(undeployed: Relay, letter: str) -> None:
    """Cut after so many bytes, it would pass for a shorter one."""
    for count in (4097, 40_001, 70_000):
        shown = undeployed.run("secret", "set", "github", stdin=letter * count)
        assert shown.exit_code == 1
        assert "longer than 4096 characters" in shown.stderr

    assert undeployed.run("secret", "set", "github", stdin=letter * 4096).exit_code == 0
    assert values(undeployed, "github") == [letter * 4096]


# -- how much fits ------------------------------------------------------------------------------------------------


def test_forty_sources_with_two_long_secrets_each_fit(undeployed: Relay) -> None:
    name = secret_names.sources(undeployed.name)
    held = [f"source-{n:02d}" for n in range(39)]
    undeployed.keep("sources", {it: [entry("x" * 512), entry("y" * 512)] for it in held})
    for value in ("x" * 512, "y" * 512):
        assert undeployed.run("secret", "set", "source-39", stdin=value).exit_code == 0

    kept = undeployed.kept("sources")
    assert [[len(it["value"]) for it in kept[source]] for source in [*held, "source-39"]] == [[512, 512]] * 40
    text = undeployed.secretsmanager.get_secret_value(SecretId=name)["SecretString"]
    assert 40 * 2 * 512 < len(text.encode()) < 46_000


@pytest.mark.parametrize("over", [0, 1])
def test_what_secrets_manager_does_not_take_is_refused_with_what_to_do(undeployed: Relay, over: int) -> None:
    """65,536 bytes fit, one more does not; what was there stays."""
    held = {"old": [{"value": "o" * 512}]}
    after = {**held, "github": [{"value": "x", "created_at": "2026-11-01T00:00:00+00:00"}]}
    held["old"][0]["value"] += "o" * (65_536 - len(json.dumps(after, separators=(",", ":"))) + over)
    undeployed.keep("sources", held)

    shown = undeployed.run("secret", "set", "github", stdin="x")

    assert shown.exit_code == over
    if over:
        assert "65,537 bytes" in shown.stderr
        assert "relay secret retire" in shown.stderr
        assert undeployed.kept("sources") == held
    else:
        text = undeployed.secretsmanager.get_secret_value(SecretId=f"{undeployed.name}/sources")["SecretString"]
        assert len(text) == 65_536
