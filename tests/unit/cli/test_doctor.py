"""`relay doctor`: each thing that can be missing is found, with the next command."""

from __future__ import annotations

import json
import socket
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from cli.terminal.options import iso
from cli.terminal.tables import time_text
from infra.config.schemes import built_in_schemes
from relay.qstash import regions
from relay.storage.store import Store
from tests.local_table import make_table
from tests.unit.cli.conftest import SECRET, TOKEN, aws_variables, serving

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Relay

KEYS = {"current": "sig_one", "next": "sig_two"}


@pytest.fixture
def whole(deployed: Relay) -> Relay:
    """Give a relay that lacks nothing."""
    deployed.keep("qstash", {"token": TOKEN, "url": deployed.server.url})
    held = deployed.kept("sources") | {"acme": [{"value": SECRET, "created_at": "2026-11-01T00:00:00+00:00"}]}
    deployed.secretsmanager.put_secret_value(SecretId=f"{deployed.name}/sources", SecretString=json.dumps(held))
    deployed.server.says("GET", "/v2/keys", KEYS)
    deployed.server.says("GET", "/v1/deliveries", {"deliveries": [], "cursor": None})
    deployed.server.says("GET", "/v1/sync", {"differs": []})
    make_table(deployed.dynamodb, deployed.name)
    store = Store(deployed.name, deployed.name, dynamodb=deployed.dynamodb)
    store.deployment.save_keys(current="sig_one", following="sig_two", mac="mac")
    return deployed


def _examined(relay: Relay) -> dict[str, dict[str, Any]]:
    shown = relay.run("doctor", "--json")
    found = {it["check"]: it for it in map(json.loads, shown.stdout.splitlines())}
    assert shown.exit_code == (1 if "missing" in {it["state"] for it in found.values()} else 0)
    return found


def _only_missing(relay: Relay) -> dict[str, Any]:
    missing = [it for it in _examined(relay).values() if it["state"] == "missing"]
    assert len(missing) == 1, missing
    return missing[0]


def test_a_relay_that_lacks_nothing_is_all_ok_and_ends_with_0(whole: Relay) -> None:
    found = _examined(whole)

    assert {it["state"] for it in found.values()} == {"ok"}
    assert list(found) == [
        "AWS credentials",
        "secret qstash",
        "stack",
        "configuration",
        "signing secret of github",
        "signing secret of acme",
        "Lambda concurrency",
        "QStash",
        "QStash's state",
        "signing keys",
        "orphans",
        "publishing",
        "spool",
        "ledger",
    ]
    assert whole.server.asked("/v2/keys")[0].headers["authorization"] == f"Bearer {TOKEN}"


def test_for_people_the_next_commands_follow_the_table(undeployed: Relay) -> None:
    shown = undeployed.run("doctor")

    assert shown.exit_code == 1
    assert f"secret qstash: relay --name {undeployed.name} secret set qstash" in shown.stdout.splitlines()
    assert "stack: make deploy" in shown.stdout.splitlines()
    assert shown.stderr.startswith("error: 2 of 14 checks failed")


def test_without_credentials_nothing_else_is_asked(undeployed: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    aws_variables(monkeypatch, AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")

    found = _examined(undeployed)

    assert found.pop("AWS credentials")["state"] == "missing"
    assert {it["state"] for it in found.values()} == {"skipped"}


def test_a_source_without_a_secret_is_named(whole: Relay) -> None:
    held = {"github": whole.kept("sources")["github"]}
    whole.secretsmanager.put_secret_value(SecretId=f"{whole.name}/sources", SecretString=json.dumps(held))

    missing = _only_missing(whole)

    assert missing["check"] == "signing secret of acme"
    assert missing["next"] == f"relay --name {whole.name} secret set acme"


def _with_discord(relay: Relay, *values: str) -> None:
    """Have the source acme sign as Discord does, and have these signing secrets, newest first."""
    sources = relay.configure()["sources"]
    sources["acme"] |= {"scheme": "discord", "row": built_in_schemes()["discord"].row()}
    relay.configure(sources=sources)
    held = relay.kept("sources") | {"acme": [{"value": it} for it in values]}
    relay.secretsmanager.put_secret_value(SecretId=f"{relay.name}/sources", SecretString=json.dumps(held))


@pytest.mark.parametrize(("older", "which"), [((), "the secret"), (("00" * 32,), "the newest")])
def test_a_secret_that_its_scheme_can_not_use_is_to_be_set_again(
    whole: Relay, older: tuple[str, ...], which: str
) -> None:
    _with_discord(whole, "s3cr3t", *older)

    missing = _only_missing(whole)

    assert missing["check"] == "signing secret of acme"
    assert missing["found"].startswith(f"{which} can't be used with the scheme: it must be the public key, 32 bytes")
    assert missing["next"] == f"relay --name {whole.name} secret set acme"
    assert "s3cr3t" not in "".join(whole.shown)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (("00" * 32,), "one"),
        (("00" * 32, "s3cr3t"), "one; 1 older can't be used"),
        (("00" * 32, "s3cr3t", "11" * 32), "2, each of which may sign; 1 older can't be used"),
    ],
    ids=["one", "and a slip", "a slip between"],
)
def test_a_slip_that_was_set_right_is_no_failure(whole: Relay, values: tuple[str, ...], found: str) -> None:
    _with_discord(whole, *values)

    looked = _examined(whole)["signing secret of acme"]

    its_url = f"; the source's URL is {whole.server.url}/webhooks/acme"
    assert (looked["state"], looked["found"]) == ("ok", found + its_url)


def test_a_token_that_qstash_refuses_is_to_be_set_again(whole: Relay) -> None:
    whole.server.says("GET", "/v2/keys", {"error": "unable to authenticate: invalid token"}, status=401)

    missing = _only_missing(whole)

    assert missing["check"] == "QStash"
    assert missing["next"].endswith("secret set qstash")


def test_a_token_of_another_region_is_told_with_the_command_that_says_so(
    whole: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """QStash says 404 then, in words that people take for a token that is wrong."""
    whole.server.says("GET", "/v2/keys", {"error": "user (x) not found in this region (eu-central-1)."}, status=404)
    with serving() as america:
        america.says("GET", "/v2/keys", {"current": "sig_1", "next": "sig_2"})
        monkeypatch.setattr(regions, "REGIONS", {"EU": whole.server.url, "US": america.url})

        missing = _only_missing(whole)

    assert (missing["check"], missing["found"]) == ("QStash", "the token belongs to the US region")
    assert missing["next"] == f"relay --name {whole.name} secret set qstash --url {america.url}"


def test_a_qstash_that_does_not_answer_is_named(whole: Relay) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    whole.run("secret", "set", "qstash", "--url", url, "--force", stdin=TOKEN)

    missing = _only_missing(whole)

    assert missing["check"] == "QStash"
    assert url in missing["found"]


def test_all_that_differs_in_qstash_is_named_and_mended_by_the_command_told(whole: Relay) -> None:
    changes = ("set erp of the.audit", "remove schedule the.spy")
    whole.server.says("GET", "/v1/sync", {"differs": [{"kind": "…", "name": "…", "change": it} for it in changes]})

    missing = _only_missing(whole)

    assert missing["check"] == "QStash's state"
    assert all(it in missing["found"] for it in changes)
    assert missing["next"] == f"relay --name {whole.name} sync"


@pytest.mark.parametrize(
    ("ago", "state", "found"),
    [
        (None, "ok", "the audit hasn't checked for drift yet"),
        (timedelta(minutes=65), "ok", "the audit last checked for drift {}"),
        (timedelta(hours=3, minutes=1), "look", "but the audit, which checks for drift once an hour, last did so {}"),
    ],
)
def test_when_the_audit_last_looked_for_drift_is_told(
    whole: Relay, ago: timedelta | None, state: str, found: str
) -> None:
    at = None if ago is None else (datetime.now(UTC) - ago)
    whole.configure(drift=None if at is None else {"at": iso(at), "differs": 0})

    looked = _examined(whole)["QStash's state"]

    assert looked["state"] == state
    assert looked["found"].endswith(found.format(at and time_text(iso(at))))
    assert (looked["next"] is not None) == (state == "look")


def test_a_relay_that_can_not_read_qstash_is_named(whole: Relay) -> None:
    whole.server.says("GET", "/v1/sync", {"message": "QStash answered 503"}, status=503)

    assert _only_missing(whole)["check"] == "QStash's state"


@pytest.mark.parametrize(
    ("held", "state"),
    [(("sig_one", "sig_two"), "ok"), (("sig_zero", "sig_one"), "look"), (("sig_old", "sig_older"), "missing")],
)
def test_signing_keys_are_compared_with_qstashs(whole: Relay, held: tuple[str, str], state: str) -> None:
    store = Store(whole.name, whole.name, dynamodb=whole.dynamodb)
    store.deployment.save_keys(current=held[0], following=held[1], mac="mac")

    assert _examined(whole)["signing keys"]["state"] == state


def test_a_quota_that_is_used_up_is_worth_a_look(whole: Relay) -> None:
    """Nothing is published meanwhile, and that is no fault of the relay's."""
    whole.configure(held_until="2026-11-25T00:00:00.000000Z")

    found = _examined(whole)["publishing"]

    assert (found["state"], "2026-11-25T00:00:00" in found["found"]) == ("look", True)


def test_what_nobody_can_tell_of_is_worth_a_look(whole: Relay) -> None:
    whole.server.says("GET", "/v1/deliveries", {"deliveries": [{"id": "dlv_1.erp"}], "cursor": None})

    found = _examined(whole)["ledger"]

    assert (found["state"], found["next"]) == (
        "look",
        f"relay --name {whole.name} delivery list --status unaccounted",
    )
    (asked,) = whole.server.asked("/v1/deliveries")
    assert "status=unaccounted" in asked.query


def test_what_can_never_be_published_is_worth_a_look(whole: Relay) -> None:
    none: dict[str, Any] = {"deliveries": [], "cursor": None}
    whole.server.says("GET", "/v1/deliveries", none, {"deliveries": [{"id": "dlv_1.erp"}], "cursor": None})

    found = _examined(whole)["ledger"]

    assert (found["state"], found["next"]) == (
        "look",
        f"relay --name {whole.name} delivery list --status unpublishable",
    )


def test_an_empty_page_is_not_the_end_of_what_waits(whole: Relay) -> None:
    """Events that were published long ago may lie before those that weren't."""
    none: dict[str, Any] = {"deliveries": [], "cursor": None}
    more = {"deliveries": [], "cursor": "further"}
    whole.server.says("GET", "/v1/deliveries", none, none, more, {"deliveries": [{"id": "dlv_1.erp"}], "cursor": None})

    assert _examined(whole)["ledger"]["state"] == "look"
    assert "cursor=further" in whole.server.asked("/v1/deliveries")[-1].query


def test_what_waits_long_to_be_published_is_worth_a_look(whole: Relay) -> None:
    """QStash refuses it, or doesn't answer: each record says why."""
    none: dict[str, Any] = {"deliveries": [], "cursor": None}
    whole.server.says("GET", "/v1/deliveries", none, none, {"deliveries": [{"id": "dlv_1.erp"}], "cursor": None})

    found = _examined(whole)["ledger"]

    assert (found["state"], found["next"]) == ("look", f"relay --name {whole.name} delivery list --status pending")
    assert "until=" in whole.server.asked("/v1/deliveries")[-1].query


def test_what_waits_in_the_bucket_is_worth_a_look(whole: Relay) -> None:
    whole.configure(spool={"waiting": 3, "oldest_at": "2026-11-25T00:00:00.000000Z", "reason": "no such webhook"})

    found = _examined(whole)["spool"]

    assert found["state"] == "look"
    assert "3 webhooks wait in the bucket, the oldest since 2026-11-25" in found["found"]
    assert "no such webhook" in found["found"]


def test_orphans_are_worth_a_look_and_no_failure(whole: Relay) -> None:
    whole.configure(counts={"orphans": 3})

    found = _examined(whole)["orphans"]

    assert found["state"] == "look"
    assert found["found"].startswith("3 ")


def test_a_configuration_that_can_not_be_asked_skips_what_needs_it(whole: Relay) -> None:
    whole.server.says("GET", "/v1/config", {"message": "Forbidden"}, status=403)

    found = _examined(whole)

    assert found["configuration"]["state"] == "missing"
    assert "policy/read" in found["configuration"]["next"]
    assert {found[it]["state"] for it in ("signing secrets", "QStash's state", "signing keys", "orphans")} == {
        "skipped"
    }
    assert found["QStash"]["state"] == "ok"


def test_a_stack_that_is_no_relay_is_found(undeployed: Relay) -> None:
    undeployed.keep("qstash", {"token": TOKEN, "url": undeployed.server.url})
    undeployed.server.says("GET", "/v2/keys", KEYS)
    undeployed.stack({})

    missing = _only_missing(undeployed)

    assert missing["check"] == "stack"
    assert "no relay" in missing["found"]


def _reconciling(relay: Relay) -> None:
    """Have the deployed source github ask for reconciliation."""
    sources = relay.configure()["sources"]
    sources["github"]["reconcile"] = ["repos/octo-org/hello-world/hooks/123"]
    relay.configure(sources=sources)


def test_a_source_that_is_to_be_reconciled_needs_githubs_token(whole: Relay) -> None:
    """Only then: nobody else is asked for one."""
    _reconciling(whole)

    missing = _only_missing(whole)
    whole.run("secret", "set", "github-api", stdin="ghp_token")
    mended = _examined(whole)["secret github-api"]

    assert missing["check"] == "secret github-api"
    assert "lost events of github can't be requested again" in missing["found"]
    assert missing["next"] == f"relay --name {whole.name} secret set github-api"
    assert (mended["state"], mended["found"]) == ("ok", f"a token in {whole.name}/github")


def test_a_destination_that_somebody_paused_is_not_forgotten(whole: Relay) -> None:
    """The relay works; what comes for it waits."""
    whole.configure(paused={"erp": {"by": "arn:aws:iam::1:user/ada", "at": "2026-11-24T08:31:08Z", "reason": None}})

    found = _examined(whole)["destination erp"]

    assert found["state"] == "look"
    assert "paused since 2026-11-24 08:31:08Z by arn:aws:iam::1:user/ada" in found["found"]
    assert found["next"] == f"relay --name {whole.name} destination resume erp"


@pytest.mark.parametrize(("count", "state"), [(0, "ok"), (2, "look")])
def test_what_never_came_is_worth_a_look(whole: Relay, count: int, state: str) -> None:
    """The relay works all the same; the log names them."""
    _reconciling(whole)
    whole.configure(**json.loads(whole.server.answers["GET", "/v1/config"][0][1]) | {"counts": {"missing": count}})
    whole.run("secret", "set", "github-api", stdin="ghp_token")

    found = _examined(whole)["reconciliation"]

    assert found["state"] == state
    assert ("ReconcileLogs" in (found["next"] or "")) is bool(count)
