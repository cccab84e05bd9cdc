"""An event by its source's own id, whatever that is: a path would take no slash and no length."""

from __future__ import annotations

import pytest

from relay.model.ids import event_id
from tests.unit.cli.conftest import Relay, event

OWN = ["a/b", "a%2Fb", "a?b=c", "a#b", "a b", "a:b", "::", "ü☃", "x" * 1000, "../..", ".", "-"]


@pytest.mark.parametrize("own", OWN)
def test_an_event_is_shown_by_its_sources_own_id(deployed: Relay, own: str) -> None:
    deployed.server.says("GET", f"/v1/events/{event_id('acme', own)}", {**event(1), "deliveries": []})

    shown = deployed.run("event", "show", f"acme:{own}", "--json")

    assert shown.exit_code == 0, shown.stderr


@pytest.mark.parametrize("own", OWN)
def test_an_event_is_replayed_by_its_sources_own_id(deployed: Relay, own: str) -> None:
    answer = {"id": "rpl_1", "deliveries": [{"id": "dlv_1.erp", "status": "pending"}], "skipped": []}
    deployed.server.says("POST", "/v1/replays", answer)

    shown = deployed.run("replay", "start", f"acme:{own}")

    assert shown.exit_code == 0, shown.stderr
    assert deployed.server.calls[-1].json["event_id"] == event_id("acme", own)


@pytest.mark.parametrize("text", ["", "acme", "acme:", ":x", ":"])
@pytest.mark.parametrize("words", [("event", "show"), ("replay", "start")], ids=" ".join)
def test_what_is_no_id_is_an_error_of_usage(deployed: Relay, words: tuple[str, ...], text: str) -> None:
    shown = deployed.run(*words, text)

    assert shown.exit_code == 2
    assert "rly_" in shown.stderr
