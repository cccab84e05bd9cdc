"""The function reconcile, over a real server that plays GitHub: what it says, and when it fails."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest

import reconcile
from infra.local.aws.server import client
from relay import wiring
from relay.errors import OperatorError
from relay.runtime import aws
from relay.runtime.http_api import logger
from relay.storage.leases import RECONCILE
from tests.github_api import HOOK, TOKEN, GitHubApi, Hook, served
from tests.local_table import make_table
from tests.unit.relay.world import BASE, FLAT, SECRET

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import LocalClients


@dataclass
class Function:
    """The function, and GitHub."""

    api: GitHubApi
    secretsmanager: Any
    secret: str
    written: StringIO

    aws_request_id = "one"

    def get_remaining_time_in_millis(self) -> int:
        return 60_000

    def run(self) -> dict[str, Any]:
        return reconcile.handler({}, self)

    def hold(self, value: object) -> None:
        self.secretsmanager.create_secret(Name=self.secret, SecretString=json.dumps(value))

    def said(self, message: str) -> list[dict[str, Any]]:
        return [it for it in map(json.loads, self.written.getvalue().splitlines()) if it["message"] == message]


@pytest.fixture
def function(local_clients: LocalClients, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Function]:
    name = local_clients.new_name()
    make_table(local_clients.dynamodb, name)
    source = FLAT["sources"]["github"] | {"reconcile": [HOOK]}
    (tmp_path / "relay.json").write_text(json.dumps(FLAT | {"sources": {"github": source}}), encoding="utf-8")
    api = GitHubApi(clock=lambda: datetime.now(UTC) - timedelta(minutes=10))
    api.hooks[HOOK] = Hook(f"{BASE}/webhooks/github", SECRET, lambda *_: 0)
    written = StringIO()
    monkeypatch.setattr(logger.registered_handler, "stream", written)
    with served(api) as url:
        for variable, value in {
            "RELAY_TABLE": name,
            "RELAY_BASE_URLS": BASE,
            "RELAY_CONFIG": str(tmp_path / "relay.json"),
            "RELAY_GITHUB_SECRET": f"{name}/github",
            "GITHUB_API_URL": url,
            "AWS_ENDPOINT_URL": local_clients.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "POWERTOOLS_SERVICE_NAME": "reconcile",
        }.items():
            monkeypatch.setenv(variable, value)
        for cached in (wiring.relay, aws.made):
            cached.cache_clear()
        yield Function(api, client("secretsmanager", local_clients.url), f"{name}/github", written)
        for cached in (wiring.relay, aws.made):
            cached.cache_clear()


def missing_metric(capsys: pytest.CaptureFixture[str]) -> list[float]:
    """Return the values of the metric Missing that were written."""
    lines = [json.loads(it) for it in capsys.readouterr().out.splitlines() if it.startswith("{")]
    return [it["Missing"][0] for it in lines if "Missing" in it]


@pytest.mark.parametrize("held", [None, {}, {"token": ""}, {"token": 7}, {"url": "https://x.example"}], ids=json.dumps)
def test_without_a_token_it_says_so_and_does_nothing(
    function: Function, held: object, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first deploy may come before the secret: no failure, no alarm, no call."""
    if held is not None:
        function.hold(held)

    done = function.run()

    assert done == {"token": False}
    (said,) = function.said("nothing reconciled: there is no token yet: run `relay secret set github-api`")
    assert said["level"] == "WARNING"
    assert function.api.asked == []
    assert missing_metric(capsys) == []


def test_it_asks_with_its_token_and_tells_what_it_did(function: Function, capsys: pytest.CaptureFixture[str]) -> None:
    function.hold({"token": TOKEN})
    function.api.send(status=0)

    done = function.run()

    assert (done["looked_at"], done["asked"], done["waiting"], done["missing"]) == (1, 1, 1, 0)
    assert function.said("reconciled")[0]["asked"] == 1
    assert len(function.api.repeated) == 1
    assert missing_metric(capsys) == [0]
    assert TOKEN not in function.written.getvalue()


def test_what_is_missing_is_named_and_counted(function: Function, capsys: pytest.CaptureFixture[str]) -> None:
    """By the id that GitHub's page of the hook shows, with what it was answered."""
    function.hold({"token": TOKEN})
    lost = function.api.send(status=401, event="push")
    function.api.clock = lambda: datetime.now(UTC) - timedelta(days=2, hours=22, minutes=59)
    aged = function.api.send(status=401)
    function.run()
    long_ago = (datetime.now(UTC) - timedelta(minutes=31)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    store = wiring.relay("RELAY_GITHUB_SECRET").store
    for guid in (lost.guid, aged.guid):
        store.table.update(
            ("RECONCILE#github", f"GUID#{guid}"), "SET first_asked_at = :at, asked_at = :at", {":at": long_ago}
        )
    missing_metric(capsys)

    done = function.run()

    named = function.said("missing")
    assert {it["guid"] for it in named} == {lost.guid, aged.guid}
    assert {(it["hook"], it["event_type"], it["answered"], it["level"]) for it in named} == {
        (HOOK, "push", 401, "WARNING")
    }
    assert (done["missing"], missing_metric(capsys)) == (2, [2])


def test_a_hook_that_github_refuses_fails_the_function(function: Function, capsys: pytest.CaptureFixture[str]) -> None:
    """The alarm of its errors then sounds, and the log says which and why."""
    function.hold({"token": "ghp_revoked"})

    with pytest.raises(OperatorError, match=f"{HOOK}: GitHub: .*401: Bad credentials"):
        function.run()

    assert function.said("reconciled")[0]["level"] == "WARNING"
    assert missing_metric(capsys) == [0]


def test_a_run_beside_another_counts_nothing(function: Function, capsys: pytest.CaptureFixture[str]) -> None:
    """Else its zero would stand beside what the other counts."""
    function.hold({"token": TOKEN})
    wiring.relay("RELAY_GITHUB_SECRET").store.leases.take(RECONCILE, "another")

    done = function.run()

    assert done["skipped"]
    assert missing_metric(capsys) == []
