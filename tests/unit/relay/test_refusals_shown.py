"""Refusals: what the API shows of them."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from relay.errors import NotFound, SignatureError
from relay.model.refusal import UNKNOWN_SOURCE_NAME, Reason
from tests.store_conformance import Clock, a_refusal, an_event
from tests.unit.relay.refusing import BAD, BASE, NOW, World, asked

if TYPE_CHECKING:
    from tests.conftest import Clients


@pytest.fixture
def world(clients: Clients) -> World:
    return World(clients)


def test_refusals_are_shown_newest_first_with_counts_and_causes(world: World) -> None:
    """Each marked untrusted."""
    world.store.refusals.record(a_refusal(world.clock), 40)
    world.clock.at += timedelta(minutes=1)
    world.store.refusals.record(a_refusal(world.clock, reason=Reason.NO_SECRET, body=b"x", size_bytes=1), 1)

    shown = world.shown()

    assert shown["source"] == "github"
    assert shown["counts"] == [
        {
            "reason": "no_secret",
            "count": 1,
            "since": "2026-01-31T09:01:00.000000Z",
            "last_at": "2026-01-31T09:01:00.000000Z",
        },
        {
            "reason": "bad_signature",
            "count": 40,
            "since": "2026-01-31T09:00:00.000000Z",
            "last_at": "2026-01-31T09:00:00.000000Z",
        },
    ]
    assert [(it["reason"], it["untrusted"]) for it in shown["refusals"]] == [
        ("no_secret", True),
        ("bad_signature", True),
    ]
    newest, oldest = shown["refusals"]
    assert (newest["body"], newest["body_truncated"]) == ("x", False)
    assert (oldest["body_base64"], oldest["body_truncated"]) == (base64.b64encode(b"\xff\x00{").decode(), True)
    assert oldest["signed_at"] == "2026-01-31T08:53:20.000000Z"
    assert "`relay secret set github`" in newest["likely_cause"]
    json.dumps(shown)


def test_a_body_cut_within_a_character_is_still_text(world: World) -> None:
    """512 bytes can end anywhere."""
    world.refuse(BAD, asked(body="ü".encode() + b"a" * 509 + "üü".encode()))

    (shown,) = world.shown()["refusals"]

    assert shown["body"] == "ü" + "a" * 509
    assert shown["body_truncated"]


def test_the_cause_knows_whether_the_source_was_ever_accepted(world: World) -> None:
    """From its events, which nothing has to be written for."""
    world.refuse(BAD, asked())
    before = world.shown()["refusals"][0]["likely_cause"]
    event = an_event(Clock(NOW - timedelta(hours=1)))
    world.store.add_event(event, event.received_at)

    after = world.shown()["refusals"][0]["likely_cause"]

    assert "no webhook of this source was ever accepted" in before
    assert "the last 2026-01-31 08:00Z" in after


def test_a_source_whose_scheme_signs_the_url_is_known_by_its_row(world: World) -> None:
    """Its signature can be bad for the URL alone."""
    world.refuse(BAD, asked("calls"))

    assert BASE in world.shown("calls")["refusals"][0]["likely_cause"]


def test_the_cause_knows_what_the_scheme_signs_and_where(world: World) -> None:
    """From the source's row."""
    world.configure(jwt={"algorithm": "jwt-hs256", "signature": ["Authorization: Bearer {jwt}"]})
    for source in ("github", "jwt"):
        world.refuse(BAD, asked(source, via="1.1 squid"))
        world.refuse(SignatureError("X is missing", reason="missing_header"), asked(source, via="1.1 squid"))

    causes = {
        (source, refusal["reason"]): refusal["likely_cause"]
        for source in ("github", "jwt")
        for refusal in world.shown(source)["refusals"]
    }

    assert "proxy" in causes["github", "bad_signature"]
    assert "proxy" not in causes["jwt", "bad_signature"]
    assert "github expects `X-Hub-Signature-256: sha256={hex}`" in causes["github", "missing_header"]
    assert "own expects `Authorization: Bearer {jwt}`" in causes["jwt", "missing_header"]


def test_refusals_of_no_source_of_ours_are_not_found(world: World) -> None:
    """But those to sources that there aren't are."""
    with pytest.raises(NotFound):
        world.shown("githb")
    assert world.shown(UNKNOWN_SOURCE_NAME) == {
        "source": UNKNOWN_SOURCE_NAME,
        "handshake": None,
        "counts": [],
        "refusals": [],
    }
