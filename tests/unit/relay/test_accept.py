"""What makes two requests one event, what looks like a replay, and where a webhook waits while the table is down."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from infra.config.schemes import built_in_schemes
from relay.config.settings import Settings
from relay.errors import BodyTooLarge, SignatureError, UpstreamError
from relay.ingest.accept import BODY_MAX_BYTES, Acceptance, Proof, accept_or_spool, examine
from relay.ingest.spool import FOREIGN, take_in
from relay.ingest.webhook import Webhook
from relay.jobs.sweep import sweep
from relay.model.ids import event_id, iso
from relay.query import answers
from relay.runtime.deadline import within
from relay.verification.handshakes import HandshakeAnswer
from relay.verification.request import InboundRequest
from relay.verification.secret import Secret
from relay.verification.verify import WebhookInfo
from tests.flat import route
from tests.unit.relay.slow import left, slow_aws
from tests.unit.relay.world import BASE, FLAT, World

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.storage.store import Store

TO_CI = [route("ci", how=FLAT["url_groups"]["ci"]["publishing"])]


def source_of(world: World, scheme: str, **settings: Any) -> Sourced:
    """Return a source of *scheme* in *world*, beside what is there."""
    row = built_in_schemes()[scheme].row() | settings.pop("row", {})
    sources = {**FLAT["sources"], scheme: {"scheme": scheme, "row": row, "routes": TO_CI, **settings}}
    world.settings = Settings.of({"RELAY_BASE_URLS": BASE}, {**FLAT, "sources": sources})
    world.publisher.settings = world.settings
    return Sourced(world, scheme)


class Sourced:
    """A source of one scheme, and its provider."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.source = world.settings.sources[name]

    def post(
        self,
        said: WebhookInfo,
        body: bytes = b"{}",
        store: Store | None = None,
        publisher: Callable[[], Any] | None = None,
    ) -> Acceptance | Webhook:
        world = self.world
        with world.acting("ingest"):
            return accept_or_spool(
                self.source,
                Webhook(self.source.name, world.clock.at, said, "application/json", body),
                settings=world.settings,
                store=store or world.store,
                publisher=publisher or (lambda: world.publisher),
                paused=frozenset,
            )

    def accepted(self, said: WebhookInfo, body: bytes = b"{}") -> Acceptance:
        acceptance = self.post(said, body)
        assert isinstance(acceptance, Acceptance)
        return acceptance


def keyed(key: str, signed: str | None = "aa") -> WebhookInfo:
    """Return what a request says of itself, whose id nothing signs; *signed* stands for the hash of what was."""
    return WebhookInfo(key, has_id=True, event_type="push", headers={}, signed_sha256=signed)


UNKEYED = WebhookInfo("sha256:aa", has_id=False, event_type="push", headers={})


# -- sources without an id --------------------------------------------------------------------------------------------


def test_the_same_body_within_the_sources_retries_is_the_same_event(world: World) -> None:
    """Onfido gives no id and retries for a day, for all that is known."""
    onfido = source_of(world, "onfido", row={"retries_for_s": 3600})
    first = onfido.accepted(UNKEYED)
    world.clock.at += timedelta(hours=1)

    again = onfido.accepted(UNKEYED)

    assert (first.duplicate, again.duplicate) == (False, True)
    assert again.event.id == first.event.id


def test_the_same_body_after_the_sources_retries_is_another_event(world: World) -> None:
    """Somebody did the same thing again: swallowing that would lose an event."""
    onfido = source_of(world, "onfido", row={"retries_for_s": 3600})
    first = onfido.accepted(UNKEYED)
    world.clock.at += timedelta(hours=1, seconds=1)

    again = onfido.accepted(UNKEYED)

    assert not again.duplicate
    assert again.event.id != first.event.id
    assert world.store.event(first.event.id) == replace(first.event, unpublished=frozenset())


def test_a_source_that_never_retries_has_no_duplicates_without_ids(world: World) -> None:
    """Dropbox says every time the same: that something changed."""
    dropbox = source_of(world, "dropbox")
    dropbox.accepted(UNKEYED)
    world.clock.at += timedelta(milliseconds=1)

    assert not dropbox.accepted(UNKEYED).duplicate


def test_a_crash_between_the_first_look_and_the_save_swallows_nothing(world: World) -> None:
    """What was only seen is no event: the source's retry makes it."""
    onfido = source_of(world, "onfido")
    world.store.first_sent("onfido", hashlib.sha256(b"{}").hexdigest(), world.clock.at, timedelta(days=1))
    world.clock.at += timedelta(minutes=5)

    assert not onfido.accepted(UNKEYED).duplicate


def test_sources_with_the_same_body_are_kept_apart(world: World) -> None:
    assert not source_of(world, "onfido").accepted(UNKEYED).duplicate
    assert not source_of(world, "calendly").accepted(UNKEYED).duplicate


# -- ids that nobody signed -------------------------------------------------------------------------------------------


def test_the_same_signed_body_under_a_new_id_is_flagged(world: World) -> None:
    """GitHub's id stands in a header that its signature doesn't cover: whoever has one delivery can make more of it."""
    github = source_of(world, "github")
    first = github.accepted(keyed("a"))

    again = github.accepted(keyed("b"))

    assert first.event.suspected_replay_of is None
    assert (again.duplicate, again.event.suspected_replay_of) == (False, first.event.id)
    shown = answers.show_event(world.store, again.event.id, with_body=False)
    assert shown["suspected_replay_of"] == first.event.id


def test_a_source_can_refuse_suspected_replays(world: World) -> None:
    github = source_of(world, "github", replays="refuse")
    github.accepted(keyed("a"))

    with pytest.raises(SignatureError) as refused:
        github.accepted(keyed("b"))

    assert (refused.value.reason, refused.value.status) == ("replayed", 401)
    assert github.accepted(keyed("a")).duplicate


def test_a_redelivery_under_its_own_id_is_no_replay(world: World) -> None:
    github = source_of(world, "github", replays="refuse")
    github.accepted(keyed("a"))

    again = github.accepted(keyed("a"))

    assert (again.duplicate, again.event.suspected_replay_of) == (True, None)


def test_what_is_signed_tells_and_not_the_body(world: World) -> None:
    """Sanity signs the time: the same document edited twice is two events, though the bodies are the same."""
    sanity = source_of(world, "sanity", replays="refuse")
    sanity.accepted(keyed("a", signed="signed then"))

    assert sanity.accepted(keyed("b", signed="signed now")).event.suspected_replay_of is None


def test_where_the_id_or_nothing_is_signed_nothing_is_suspected(world: World) -> None:
    stripe = source_of(world, "stripe", replays="refuse")
    stripe.accepted(keyed("a", signed=None))

    assert stripe.accepted(keyed("b", signed=None)).event.suspected_replay_of is None


def test_a_replay_that_leaves_the_id_out_is_suspected_too(world: World) -> None:
    github = source_of(world, "github", replays="refuse")
    github.accepted(keyed("a"))

    with pytest.raises(SignatureError):
        github.accepted(replace(UNKEYED, signed_sha256="aa"))


def test_what_was_seen_and_never_saved_is_no_event_to_be_a_replay_of(world: World) -> None:
    """The source's retry may have another id, where nothing signs it: refusing it would lose the event."""
    github = source_of(world, "github", replays="refuse")
    world.store.first_key("github", "aa", "a", world.clock.at + timedelta(days=1))

    assert github.accepted(keyed("b")).event.suspected_replay_of is None


def test_a_body_that_came_with_an_id_may_come_without_and_back(world: World) -> None:
    """Twilio sends its id with retries only."""
    twilio = source_of(world, "twilio")

    for said in (UNKEYED, keyed("a", signed=None), UNKEYED, keyed("a")):
        twilio.accepted(replace(said, signed_sha256="bb" if said.has_id else None))


# -- while the table is down ------------------------------------------------------------------------------------------


class DownTable:
    """A store whose table can't be written; its bucket can."""

    def __init__(self, store: Store, *, bucket_too: bool = False) -> None:
        self._store = store
        self._bucket_too = bucket_too

    def __getattr__(self, name: str) -> Any:
        if name == "now" or (name == "spool" and not self._bucket_too):
            return getattr(self._store, name)
        return Down()


class Down:
    """A part of a store, or a method of it, that fails."""

    def __getattr__(self, name: str) -> Down:
        return self

    def __call__(self, *_: Any, **__: Any) -> None:
        raise UpstreamError("DynamoDB", "ProvisionedThroughputExceededException")


def test_what_the_source_never_sends_again_is_spooled_and_taken_in_once_the_table_is_back(world: World) -> None:
    """GitHub doesn't retry: a 503 would be the end of the event."""
    github = source_of(world, "github")
    came_at = world.clock.at
    spooled = github.post(keyed("a"), b'{"n": 1}', store=DownTable(world.store))  # type: ignore[arg-type]
    assert isinstance(spooled, Webhook)

    done = world.sweep(600)

    assert (done.unspooled, done.failed) == (1, 0)
    again = github.accepted(keyed("a"), b'{"n": 1}')
    assert again.duplicate
    assert again.event.received_at == came_at
    assert world.store.body(again.event) == b'{"n": 1}'
    assert len(world.wire.published) == 1
    assert world.store.spool.oldest(10) == []


def test_what_was_spooled_twice_is_one_event(world: World) -> None:
    github = source_of(world, "github")
    for _ in range(2):
        github.post(keyed("a"), store=DownTable(world.store))  # type: ignore[arg-type]

    world.sweep(60)

    assert len(world.wire.published) == 1


def test_what_isnt_known_to_be_sent_again_is_spooled(world: World) -> None:
    """Telnyx publishes no schedule: better kept twice than lost."""
    assert isinstance(
        source_of(world, "telnyx").post(keyed("a"), store=DownTable(world.store)),  # type: ignore[arg-type]
        Webhook,
    )


def test_what_the_source_sends_again_is_spooled_all_the_same(world: World) -> None:
    """Stripe retries for days; an outage may last longer, and what is kept needs no retry."""
    assert isinstance(
        source_of(world, "stripe").post(keyed("a"), store=DownTable(world.store)),  # type: ignore[arg-type]
        Webhook,
    )


def test_where_the_bucket_is_down_too_the_source_is_told(world: World) -> None:
    github = source_of(world, "github")

    with pytest.raises(UpstreamError):
        github.post(keyed("a"), store=DownTable(world.store, bucket_too=True))  # type: ignore[arg-type]


def test_what_cant_be_taken_in_stays_and_keeps_nothing_else_waiting(world: World) -> None:
    """Bytes that nobody of ours wrote."""
    world.store.spool.put(b"no spooled webhook")
    github = source_of(world, "github")
    github.post(keyed("a"), store=DownTable(world.store))  # type: ignore[arg-type]

    done = world.sweep(60)

    assert (done.unspooled, done.failed, done.spooled, done.spooled_s) == (1, 1, 1, 60)
    assert len(world.store.spool.oldest(10)) == 1
    word = world.store.spool.word()
    assert (word["reason"], word["after"]) == (FOREIGN, "")
    told = answers.show_config(world.settings, world.store)["spool"]
    assert (told["waiting"], told["oldest_at"], told["reason"]) == (1, iso(World.began), FOREIGN)


def test_what_a_source_sent_before_it_left_the_configuration_is_an_event_without_a_route(world: World) -> None:
    """It was acknowledged: so it is there to be seen, and to be replayed once the source is back."""
    gone = Webhook("gone", world.clock.at, keyed("a"), "application/json", b'{"n": 1}')
    world.store.spool.put(gone.dump())

    done = world.sweep(60)

    assert (done.unspooled, done.failed, done.spooled) == (1, 0, 0)
    event = world.store.event(event_id("gone", "a"))
    assert event is not None
    assert (event.expected, event.route_error) == ({}, "its source is gone")
    assert world.store.body(event) == b'{"n": 1}'


def test_a_spooled_webhook_that_its_source_refuses_as_a_replay_is_shown_as_refused(world: World) -> None:
    world.deploy(FLAT | {"sources": {"github": FLAT["sources"]["github"] | {"replays": "refuse"}}})
    world.post(b'{"n": 1}', "d-1")
    said = WebhookInfo(
        "d-2", has_id=True, event_type="push", headers={}, signed_sha256=hashlib.sha256(b'{"n": 1}').hexdigest()
    )
    world.store.spool.put(Webhook("github", world.clock.at, said, None, b'{"n": 1}').dump())

    done = world.sweep(60)

    assert (done.unspooled, done.failed, world.store.spool.oldest(9)) == (0, 0, [])
    (refused,) = answers.list_refusals(world.store, "github", world.settings)["counts"]
    assert (refused["reason"], refused["count"]) == ("replayed", 1)


def test_a_head_that_fails_slowly_starves_nobody(world: World) -> None:
    """The next run goes on where this one had no more time."""
    for _ in range(3):
        world.store.spool.put(b"no webhook of ours")
        world.clock.at += timedelta(seconds=1)
    source_of(world, "github").post(keyed("a"), store=DownTable(world.store))  # type: ignore[arg-type]
    reads, after, unspooled = list[str](), "", 0

    def read(key: str) -> bytes:
        reads.append(key)
        return world.store.bucket.get(key)

    world.store.spool.get = read  # type: ignore[method-assign]
    for _ in range(4):
        reads.clear()
        with within(lambda: 8.0 - 5.0 * len(reads)):
            done = take_in(world.publisher, lambda: world.publisher, after)
        assert len(reads) <= 2
        after, unspooled = done.after, unspooled + done.unspooled

    assert (unspooled, len(world.store.spool.oldest(9))) == (1, 3)


def test_what_is_spooled_is_told_though_no_sweep_runs(world: World) -> None:
    github = source_of(world, "github")
    github.post(keyed("a"), store=DownTable(world.store))  # type: ignore[arg-type]

    told = answers.show_config(world.settings, world.store)["spool"]

    assert told == {"waiting": 1, "oldest_at": iso(World.began), "reason": None}
    assert answers.show_audit(world.store, {}, lambda: 60)["spool"] == told


def test_the_outbox_has_its_turn_however_much_is_spooled(world: World) -> None:
    """What is owed to destinations doesn't wait for what its source's removal left behind."""
    github = source_of(world, "github")
    world.wire.failures = [500]
    github.accepted(keyed("owed"), b"owed")
    for number in range(60):
        world.store.spool.put(Webhook("gone", world.clock.at, keyed(str(number)), None, b"{}").dump())
    world.clock.at += timedelta(seconds=40)

    with slow_aws(world, lambda: 0.4):
        done = sweep(world.publisher, owner="a", seconds_left=left(world, 40))

    assert done.published == 1


def test_more_than_a_batch_is_taken_in_at_once(world: World) -> None:
    github = source_of(world, "github")
    for number in range(30):
        github.post(keyed(str(number)), store=DownTable(world.store))  # type: ignore[arg-type]

    assert world.sweep(60).unspooled == 30


def test_a_spooled_webhook_reads_back() -> None:
    said = WebhookInfo("k", has_id=True, event_type="t", headers={"a": "b"})
    webhook = Webhook("github", World.began, said, None, b"\xff\x00")

    assert Webhook.load(webhook.dump()) == webhook


# -- secrets that are newer than what is known ------------------------------------------------------------------------


def signed(body: bytes, secret: str) -> InboundRequest:
    mac = hmac.digest(secret.encode(), body, "sha256").hex()
    headers = {"x-hub-signature-256": f"sha256={mac}", "x-github-delivery": "a"}
    return InboundRequest(method="POST", urls=[f"{BASE}/webhooks/github"], headers=headers, body=body)


def test_a_secret_that_was_set_just_now_works(world: World) -> None:
    """Where no secret fits they are read again."""
    held = ["old"]

    def refresh() -> bool:
        held.append("new")
        return True

    proof = Proof(secrets=lambda: [Secret(it) for it in held], refresh=refresh, fetch=None)

    said = examine(source_of(world, "github").source, signed(b"{}", "new"), proof, at=0)

    assert isinstance(said, WebhookInfo)


def test_secrets_are_read_again_for_what_another_secret_could_mend_only(world: World) -> None:
    """A missing header stays missing."""

    def refresh() -> bool:
        raise AssertionError

    proof = Proof(secrets=lambda: [Secret("s")], refresh=refresh, fetch=None)
    request = InboundRequest(method="POST", urls=[BASE], headers={}, body=b"{}")

    with pytest.raises(SignatureError):
        examine(source_of(world, "github").source, request, proof, at=0)


def test_a_handshake_needs_no_secret(world: World) -> None:
    """It comes while the webhook is being made, before there is one."""
    proof = Proof(secrets=list, refresh=lambda: False, fetch=None)
    request = InboundRequest(method="HEAD", urls=[BASE], headers={}, body=b"")

    assert examine(source_of(world, "trello").source, request, proof, at=0) == HandshakeAnswer(200)


def test_a_body_over_the_limit_is_refused_before_it_is_looked_at(world: World) -> None:
    proof = Proof(secrets=list, refresh=lambda: False, fetch=None)
    request = InboundRequest(method="POST", urls=[BASE], headers={}, body=b"x" * (BODY_MAX_BYTES + 1))

    with pytest.raises(BodyTooLarge):
        examine(source_of(world, "github").source, request, proof, at=0)


def test_what_a_handshake_told_is_shown_to_operators(world: World) -> None:
    """Notion's token, which its owner must paste at Notion."""
    source_of(world, "notion")
    world.store.state.save_handshake("notion", {"verification_token": "secret_x"})

    shown = answers.list_refusals(world.store, "notion", world.settings)["handshake"]

    assert shown["kept"] == {"verification_token": "secret_x"}
    world.clock.at += timedelta(days=1, seconds=1)
    assert answers.list_refusals(world.store, "notion", world.settings)["handshake"] is None


def test_base64_and_json_are_what_the_spool_is_made_of() -> None:
    """A person at 3 a.m. can read it."""
    held = json.loads(Webhook("github", World.began, keyed("a"), None, b"hi").dump())

    assert (held["source"], base64.b64decode(held["body"])) == ("github", b"hi")
