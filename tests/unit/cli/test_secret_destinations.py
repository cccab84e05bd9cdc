"""`relay secret` and the secrets in destinations' own headers: none is shown, and none is taken for a source's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from cli.client import aws
from tests.aws_wire import wire_of
from tests.unit.cli.terminal import on_a_terminal
from tests.unit.cli.test_secret_list import rows

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Relay

VALUE = "Bearer hush s3cr3t"


def naming(relay: Relay, *names: str) -> None:
    """Have destinations deployed whose headers name these secrets; one more names none."""
    destinations = {
        f"to-{name}": {"group": "audit", "url": "https://x.example.com", "headers": {"Authorization": {"secret": name}}}
        for name in names
    }
    plain = {"group": "audit", "url": "https://y.example.com", "headers": {"X-Team": "a"}}
    relay.configure(destinations={**destinations, "plain": plain, "bus": {"group": "audit", "url": None}})


def test_one_is_kept_apart_from_the_others_and_replaced_by_the_next(deployed: Relay) -> None:
    naming(deployed, "erp", "crm")
    before = deployed.kept("sources")

    first = deployed.run("secret", "set", "destination:erp", stdin="old\n")
    other = deployed.run("secret", "set", "destination:crm", stdin="other")
    second = deployed.run("secret", "set", "destination:erp", "--json", stdin=VALUE)
    same = deployed.run("secret", "set", "destination:erp", stdin=VALUE)

    secret = f"{deployed.name}/destinations"
    assert first.stdout == f"{secret}: destination:erp is set\n"
    told = {"name": "destination:erp", "secret": secret, "values": 1, "changed": True}
    assert json.loads(second.stdout) == told
    assert "is unchanged" in same.stdout
    assert deployed.kept("destinations") == {"erp": VALUE, "crm": "other"}
    assert deployed.kept("sources") == before
    assert first.stderr + other.stderr + second.stderr == ""


def test_it_is_typed_unseen(deployed: Relay) -> None:
    naming(deployed, "erp")

    status, shown = on_a_terminal(
        "--name", deployed.name, "secret", "set", "destination:erp", asked="destination:erp:", typed=f"{VALUE}\n"
    )

    assert status == 0
    assert VALUE not in shown
    assert deployed.kept("destinations") == {"erp": VALUE}


@pytest.mark.parametrize("value", ["", " x", "two\nlines", "tökën"])
def test_what_no_header_takes_is_refused_and_not_shown(undeployed: Relay, value: str) -> None:
    shown = undeployed.run("secret", "set", "destination:erp", stdin=value)

    assert shown.exit_code == 1
    assert not value.strip() or value.strip() not in shown.output
    with pytest.raises(undeployed.secretsmanager.exceptions.ResourceNotFoundException):
        undeployed.kept("destinations")


def test_one_that_no_destination_names_is_kept_and_that_is_told(deployed: Relay) -> None:
    """Before the deploy that names it, or with a slip."""
    naming(deployed, "erp")

    shown = deployed.run("secret", "set", "destination:epr", stdin=VALUE)

    assert shown.exit_code == 0
    assert "names destination:epr yet" in shown.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("set", "destination:erp", "--replace"),
        ("set", "destination:erp", "--force"),
        ("set", "destination:erp", "--url", "https://x.example.com"),
        ("set", "destination:"),
        ("set", "destination:a:b"),
        ("retire", "destination:erp"),
        ("retire", "destination:erp", "--all"),
    ],
    ids=" ".join,
)
def test_what_is_for_others_is_a_mistake_of_usage(deployed: Relay, words: tuple[str, ...]) -> None:
    deployed.keep("destinations", {"erp": VALUE})

    assert deployed.run("secret", *words, stdin="x").exit_code == 2
    assert deployed.kept("destinations") == {"erp": VALUE}


def test_one_is_taken_away_alone(deployed: Relay) -> None:
    deployed.keep("destinations", {"erp": VALUE, "crm": "x"})

    shown = deployed.run("secret", "retire", "destination:erp", "--all", "--yes")
    again = deployed.run("secret", "retire", "destination:erp", "--all", "--yes")

    assert shown.stdout == f"{deployed.name}/destinations: destination:erp is deleted\n"
    assert deployed.kept("destinations") == {"crm": "x"}
    assert again.exit_code == 1
    assert "relay secret list" in again.stderr


def test_list_has_those_that_are_named_and_those_that_are_there(deployed: Relay) -> None:
    """Which are missing is seen; no value is."""
    naming(deployed, "erp", "crm")
    deployed.keep("destinations", {"erp": VALUE, "old": "x"})

    shown = deployed.run("secret", "list")
    as_json = [json.loads(it) for it in deployed.run("secret", "list", "--json").stdout.splitlines()]

    listed = [it for it in rows(shown.stdout) if it[0].startswith("destination:")]
    assert listed == [
        ["destination:crm", "none", "-"],
        ["destination:erp", "1", "?"],
        ["destination:old", "1", "?"],
    ]
    assert [it["name"] for it in as_json][-3:] == [it[0] for it in listed]
    assert VALUE not in shown.output


def test_where_they_may_not_be_read_that_is_told_if_one_is_needed(deployed: Relay) -> None:
    naming(deployed, "erp")
    deployed.keep("qstash", {"token": "t"})
    with wire_of(aws.client("secretsmanager")) as wire:
        wire.refusals[f"{deployed.name}/destinations"] = "AccessDeniedException"
        needed = deployed.run("secret", "list")
        naming(deployed)
        unneeded = deployed.run("secret", "list")

    assert f"{deployed.name}/destinations can't be shown" in needed.stderr
    assert ["destination:erp", "?", "-"] in rows(needed.stdout)
    assert "destinations" not in unneeded.stderr


def test_doctor_names_those_that_are_missing_with_the_command(deployed: Relay) -> None:
    naming(deployed, "erp", "crm")
    deployed.keep("destinations", {"crm": VALUE})

    lines = [json.loads(it) for it in deployed.run("doctor", "--json").stdout.splitlines()]

    found = {it["check"]: it for it in lines if it["check"].startswith("secret destination:")}
    assert {name: it["state"] for name, it in found.items()} == {
        "secret destination:erp": "missing",
        "secret destination:crm": "ok",
    }
    missing = found["secret destination:erp"]
    assert missing["next"] == f"relay --name {deployed.name} secret set destination:erp"
    assert "to-erp" in missing["found"]
