"""`relay secret`: what goes in, overlaps, is retired and listed, and that none of it ever comes out."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cli import aws, secrets
from infra.config import built_in_schemes
from infra.local.made_up import made_up
from tests.aws_wire import Wire, wire_of
from tests.unit.cli.conftest import SECRET, TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.cli.conftest import Relay

PUSH = str(Path(__file__).parents[3] / "events" / "github" / "push.json")
TERMINAL_S = 10
PROGRAM = [sys.executable, "-c", "from cli.main import main; main()"]


@pytest.fixture
def wire(undeployed: Relay) -> Iterator[Wire]:  # noqa: ARG001  # it says where AWS is
    with wire_of(aws.client("secretsmanager")) as wire:
        yield wire


@pytest.fixture
def far_east(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have this machine's clock show another time than UTC."""
    with monkeypatch.context() as there:
        there.setenv("TZ", "JST-9")
        time.tzset()
        yield
    time.tzset()


def values(relay: Relay, source: str) -> list[str]:
    """Return the signing secrets of *source* that are kept."""
    return [it["value"] for it in relay.kept("sources")[source]]


def entry(value: str, **age: float) -> dict[str, str]:
    """Return a signing secret as it is kept, of an age such as `days=3`."""
    return {"value": value, "created_at": (datetime.now(UTC) - timedelta(**age)).isoformat(timespec="seconds")}


def on_a_terminal(*words: str, asked: str, typed: str) -> tuple[int, str]:
    """Run a command on a terminal, and type once it has *asked*; return its status and what the terminal showed."""
    ours, its = pty.openpty()
    with subprocess.Popen([*PROGRAM, *words], stdin=its, stdout=its, stderr=its, start_new_session=True) as running:  # noqa: S603
        os.close(its)
        shown = b""
        try:
            while part := _read(ours):
                shown += part
                if typed and asked.encode() in shown:
                    os.write(ours, typed.encode())
                    typed = ""
            status = running.wait(timeout=TERMINAL_S)
        finally:
            running.kill()
            os.close(ours)
    return status, shown.decode()


def _read(terminal: int) -> bytes:
    """Return what the terminal shows next; nothing at its end, or where a command waits for what nobody types."""
    if not select.select([terminal], [], [], TERMINAL_S)[0]:
        return b""
    try:
        return os.read(terminal, 4096)
    except OSError:  # the other end is closed
        return b""


# -- set ----------------------------------------------------------------------------------------------------------


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
    assert shown.stderr.startswith("note: github keeps 5 signing secrets: the oldest, set 5 d ago, is dropped")
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


def test_a_new_qstash_token_keeps_the_url(undeployed: Relay) -> None:
    undeployed.run("secret", "set", "qstash", "--url", "https://qstash-eu.example.com", stdin="token-one\r\n")
    undeployed.run("secret", "set", "qstash", stdin="token-two")

    assert undeployed.kept("qstash") == {"token": "token-two", "url": "https://qstash-eu.example.com"}


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
        ("qstash", "--force"),
        ("qstash", "--url", "qstash.upstash.io"),
        ("qstash", "--url", "https://user:pass@example.com"),
        ("qstash", "--url", "http://[::1"),
    ],
)
def test_a_secret_set_that_makes_no_sense_is_an_error_of_usage(undeployed: Relay, words: tuple[str, ...]) -> None:
    assert undeployed.run("secret", "set", *words, stdin="value").exit_code == 2


def test_a_token_with_a_space_is_refused(undeployed: Relay) -> None:
    assert undeployed.run("secret", "set", "qstash", stdin="a b").exit_code == 1


@pytest.mark.parametrize("held", ["not JSON", "[]", '{"github": "text"}', '{"github": [{"valu": "s3cr3t-old"}]}'])
def test_a_secret_that_somebody_broke_is_left_as_it_is(undeployed: Relay, held: str) -> None:
    undeployed.keep("sources", held)

    shown = undeployed.run("secret", "set", "github", stdin="s3cr3t-new")

    assert shown.exit_code == 1
    assert "mend it in Secrets Manager" in shown.stderr
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
    """The names of its sources are outputs of the stack too."""
    deployed.server.says("GET", "/v1/config", {"message": "Forbidden"}, status=403)

    unknown = deployed.run("secret", "set", "githbu", stdin="s3cr3t-new")
    known = deployed.run("secret", "set", "github", stdin="s3cr3t-new")

    assert (unknown.exit_code, known.exit_code) == (0, 0)
    assert "has no source githbu yet" in unknown.stderr
    assert "has no source" not in known.stderr
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


# -- the form that a scheme wants ---------------------------------------------------------------------------------

ANY_32_BYTES = "00" * 32
WRONG = [
    ("box", "s3cr3t", '{"primary": "…", "secondary": "…"}'),
    ("box", '{"secret": "s3cr3t"}', '{"primary": "…", "secondary": "…"}'),
    ("discord", "abc", "32 bytes as hex digits"),
    ("discord", "abcd", "32 bytes as hex digits"),
    ("discord", ANY_32_BYTES + "00", "32 bytes as hex digits"),
    ("telnyx", "!", "32 bytes as base64"),
    ("sendgrid", "abcd", "P-256"),
    ("standard-webhooks", "whsec_!", "base64, with or without whsec_"),
    ("standard-webhooks", '{"a": "YWJj", "b": "YWJj"}', "one text"),
    ("meta", '{"a": "s3cr3t", "b": "s3cr3t"}', '{"app_secret": "…"}'),
    ("adyen-balance-platform", "xyz", "hex digits"),
    ("adyen", "xyz", "hex digits"),
    ("adyen", '{"a": "00", "b": "00"}', "hex digits"),
    ("aws-sns", "hello", "begins with arn:"),
    ("aws-sns", '{"signing_cert_pem": "s3cr3t"}', "begins with arn:"),
    ("paypal", '{"cert_pem": "s3cr3t"}', "webhook's id"),
    ("ms-graph", '{"a": "s3cr3t", "b": "s3cr3t"}', "clientState"),
    ("plaid", "s3cr3t", '{"client_id": "…", "secret": "…"}'),
    ("plaid", '{"client_id": "s3cr3t"}', '{"client_id": "…", "secret": "…"}'),
    ("plaid", '{"jwk": "s3cr3t"}', '{"client_id": "…", "secret": "…"}'),
    ("pusher", "s3cr3t", '{"secret": "…", "key": "…"}'),
    ("livekit", '{"api_secret": "s3cr3t"}', '{"api_secret": "…", "api_key": "…"}'),
    ("braintree", '{"private_key": "s3cr3t"}', '{"private_key": "…", "public_key": "…"}'),
    ("basic", "s3cr3t", '{"username": "…", "password": "…"}, or user:password'),
    ("token", '{"a": "s3cr3t", "b": "s3cr3t"}', "one text"),
    ("vonage", '{"a": "s3cr3t", "b": "s3cr3t"}', "one text"),
]
RIGHT = [
    ("box", '{"primary":"a"}'),
    ("box", '{"secondary":"b"}'),
    ("discord", ANY_32_BYTES),
    ("standard-webhooks", "YWJj"),
    ("openai", "any text"),
    ("meta", "one text"),
    ("aws-sns", "arn:aws:sns:eu-central-1:123456789012:orders"),
    ("paypal", "8PT597110X687430LKGECATA"),
    ("plaid", '{"client_id":"c","secret":"s"}'),
    ("basic", "user:password"),
    ("qstash", '{"current":"a","next":"b"}'),
    ("github", "any text"),
    ("vonage", "any text"),
]


@pytest.mark.parametrize(("scheme", "value", "form"), WRONG)
def test_what_a_scheme_can_not_use_is_told_with_the_form_that_it_wants(scheme: str, value: str, form: str) -> None:
    problem = secrets.problem_of(value, built_in_schemes()[scheme].row())

    assert problem is not None
    assert problem.startswith("it must be ")
    assert form in problem
    assert "s3cr3t" not in problem


@pytest.mark.parametrize(("scheme", "value"), RIGHT)
def test_what_a_scheme_can_use_is_no_problem(scheme: str, value: str) -> None:
    assert secrets.problem_of(value, built_in_schemes()[scheme].row()) is None


@pytest.mark.parametrize("scheme", sorted(built_in_schemes()))
def test_what_a_provider_would_show_is_no_problem(scheme: str) -> None:
    row = built_in_schemes()[scheme].row()

    assert secrets.problem_of(made_up(row), row) is None


def test_a_jwt_that_a_private_key_signs_wants_the_public_one_as_pem() -> None:
    row = {"signature": "Authorization: Bearer {jwt}", "algorithm": "jwt-es256"}

    assert "PEM" in str(secrets.problem_of("s3cr3t", row))
    assert secrets.problem_of(made_up(row), row) is None


@pytest.mark.parametrize("row", [None, {}, {"signature": "X: {hex}", "algorithm": "of a later version"}])
def test_a_row_of_another_version_has_no_wishes(row: Any) -> None:
    assert secrets.problem_of("s3cr3t", row) is None


def test_a_secret_that_the_deployed_scheme_can_not_use_is_refused_unless_forced(deployed: Relay) -> None:
    deployed.configure(sources={"chat": {"scheme": "discord", "row": built_in_schemes()["discord"].row()}})

    refused = deployed.run("secret", "set", "chat", stdin="s3cr3t")
    assert refused.exit_code == 1
    assert "it must be the public key, 32 bytes as hex digits" in refused.stderr
    assert "docs/schemes.md" in refused.stderr
    assert "--force" in refused.stderr
    assert "s3cr3t" not in refused.output
    assert "chat" not in deployed.kept("sources")

    assert deployed.run("secret", "set", "chat", "--force", stdin="s3cr3t").exit_code == 0
    assert values(deployed, "chat") == ["s3cr3t"]
    assert deployed.run("secret", "set", "chat", stdin=ANY_32_BYTES).exit_code == 0
    assert values(deployed, "chat")[0] == ANY_32_BYTES


# -- several parts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ('{"username": "u", "password": "p"}', '{"password":"p","username":"u"}'),
        ('{\n  "secondary": "b",\n  "primary": "a"\n}\n', '{"primary":"a","secondary":"b"}'),
        (' {"a":"b"} ', '{"a":"b"}'),
        ('{"password": "grün \\n"}', '{"password":"gr\\u00fcn \\n"}'),
        (
            '{"jwk": {"kty": "EC", "expired_at": null, "created_at": 1560466150}, "client_id": "c"}',
            '{"client_id":"c","jwk":{"created_at":1560466150,"expired_at":null,"kty":"EC"}}',
        ),
        ('{"jwk": "text"}', '{"jwk":"text"}'),
    ],
)
def test_a_secret_of_several_parts_is_kept_in_one_form(undeployed: Relay, given: str, kept: str) -> None:
    shown = undeployed.run("secret", "set", "box", stdin=given)

    assert shown.exit_code == 0, shown.stderr
    assert values(undeployed, "box") == [kept]
    assert json.loads(kept) == json.loads(given)


def test_the_same_parts_in_another_order_are_the_same_secret(undeployed: Relay) -> None:
    undeployed.run("secret", "set", "box", stdin='{"primary": "a", "secondary": "b"}')

    again = undeployed.run("secret", "set", "box", "--json", stdin='{"secondary":"b","primary":"a"}')

    assert json.loads(again.stdout)["changed"] is False
    assert len(values(undeployed, "box")) == 1


@pytest.mark.parametrize(
    "given",
    [
        "{s3cr3t",
        '{"s3cr3t"}',
        '{"a": "s3cr3t",}',
        '{"a": "s3cr3t"} {"b": "s3cr3t"}',
        '{"a": "s3cr3t", "a": "s3cr3t-2"}',
        '{"jwk": {"s3cr3t": NaN}}',
        '{"jwk": {"s3cr3t": 1e999}}',
        '{"s3cr3t": "\\ud800"}',
        '{"a":' * 1200 + "1" + "}" * 1200,
        "{}",
        '{"s3cr3t": ""}',
        '{"s3cr3t": " \\n"}',
        '{"": "s3cr3t"}',
        '{"s3cr3t": 1}',
        '{"s3cr3t": null}',
        '{"a": ["s3cr3t"]}',
        '{"a": {"b": "s3cr3t"}}',
        '{"jwk": {}}',
        '{"jwk": ["s3cr3t"]}',
        '{"a": "' + "s3cr3t" * 700 + '"}',
    ],
    ids=lambda it: it[:30],
)
def test_parts_that_are_no_texts_are_refused_without_being_shown(undeployed: Relay, given: str) -> None:
    shown = undeployed.run("secret", "set", "box", stdin=given)

    assert shown.exit_code == 1
    assert shown.stderr.startswith("error: the secret ")
    assert shown.stderr.count("\n") == 1
    assert "s3cr3t" not in shown.output
    with pytest.raises(undeployed.secretsmanager.exceptions.ResourceNotFoundException):
        undeployed.kept("sources")


def test_qstash_has_one_token_and_no_parts(undeployed: Relay) -> None:
    undeployed.run("secret", "set", "qstash", stdin='{"b":"x","a":"y"}')

    assert undeployed.kept("qstash") == {"token": '{"b":"x","a":"y"}'}


# -- how much fits ------------------------------------------------------------------------------------------------


def test_forty_sources_with_two_long_secrets_each_fit(undeployed: Relay) -> None:
    name = secrets.sources_secret(undeployed.name)
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


# -- retire -------------------------------------------------------------------------------------------------------


def test_retire_takes_the_older_away_and_nothing_else(undeployed: Relay) -> None:
    newest, acme = entry("s3cr3t-new", hours=3), [entry("s3cr3t-a"), entry("s3cr3t-b")]
    undeployed.keep("sources", {"github": [newest, entry("s3cr3t-old", days=9), entry("s3cr3t-older")], "acme": acme})

    shown = undeployed.run("secret", "retire", "github")

    assert shown.exit_code == 0, shown.stderr
    assert undeployed.kept("sources") == {"github": [newest], "acme": acme}
    assert "github has its newest signing secret left, set 3 h ago; 2 retired" in shown.stdout


def test_retire_tells_a_program_how_many_are_left(undeployed: Relay) -> None:
    undeployed.keep("sources", {"github": [entry("s3cr3t-new"), entry("s3cr3t-old")]})

    some = undeployed.run("secret", "retire", "github", "--json")
    all_ = undeployed.run("secret", "retire", "github", "--all", "--yes", "--json")

    expected = {"name": "github", "secret": f"{undeployed.name}/sources"}
    assert json.loads(some.stdout) == {**expected, "values": 1, "retired": 1}
    assert json.loads(all_.stdout) == {**expected, "values": 0, "retired": 1}


def test_the_only_secret_is_not_retired_unless_all_is_said(undeployed: Relay) -> None:
    undeployed.keep("sources", {"github": [entry("s3cr3t-new")]})

    shown = undeployed.run("secret", "retire", "github")

    assert shown.exit_code == 1
    assert "only one" in shown.stderr
    assert "--all" in shown.stderr
    assert values(undeployed, "github") == ["s3cr3t-new"]


def test_retire_all_leaves_none_and_says_what_follows(undeployed: Relay) -> None:
    """It doesn't ask where there is nobody to answer, but must have been told."""
    undeployed.keep("sources", {"github": [entry("s3cr3t-new"), entry("s3cr3t-old")], "acme": [entry("s3cr3t-a")]})

    untold = undeployed.run("secret", "retire", "github", "--all")
    assert untold.exit_code == 2
    assert "--yes" in untold.stderr
    assert len(values(undeployed, "github")) == 2

    shown = undeployed.run("secret", "retire", "github", "--all", "--yes")
    assert shown.exit_code == 0, shown.stderr
    assert list(undeployed.kept("sources")) == ["acme"]
    assert "503" in shown.stdout
    assert "relay secret set github" in shown.stdout


@pytest.mark.parametrize(
    ("flags", "typed", "status"), [((), "n\n", 1), ((), "\n", 1), ((), "y\n", 0), (("--yes",), "", 0)]
)
def test_retire_all_on_a_terminal_asks_unless_told_yes(
    undeployed: Relay, flags: tuple[str, ...], typed: str, status: int
) -> None:
    undeployed.keep("sources", {"github": [entry("s3cr3t-new")]})
    asked = "Take away all signing secrets of github?"

    ended, shown = on_a_terminal("secret", "retire", "github", "--all", *flags, asked=asked, typed=typed)

    assert (ended, asked in shown) == (status, not flags), shown
    assert ("github" in undeployed.kept("sources")) is bool(status)


@pytest.mark.parametrize("flags", [(), ("--all", "--yes")])
@pytest.mark.parametrize("held", [None, {}, {"github": []}, {"acme": [{"value": "s3cr3t-a"}]}], ids=json.dumps)
def test_there_must_be_something_to_retire(undeployed: Relay, held: Any, flags: tuple[str, ...]) -> None:
    if held is not None:
        undeployed.keep("sources", held)

    shown = undeployed.run("secret", "retire", "github", *flags)

    assert shown.exit_code == 1
    assert "github has no signing secret" in shown.stderr


def test_qstashs_token_is_not_retired_but_replaced(undeployed: Relay) -> None:
    undeployed.keep("qstash", {"token": TOKEN})

    shown = undeployed.run("secret", "retire", "qstash", "--all", "--yes")

    assert shown.exit_code == 2
    assert "relay secret set qstash" in shown.stderr
    assert undeployed.kept("qstash") == {"token": TOKEN}


# -- list ---------------------------------------------------------------------------------------------------------


def rows(text: str) -> list[list[str]]:
    """Return the cells of a table's rows, which two spaces part."""
    return [[cell.strip() for cell in it.split("  ") if cell] for it in text.splitlines()[1:]]


def test_list_shows_names_counts_and_ages_and_who_has_none(deployed: Relay) -> None:
    """QStash's first, then the deployed sources, then who isn't deployed."""
    held = {
        "zeta": [entry("s3cr3t-z", seconds=30)],
        "github": [entry("s3cr3t-new", days=3, hours=5), entry("s3cr3t-old", days=400)],
        "beta": [entry("s3cr3t-b", minutes=59.5), entry("s3cr3t-c", hours=23.5)],
    }
    deployed.secretsmanager.put_secret_value(SecretId=f"{deployed.name}/sources", SecretString=json.dumps(held))
    deployed.keep("qstash", {"token": TOKEN})

    shown = deployed.run("secret", "list")

    assert shown.exit_code == 0, shown.stderr
    first, *others, last = rows(shown.stdout)
    assert first[:2] == ["qstash", "1"]
    assert first[2].endswith(" s")
    assert others == [
        ["github", "2", "3 d, 400 d"],
        ["acme", "none", "-"],
        ["beta", "2", "59 min, 23 h"],
    ]
    assert last[:2] == ["zeta", "1"]
    assert last[2] in {"30 s", "31 s", "32 s", "33 s"}
    assert shown.stderr == ""


@pytest.mark.usefixtures("far_east")
def test_list_tells_a_program_the_times(deployed: Relay) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    deployed.run("secret", "set", "qstash", stdin="s3cr3t-token")
    deployed.run("secret", "set", "github", stdin="s3cr3t-new")

    shown = deployed.run("secret", "list", "--json")

    qstash, github, acme = [json.loads(it) for it in shown.stdout.splitlines()]
    assert qstash.keys() == github.keys() == {"name", "values", "created_at"}
    assert (qstash["name"], qstash["values"], github["name"], github["values"]) == ("qstash", 1, "github", 2)
    assert github["created_at"][1] == "2026-11-01T00:00:00Z"
    for text in (*qstash["created_at"], github["created_at"][0]):
        assert text.endswith("Z")
        assert before <= datetime.fromisoformat(text) <= datetime.now(UTC)
    assert acme == {"name": "acme", "values": 0, "created_at": []}


def test_list_without_a_stack_lists_what_is_there(undeployed: Relay) -> None:
    nothing = undeployed.run("secret", "list")
    undeployed.run("secret", "set", "github", stdin="s3cr3t-one")
    something = undeployed.run("secret", "list")

    assert rows(nothing.stdout) == [["qstash", "none", "-"]]
    assert [it[:2] for it in rows(something.stdout)] == [["qstash", "none"], ["github", "1"]]
    assert (nothing.exit_code, something.exit_code, something.stderr) == (0, 0, "")


def test_list_counts_no_token_where_there_is_only_a_url(undeployed: Relay) -> None:
    undeployed.keep("qstash", {"url": "https://qstash.example.com"})

    assert rows(undeployed.run("secret", "list").stdout) == [["qstash", "none", "-"]]


def test_list_while_the_first_deploy_is_under_way_lists_what_is_there(undeployed: Relay) -> None:
    undeployed.stack({})

    shown = undeployed.run("secret", "list")

    assert (shown.exit_code, rows(shown.stdout), shown.stderr) == (0, [["qstash", "none", "-"]], "")


def test_list_where_the_relay_can_not_be_asked_says_so_and_lists_what_is_there(deployed: Relay) -> None:
    deployed.server.says("GET", "/v1/config", {"message": "Forbidden"}, status=403)

    shown = deployed.run("secret", "list")

    assert shown.exit_code == 0
    assert [it[0] for it in rows(shown.stdout)] == ["qstash", "github"]
    assert "attach the managed policy" in shown.stderr


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("qstash", [["qstash", "?"], ["github", "1"], ["acme", "none"]]),
        ("sources", [["qstash", "1"], ["github", "?"], ["acme", "?"]]),
    ],
)
def test_a_secret_that_may_not_be_read_is_told_and_the_rest_is_shown(
    deployed: Relay, wire: Wire, kind: str, expected: list[list[str]]
) -> None:
    deployed.keep("qstash", {"token": TOKEN})
    wire.refusals[f"{deployed.name}/{kind}"] = "AccessDeniedException"

    shown = deployed.run("secret", "list")
    as_json = deployed.run("secret", "list", "--json")

    assert shown.exit_code == 0
    assert [it[:2] for it in rows(shown.stdout)] == expected
    assert shown.stderr == f"the secret {deployed.name}/{kind} isn't yours to read: what it holds isn't shown\n"
    hidden = [it for it in map(json.loads, as_json.stdout.splitlines()) if it["values"] is None]
    assert [it["name"] for it in hidden] == [name for name, count in expected if count == "?"]
    assert all(it["created_at"] is None for it in hidden)


@pytest.mark.parametrize("words", [("list",), ("retire", "github")], ids=" ".join)
def test_who_may_read_no_secret_is_told_whom_to_ask(deployed: Relay, wire: Wire, words: tuple[str, ...]) -> None:
    for kind in ("qstash", "sources"):
        wire.refusals[f"{deployed.name}/{kind}"] = "AccessDeniedException"

    shown = deployed.run("secret", *words)

    assert shown.exit_code == 1
    assert shown.stdout == ""
    assert shown.stderr == (
        "error: Secrets Manager refused GetSecretValue (AccessDeniedException): your AWS identity may not do that: ask"
        " the account's owner for the permission\n"
    )


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"created_at": "soon"},
        {"created_at": ""},
        {"created_at": None},
        {"created_at": 7},
        {"created_at": {}},
        {"created_at": "0001-01-01T00:00:00+09:00"},
    ],
    ids=json.dumps,
)
def test_a_time_that_somebody_broke_is_a_question_mark(undeployed: Relay, broken: dict[str, object]) -> None:
    undeployed.keep("sources", {"github": [entry("s3cr3t", days=2), {"value": "s3cr3t", **broken}]})

    shown = undeployed.run("secret", "list")
    as_json = undeployed.run("secret", "list", "--json")

    assert rows(shown.stdout)[1] == ["github", "2", "2 d, ?"]
    assert json.loads(as_json.stdout.splitlines()[1])["created_at"][1] is None


@pytest.mark.parametrize(
    ("created_at", "told"),
    [("2026-01-31T09:00:00", "2026-01-31T09:00:00Z"), ("2026-01-31T09:00:00.5+02:00", "2026-01-31T07:00:00Z")],
)
@pytest.mark.usefixtures("far_east")
def test_a_time_is_told_in_utc(undeployed: Relay, created_at: str, told: str) -> None:
    undeployed.keep("sources", {"github": [{"value": "s3cr3t", "created_at": created_at}]})

    shown = undeployed.run("secret", "list", "--json")

    assert json.loads(shown.stdout.splitlines()[1])["created_at"] == [told]


def test_a_clock_that_is_behind_makes_no_secret_younger_than_now(undeployed: Relay) -> None:
    undeployed.keep("sources", {"github": [entry("s3cr3t", days=-1)]})

    assert rows(undeployed.run("secret", "list").stdout)[1] == ["github", "1", "0 s"]


# -- never out again ----------------------------------------------------------------------------------------------


def test_no_command_ever_prints_a_secret(deployed: Relay) -> None:
    """What is set, what is held, and what signs: none of it comes out, in tables or JSON, well or not."""
    deployed.keep("qstash", {"token": TOKEN, "url": deployed.server.url})
    deployed.server.says("POST", "/webhooks/github", {"event_id": "rly_1"}, status=202)
    for flag in ((), ("--json",)):
        deployed.run("source", "list", *flag)
        deployed.run("doctor", *flag)
        deployed.run("send", PUSH, *flag)
        deployed.run("secret", "set", "github", *flag, stdin="s3cr3t-new")
        deployed.run("secret", "set", "acme", *flag, stdin='{"primary": "s3cr3t-a", "secondary": "s3cr3t-b"}')
        deployed.run("secret", "set", "acme", *flag, stdin='{"secret": "s3cr3t-a", "secondary": "s3cr3t-b"}')
        deployed.run("secret", "set", "acme", "--force", *flag, stdin='{"primary": "s3cr3t-a", "other": "s3cr3t-b"}')
        deployed.run("doctor", *flag)
        deployed.run("secret", "set", "qstash", *flag, stdin="s3cr3t-token")
        deployed.run("secret", "set", "github", *flag, stdin=" s3cr3t-padded")
        deployed.run("secret", "list", *flag)
        deployed.run("secret", "retire", "github", *flag)
        deployed.run("secret", "retire", "acme", *flag)
        deployed.run("secret", "retire", "acme", "--all", "--yes", *flag)

    everything = "".join(deployed.shown)
    assert len(everything) > 1500
    for secret in (SECRET, TOKEN, "s3cr3t", "hush-hush"):
        for part in (secret, secret[:5], secret[-5:]):
            assert part not in everything
