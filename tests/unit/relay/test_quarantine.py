"""Quarantine: a wrong secret loses nothing, a stranger gains nothing, and the answer stays what it was."""

from __future__ import annotations

import json
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

import ingest
from relay import wiring
from relay.errors import Defect, UpstreamError
from relay.ingest import quarantine, readmission
from relay.ingest.quarantine import Remembered, expiry
from relay.ingest.refusals import RefusalPace, record_refusal
from relay.model.delivery import Status
from relay.model.ids import EventId, event_id, iso
from relay.query import answers
from relay.storage import quarantine as cells
from tests.flat import publishing
from tests.flat import route as a_route
from tests.unit.relay.operator import wired
from tests.unit.relay.quarantining import DAY_S, HOOK, NEW, OLD, Quarantining, configured
from tests.unit.relay.world import FLAT, MAC, World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Clients

DAY = timedelta(days=1)
FIRST = event_id("github", "d-1")


@pytest.fixture
def kept(world: World, clients: Clients, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Quarantining]:
    """Give a relay whose sources' keys were changed at the sender alone."""
    world.store.deployment.save_keys(current="sig_a", following="sig_b", mac=MAC)
    relay = wired(world, monkeypatch, tmp_path, "RELAY_BUCKET")
    monkeypatch.setattr(relay, "publisher", lambda: world.publisher)
    monkeypatch.setattr(ingest, "relay", lambda *_: relay)
    monkeypatch.setattr(ingest, "record_refusal", partial(record_refusal, pace=RefusalPace()))
    monkeypatch.setattr(quarantine, "_REMEMBERED", Remembered())  # a process is one function instance
    found = Quarantining(world, relay, clients.s3)
    found.configure(configured())
    yield found
    wiring.relay.cache_clear()


def pass_on(kept: Quarantining, span: timedelta) -> None:
    kept.world.clock.at += span


def objects(kept: Quarantining) -> dict[str, bytes]:
    """Return what stands in the bucket of what is kept."""
    them: dict[str, bytes] = kept.s3.buckets[kept.world.store.bucket.name]
    return {key: it for key, it in them.items() if key.startswith(cells.QUARANTINE)}


# -- kept -------------------------------------------------------------------------------------------------------------


def test_what_its_signature_alone_refused_is_kept_and_the_answer_is_the_same(kept: Quarantining) -> None:
    kept.configure(FLAT)
    before = kept.post()
    assert objects(kept) == {}

    kept.configure(configured())
    answer = kept.post()

    assert answer == before
    assert answer["status"] == 401
    assert len(objects(kept)) == 1
    assert kept.published == []


def test_without_the_setting_nothing_is_kept(kept: Quarantining) -> None:
    """It is off, and asks neither bucket nor table."""
    kept.configure(FLAT)

    kept.post()

    assert objects(kept) == {}
    assert kept.world.store.table.get("QUARANTINE#github", "ROOM") is None


@pytest.mark.parametrize(
    ("source", "headers"),
    [
        ("github", HOOK),
        ("github", HOOK | {"x-hub-signature-256": "sha256=no hex"}),
        ("stripe", {"stripe-signature": "v1=" + "ab" * 32}),
        ("stripe", {"stripe-signature": "t=soon,v1=" + "ab" * 32}),
        ("stripe", {"stripe-signature": "t=1700000000,v1=" + "ab" * 32}),
        ("stripe", {"stripe-signature": "t=9000000000,v1=" + "ab" * 32}),
    ],
    ids=["no signature", "malformed", "no time", "malformed time", "stale", "of the future"],
)
@pytest.mark.parametrize("secrets", [[OLD], []], ids=["wrong secret", "no secret"])
def test_what_is_wrong_otherwise_isnt_kept(
    kept: Quarantining, source: str, headers: dict[str, str], secrets: list[str]
) -> None:
    """Whether there is a secret or not: no secret would ever let it in."""
    kept.set(source, *secrets)

    answer = kept.raw(source, b"{}", headers)

    assert answer["status"] == (401 if secrets else 503)
    assert objects(kept) == {}


def test_a_body_too_large_isnt_kept(kept: Quarantining) -> None:
    assert kept.post(b"x" * (4 * 1024 * 1024 + 1))["status"] == 413
    assert objects(kept) == {}


@pytest.mark.parametrize("secrets", [[], ['{"other": 1}']], ids=["none", "unusable"])
def test_what_no_secret_could_be_tried_on_is_kept_too(kept: Quarantining, secrets: list[str]) -> None:
    """Its sender is told to send it again (503), and some never do."""
    kept.set("github", *secrets)

    answer = kept.post()
    kept.set("github", NEW)
    pass_on(kept, DAY)

    assert answer["status"] == 503
    assert kept.outcomes() == ["released"]


def test_what_came_while_secrets_could_not_be_read_is_kept_too(kept: Quarantining) -> None:
    def broken(**_: str) -> Any:
        raise kept.manager.exceptions.ClientError({"Error": {"Code": "ThrottlingException"}}, "GetSecretValue")

    reads, kept.manager.get_secret_value = kept.manager.get_secret_value, broken  # type: ignore[method-assign]
    answer = kept.post(key=OLD)
    kept.manager.get_secret_value = reads  # type: ignore[method-assign]

    assert answer["status"] == 503
    assert kept.outcomes() == ["released"]


def test_the_same_request_is_kept_once(kept: Quarantining) -> None:
    """Whatever the gateway adds to it, and however much later it comes again."""
    for minutes in range(3):
        kept.post(x_forwarded_for=f"203.0.113.{minutes}", x_amzn_trace_id=str(minutes))
        pass_on(kept, timedelta(minutes=minutes))
    kept.post(b'{"other": 1}')

    assert len(kept.listed()) == 2
    assert kept.world.store.quarantine.count("github")[0] == 2


@pytest.mark.parametrize("failing", ["take_room", "put"])
@pytest.mark.parametrize("failure", [UpstreamError("S3", "SlowDown"), ZeroDivisionError()], ids=["down", "defect"])
def test_what_cant_be_kept_is_answered_all_the_same_and_counted(
    kept: Quarantining,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    failing: str,
    failure: Exception,
) -> None:
    def fail(*_: Any) -> bool:
        raise failure

    with monkeypatch.context() as patch:
        patch.setattr(kept.world.store.quarantine, failing, fail)
        assert kept.post()["status"] == 401

    assert "NotQuarantined" in capsys.readouterr().out
    assert kept.world.store.quarantine.count("github") == (0, 0)
    kept.post()
    assert len(kept.listed()) == 1


# -- bounds -----------------------------------------------------------------------------------------------------------


def test_a_flood_doesnt_push_out_what_was_there(
    kept: Quarantining, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What finds no room is counted, and isn't kept; each instance asks the table once in a while alone."""
    monkeypatch.setattr(cells, "NUMBER_MAX", 5)
    calls = kept.world.store.table.client.calls.made  # type: ignore[attr-defined]  # the memory's
    calls.clear()
    kept.post(b'{"real": 1}')
    for number in range(20):
        assert kept.post(b'{"forged": %d}' % number, key=f"guess {number}")["status"] == 401
    counted = capsys.readouterr().out.count('"NotQuarantined":[1')
    asked = calls.count("dynamodb.UpdateItem")

    kept.set("github", NEW)
    pass_on(kept, timedelta(minutes=1))
    became = kept.outcomes()

    assert (counted, asked < 15) == (16, True)
    assert sorted(became) == ["refused"] * 4 + ["released"]
    assert set(kept.published) == {b'{"real": 1}'}
    kept.set("github", OLD)
    pass_on(kept, timedelta(minutes=2))
    kept.post(b'{"real": 2}')
    assert len(kept.listed()) == 5


def test_bytes_are_bounded_too(kept: Quarantining, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "BYTES_MAX", 5000)

    kept.post(b"x" * 3000)
    kept.post(b"y" * 3000)

    assert len(objects(kept)) == 1
    assert kept.world.store.quarantine.count("github")[1] == len(*objects(kept).values()) <= 5000


def test_what_is_kept_goes_when_its_time_is_over(kept: Quarantining, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is neither listed nor let in, and its room is free."""
    monkeypatch.setattr(cells, "NUMBER_MAX", 1)
    kept.post()
    kept.set("github", NEW)
    pass_on(kept, 3 * DAY - timedelta(seconds=1))
    assert len(kept.listed()) == 1

    pass_on(kept, timedelta(seconds=1 + 3 * DAY_S // 24))
    assert kept.released() == []

    assert kept.published == []
    assert objects(kept) == {}
    kept.set("github", OLD)
    pass_on(kept, timedelta(minutes=2))
    kept.post()
    assert len(kept.listed()) == 1


@pytest.mark.parametrize("kept_s", [3600, 3 * DAY_S, 30 * DAY_S])
def test_what_is_kept_expires_in_few_steps_and_never_early(kept_s: int) -> None:
    """Each step is two attributes of one item."""
    times = [World.began + timedelta(seconds=kept_s * it / 2000) for it in range(2000)]

    expiries = [expiry(it, kept_s) for it in times]

    late = [(after - at).total_seconds() - kept_s for at, after in zip(times, expiries, strict=True)]
    assert len(set(expiries)) <= 122
    assert min(late) >= 0
    assert max(late) <= min(kept_s / 24, 6 * 3600)


# -- let in -----------------------------------------------------------------------------------------------------------


def test_it_is_let_in_once_as_if_it_had_come_then(kept: Quarantining) -> None:
    """Saved and published, once; a second release changes nothing."""
    kept.post(b'{"n": 1}')
    kept.set("github", NEW)
    pass_on(kept, 2 * DAY)

    (released,) = kept.released()
    again = kept.released()

    event = kept.world.store.event(FIRST)
    assert event is not None
    assert (released["outcome"], released["event_id"], again) == ("released", FIRST, [])
    assert (iso(event.received_at), event.saved_at) == (iso(World.began), kept.world.clock.at)
    assert event.expires_at == World.began + 30 * DAY
    assert set(kept.world.statuses(FIRST).values()) == {Status.IN_FLIGHT}
    assert kept.published == [b'{"n": 1}'] * 2  # one for each URL group
    assert objects(kept) == {}
    assert kept.world.store.quarantine.count("github") == (0, 0)


def test_a_secret_that_is_still_wrong_lets_nothing_in(kept: Quarantining) -> None:
    kept.post()
    kept.set("github", "another wrong one")
    pass_on(kept, DAY)

    (told,) = kept.released()

    assert (told["outcome"], told["why"]) == ("refused", "bad_signature")
    assert kept.world.store.event(FIRST) is None
    assert len(objects(kept)) == 1


def test_how_old_it_was_is_judged_by_when_it_came(kept: Quarantining) -> None:
    """Two days later it is as fresh as it was; one that came stale never is."""
    kept.post(b'{"id": "evt_1"}', source="stripe")
    stale = kept.signed("stripe", b'{"id": "evt_2"}', NEW)
    pass_on(kept, timedelta(minutes=6))
    kept.raw("stripe", b'{"id": "evt_2"}', stale)
    kept.set("stripe", NEW)
    pass_on(kept, 2 * DAY)

    released = kept.released("stripe")

    assert [(it["outcome"], it["idempotency_key"]) for it in released] == [("released", "evt_1")]


def test_what_the_sender_sent_again_meanwhile_is_one_event(kept: Quarantining) -> None:
    """Nor does what came before it open its dead deliveries again."""
    kept.post()
    kept.set("github", NEW)
    pass_on(kept, timedelta(hours=1))
    answer = kept.post()
    event = kept.world.store.event(EventId(answer["body"]["event_id"]))
    assert event is not None
    kept.world.store.change_delivery(event, "erp", lambda it: it.ended(event.generation, Status.UNPUBLISHABLE, "so"))
    before = len(kept.published)

    (released,) = kept.released()

    assert (released["outcome"], released["event_id"]) == ("duplicate", event.id)
    assert (len(kept.published), kept.world.delivery(event, "erp").status) == (before, Status.UNPUBLISHABLE)
    assert objects(kept) == {}


def test_a_source_without_ids_has_one_event_too(kept: Quarantining) -> None:
    """It is known by what it says, and when it said so first."""
    row = configured()["sources"]["github"]["row"] | {"id": [], "retries_for_s": DAY_S}
    kept.configure(configured(row=row))
    kept.post()
    kept.set("github", NEW)
    pass_on(kept, timedelta(hours=1))
    again = kept.post()

    (released,) = kept.released()

    assert again["status"] == 202
    assert (released["outcome"], released["event_id"]) == ("duplicate", again["body"]["event_id"])


def test_what_could_not_be_forgotten_is_a_duplicate_next_time(
    kept: Quarantining, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash between the event and its end in quarantine doubles nothing."""
    kept.post()
    kept.set("github", NEW)
    pass_on(kept, DAY)
    with monkeypatch.context() as patch:
        patch.setattr(kept.world.store.quarantine, "delete", _raise(UpstreamError("S3", "SlowDown")))
        first = kept.outcomes()
    published = len(kept.published)

    assert (first, kept.outcomes()) == (["failed"], ["duplicate"])
    assert (len(kept.published), objects(kept)) == (published, {})


def test_what_cant_be_saved_stays(kept: Quarantining, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.post()
    kept.set("github", NEW)
    pass_on(kept, DAY)
    with monkeypatch.context() as patch:
        patch.setattr(kept.world.store, "add_event", _raise(UpstreamError("DynamoDB", "down")))
        first = kept.outcomes()

    assert (first, kept.outcomes()) == (["failed"], ["released"])


def test_what_qstash_doesnt_take_is_let_in_and_left_to_the_sweep(kept: Quarantining) -> None:
    kept.post()
    kept.set("github", NEW)
    pass_on(kept, DAY)
    kept.world.wire.failures = [500, 500, 500]

    assert kept.outcomes() == ["released"]

    kept.world.sweep()
    assert set(kept.world.statuses(FIRST).values()) == {Status.IN_FLIGHT}


def test_it_is_routed_as_the_configuration_stands_now(kept: Quarantining) -> None:
    kept.post()
    kept.set("github", NEW)
    kept.configure(configured(routes=[a_route("ci", how=publishing())]))
    pass_on(kept, DAY)

    kept.released()

    assert set(kept.world.statuses(FIRST)) == {"builder"}


def test_the_url_that_was_set_too_late_proves_it_too(kept: Quarantining) -> None:
    """A scheme that signs the URL fails while the relay doesn't know the one that it is reached at."""
    row = configured()["sources"]["github"]["row"] | {"signs": ["{url}{body}"]}
    kept.configure(configured(row=row))
    signed = kept.signed("github", b"https://hooks.example.com/webhooks/github{}", OLD)
    kept.raw("github", b"{}", signed)
    refused = kept.outcomes()

    kept.relay.settings = type(kept.relay.settings).of(
        {"RELAY_BASE_URLS": "https://hooks.example.com", "RELAY_SOURCES_SECRET": "relay/sources"},
        kept.world.settings.flat,
    )

    assert (refused, kept.outcomes()) == (["refused"], ["released"])


def test_what_would_expire_at_once_isnt_let_in(kept: Quarantining) -> None:
    """Its life began when it came; whoever shortened it meanwhile is told."""
    kept.post()
    kept.set("github", NEW)
    kept.configure(configured() | {"retention_days": 2})
    pass_on(kept, 2 * DAY)

    (told,) = kept.released()

    assert (told["outcome"], told["why"]) == ("refused", "too_old")


# -- what else may be there -------------------------------------------------------------------------------------------


def test_what_was_tampered_with_keeps_no_other_waiting(kept: Quarantining) -> None:
    """Whatever stands there: it is told as unreadable, and can be discarded."""
    kept.post(b'{"n": 0}', x_github_delivery="d-0")
    (name,) = objects(kept)
    right = json.loads(objects(kept)[name])
    wrong: list[Any] = [b"no JSON", b"[1]", b"[" * 100_000, {}, right | {"headers": {"a": 1}}, right | {"body": "x"}]
    wrong += [right | {"received_at": 3}, right | {"headers": []}, right | {"source": "stripe"}, right | {"more": 1}]
    for number, content in enumerate(wrong):
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        kept.world.store.quarantine.put("github", f"{number:032x}", data)
    kept.set("github", NEW)
    pass_on(kept, DAY)

    became = kept.outcomes()

    assert sorted(became) == ["released", *["unreadable"] * len(wrong)]
    left = [it["id"] for it in kept.listed()]
    status, answer = kept.ask("POST", {"action": "discard", "ids": left})
    assert (status, {it["outcome"] for it in answer["requests"]}) == (200, {"discarded"})
    assert objects(kept) == {}


def test_a_body_that_was_tampered_with_isnt_let_in(kept: Quarantining) -> None:
    """It is proven anew, whoever wrote it there."""
    kept.post()
    ((name, data),) = objects(kept).items()
    forged = json.loads(data) | {"body": "eyJtb25leSI6IDF9"}
    kept.world.store.quarantine.delete("github", name.rpartition("/")[2])
    kept.world.store.quarantine.put("github", "ab" * 16, json.dumps(forged).encode())
    kept.set("github", NEW)
    pass_on(kept, DAY)

    assert kept.outcomes() == ["refused"]


def test_our_own_code_that_fails_at_one_lets_the_others_in(
    kept: Quarantining, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        kept.post(b'{"n": %d}' % number, x_github_delivery=f"d-{number}")
    kept.set("github", NEW)
    pass_on(kept, DAY)
    save = kept.world.store.add_event
    poison = event_id("github", "d-1")
    monkeypatch.setattr(
        kept.world.store,
        "add_event",
        lambda event, due_at: 1 // 0 if event.id == poison else save(event, due_at),
    )

    released = kept.released()

    assert [it["outcome"] for it in released] == ["released", "failed", "released"]
    assert released[1]["why"] == Defect.code
    assert '"Defects":[1' in capsys.readouterr().out


def test_what_may_not_be_told_as_missing_is_looked_for(kept: Quarantining, monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 says 403 of what isn't there, to who may list a prefix alone; of what is there that is a trouble."""
    kept.post()
    (here,) = [it["id"] for it in kept.listed()]

    def forbidden(**_: Any) -> Any:
        raise kept.s3.exceptions.ClientError({"Error": {"Code": "AccessDenied"}}, "GetObject")

    monkeypatch.setattr(kept.s3, "get_object", forbidden)

    assert [it["outcome"] for it in kept.released(ids=[here, "ab" * 16])] == ["failed", "gone"]


def test_a_handshake_isnt_let_in_as_an_event(kept: Quarantining) -> None:
    """Nobody waits for its answer any more."""
    from infra.config.schemes import built_in_schemes

    kept.configure(configured(scheme="slack", row=built_in_schemes()["slack"].row()))
    body = b'{"type": "url_verification", "challenge": "abc"}'
    at = str(int(kept.world.clock.at.timestamp()))
    signature = kept.signed("github", f"v0:{at}:".encode() + body, NEW)["x-hub-signature-256"]
    headers = {"x-slack-request-timestamp": at, "x-slack-signature": signature.replace("sha256", "v0")}
    kept.raw("github", body, headers | {"content-type": "application/json"})
    kept.set("github", NEW)
    pass_on(kept, DAY)

    assert [it["why"] for it in kept.released()] == ["handshake"]
    assert kept.published == []


# -- an operator's questions ------------------------------------------------------------------------------------------


def test_a_listing_says_which_would_pass_and_shows_neither_body_nor_secret(kept: Quarantining) -> None:
    kept.post(b'{"hush": "body"}', authorization="Bearer hush", user_agent="GitHub-Hookshot/1\x1b[2J" + "x" * 500)
    kept.post(b'{"forged": 1}', key="a guess")
    kept.set("github", NEW)
    pass_on(kept, DAY)

    status, answer = kept.ask("GET")

    assert status == 200
    assert {name: answer[name] for name in ("source", "kept_s", "number", "number_max", "cursor")} == {
        "source": "github",
        "kept_s": 3 * DAY_S,
        "number": 2,
        "number_max": 1000,
        "cursor": None,
    }
    real, forged = answer["requests"]
    assert (real["outcome"], real["event_type"], real["idempotency_key"]) == ("passes", "push", "d-1")
    assert (forged["outcome"], forged["why"]) == ("refused", "bad_signature")
    assert (real["refused_for"], real["method"], real["size_bytes"]) == ("bad_signature", "POST", 16)
    assert real["received_at"] == iso(World.began)
    assert len(real["user_agent"]) <= 150
    assert "hush" not in json.dumps(answer)
    assert "\x1b" not in real["user_agent"]
    assert kept.published == []


def test_a_check_lets_nothing_in(kept: Quarantining) -> None:
    kept.post()
    kept.set("github", NEW)
    pass_on(kept, DAY)

    _, answer = kept.ask("POST", {"action": "check"})

    assert [it["outcome"] for it in answer["requests"]] == ["passes"]
    assert (kept.published, len(objects(kept))) == ([], 1)


def test_pages_go_on_where_the_one_before_ended(kept: Quarantining, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is bounded; the oldest come first."""
    monkeypatch.setattr(readmission, "ANSWER_MAX", 3)
    for number in range(7):
        kept.post(b'{"n": %d}' % number, x_github_delivery=f"d-{number}")
    kept.set("github", NEW)
    pass_on(kept, DAY)
    asked: dict[str, Any] = {"action": "release"}
    sizes, cursors = [], []
    while True:
        _, answer = kept.ask("POST", asked)
        sizes.append(len(answer["requests"]))
        cursors.append(answer["cursor"])
        if answer["cursor"] is None:
            break
        asked["cursor"] = answer["cursor"]

    assert sizes == [3, 3, 1]
    assert len(set(cursors)) == 3
    assert kept.published == [b'{"n": %d}' % number for number in range(7) for _ in range(2)]


def test_a_call_whose_time_is_over_does_one_and_says_where_to_go_on(
    kept: Quarantining, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "QUARANTINE_S", -1.0)
    for number in range(3):
        kept.post(b'{"n": %d}' % number, x_github_delivery=f"d-{number}")
    kept.set("github", NEW)
    pass_on(kept, DAY)

    _, first = kept.ask("POST", {"action": "release"})
    _, second = kept.ask("POST", {"action": "release", "cursor": first["cursor"]})
    _, named = kept.ask("POST", {"action": "discard", "ids": ["ab" * 16, "cd" * 16]})

    assert [len(it["requests"]) for it in (first, second)] == [1, 1]
    assert kept.published == [b'{"n": 0}', b'{"n": 0}', b'{"n": 1}', b'{"n": 1}']
    assert (len(named["requests"]), named["left"]) == (1, ["cd" * 16])


def test_those_that_are_named_are_let_in_or_discarded_alone(kept: Quarantining) -> None:
    for number in range(3):
        kept.post(b'{"n": %d}' % number, x_github_delivery=f"d-{number}")
    kept.set("github", NEW)
    pass_on(kept, DAY)
    first, second, third = [it["id"] for it in kept.listed()]

    _, released = kept.ask("POST", {"action": "release", "ids": [second, "ab" * 16]})
    _, discarded = kept.ask("POST", {"action": "discard", "ids": [third]})

    assert [it["outcome"] for it in released["requests"]] == ["released", "gone"]
    assert [it["outcome"] for it in discarded["requests"]] == ["discarded"]
    assert [it["id"] for it in kept.listed()] == [first]
    assert set(kept.published) == {b'{"n": 1}'}


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"action": "open"},
        {"action": ["release"]},
        {"action": "discard"},
        {"action": "discard", "cursor": "x"},
        {"action": "release", "ids": []},
        {"action": "release", "ids": "ab" * 16},
        {"action": "release", "ids": [1]},
        {"action": "release", "ids": ["../../spool/x"]},
        {"action": "release", "ids": ["ab" * 16] * 101},
        {"action": "release", "ids": ["ab" * 16], "cursor": "x"},
        {"action": "release", "cursor": 1},
        {"action": "release", "cursor": "x"},
        {"action": "release", "cursor": "2026-01-31T09:00:00." + "ab" * 16},
        {"action": "release", "limit": 5},
    ],
)
def test_what_isnt_a_question_is_said_to_be_none(kept: Quarantining, asked: dict[str, Any]) -> None:
    kept.post()
    kept.set("github", NEW)
    pass_on(kept, DAY)

    status, answer = kept.ask("POST", asked)

    assert (status, answer["error"]["code"] in {"bad_request", "bad_cursor"}) == (400, True)
    assert (len(objects(kept)), kept.published) == (1, [])


def test_a_listing_takes_a_cursor_and_no_other_parameter(kept: Quarantining) -> None:
    assert kept.ask("GET", limit="5")[1]["error"]["code"] == "unknown_filter"
    assert kept.ask("GET", cursor="5")[1]["error"]["code"] == "bad_cursor"
    assert kept.ask("GET", source="nobody")[0] == 404


def test_the_configuration_says_how_many_are_kept(kept: Quarantining) -> None:
    kept.post()

    shown = answers.show_config(kept.relay.settings, kept.world.store)

    assert shown["counts"]["quarantined"] == {"github": 1, "stripe": 0}
    assert shown["sources"]["github"]["quarantine_s"] == 3 * DAY_S


def _raise(error: Exception) -> Any:
    def fail(*_: Any) -> Any:
        raise error

    return fail
