"""`relay secret list`: names, counts and ages, and what may not be read."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from cli.client import aws
from tests.aws_wire import Wire, wire_of
from tests.unit.cli.conftest import TOKEN, entry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.cli.conftest import Relay


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
    deployed.run("secret", "set", "qstash", "--force", stdin="s3cr3t-token")
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
    assert shown.stderr == f"the secret {deployed.name}/{kind} can't be shown: your AWS identity may not read it\n"
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
