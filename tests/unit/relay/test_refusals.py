"""Refusals: what is kept of a request that a stranger wrote, how often, at what cost, and what it is put down to."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay import query
from relay.errors import (
    BadRequest,
    BodyTooLarge,
    Conflict,
    HandshakeFailed,
    NotFound,
    OperatorError,
    QStashError,
    RelayError,
    SignatureError,
    UnusableSecret,
    UpstreamError,
)
from relay.gateway import Request, logger
from relay.items import plain, refusal_item, slot_of, wire
from relay.refusals import SLOTS, UNKNOWN_SOURCE_NAME, Facts, Reason, Refusal, Slot, likely_cause
from relay.refuse import GAP_MAX, QUIET, WRITES_PER_MINUTE, Pace, reason_of, record_refusal
from relay.settings import Settings
from relay.store import Store
from tests.local_table import make_table
from tests.store_conformance import Clock, a_refusal, an_event

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import LocalClients

NOW = datetime(2026, 1, 31, 9, tzinfo=UTC)
BASE = "https://relay.example.com"
ROW: dict[str, Any] = {
    "signature": ["X-Hub-Signature-256: sha256={hex}"],
    "algorithm": "hmac-sha256",
    "id": "X-GitHub-Delivery",
    "type": ["X-GitHub-Event"],
    "forward": [],
    "timeout_s": 10,
}
HOLDING: dict[str, dict[str, Any]] = {  # rows whose senders put the secret itself into the body, or into the URL
    "mail": {"algorithm": "@ms-graph"},
    "bodily": {"algorithm": "token", "signature": ["body:auth.token: {text}"]},
    "formal": {"algorithm": "token", "signature": ["X-Token: {text}", "form:token: {text}"]},
    "queried": {"algorithm": "token", "signature": ["query:token: {text}"]},
    "doubled": ROW | {"requires": {"X-Token|body:token": "{secret:token}"}},
}
HEADED: dict[str, dict[str, Any]] = {  # and into a header, or not at all
    "headed": {"algorithm": "token", "signature": ["X-Token: {text}"]},
    "formed": ROW | {"signature": ["form:signature: {hex}"]},
    "versioned": ROW | {"requires": {"body:version": "1", "X-Key": "{secret:key}"}},
}
FLAT: dict[str, Any] = {
    "name": "relay",
    "retention_days": 30,
    "sources": {
        "github": {"scheme": "github", "row": ROW, "to": []},
        "calls": {"scheme": "twilio", "row": ROW | {"signs": "{url}{body}"}, "to": []},
        **{name: {"scheme": "own", "row": row, "to": []} for name, row in HEADED.items()},
    },
    "url_groups": {},
    "destinations": {},
}
BAD = SignatureError("X-Hub-Signature-256 doesn't match", reason="bad_signature")
ITEM_MAX_BYTES = 4096  # four write units


def asked(source: str = "github", body: bytes = b"{}", method: str = "POST", **headers: str) -> Request:
    """Return a webhook as an HTTP API hands it over; headers in Python spelling."""
    return Request.of(
        {
            "routeKey": "ANY /webhooks/{source}",
            "rawPath": f"/webhooks/{source}",
            "rawQueryString": "token=hush",
            "pathParameters": {"source": source},
            "headers": {name.replace("_", "-"): value for name, value in headers.items()},
            "requestContext": {"http": {"method": method}},
            "body": base64.b64encode(body).decode(),
            "isBase64Encoded": True,
        }
    )


def refused(reason: Reason = Reason.BAD_SIGNATURE, *, body: bytes = b"{}", **changes: Any) -> Refusal:
    """Return what is kept of a refused request."""
    request: dict[str, Any] = {"at": NOW, "method": "POST", "path": "/webhooks/github", "query_string": ""}
    request |= {"message": "no", "headers": {}, "source_ip": None}
    return Refusal.of("github", reason, body=body, **{**request, **changes})


class World:
    """A relay's settings, its real store, and the pace of one function instance."""

    def __init__(self, clients: LocalClients) -> None:
        self.clock = Clock(NOW)
        name = clients.new_name()
        make_table(clients.dynamodb, name)
        self.dynamodb = clients.dynamodb
        self.store = Store(name, name, now=self.clock, dynamodb=clients.dynamodb)
        self.configure()
        self.pace = Pace()

    def configure(self, **rows: dict[str, Any]) -> None:
        """Have a source for each of *rows* too."""
        more = {name: {"scheme": "own", "row": row, "to": []} for name, row in rows.items()}
        flat = FLAT | {"sources": FLAT["sources"] | more}
        self.settings = Settings.of({"RELAY_BASE_URLS": f"{BASE},https://api.example.com"}, flat)

    def refuse(self, error: RelayError, request: Request) -> Reason | None:
        return record_refusal(error, request, settings=self.settings, store=self.store, pace=self.pace)

    def items(self) -> list[Any]:
        found: list[Any] = self.dynamodb.scan(TableName=self.store.table.name)["Items"]
        return found

    def shown(self, source: str = "github") -> dict[str, Any]:
        return query.list_refusals(self.store, source, self.settings)


@pytest.fixture
def world(local_clients: LocalClients) -> World:
    return World(local_clients)


class Kept(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep *record*."""
        self.records.append(record)


@pytest.fixture
def logged() -> Iterator[list[logging.LogRecord]]:
    handler = Kept()
    logger.addHandler(handler)
    yield handler.records
    logger.handlers.remove(handler)


# -- what is kept -----------------------------------------------------------------------------------------------------

SECRETS = (
    *("x-hub-signature-256", "authorization", "cookie", "x-gitlab-token", "x-api-key", "proxy-authorization"),
    *("stripe-signature", "referer", "x-amz-security-token", "x-secret-timestamp", "x-token-date"),
)


def test_names_of_headers_are_kept_and_values_only_of_harmless_ones() -> None:
    """A value that could open something never reaches the table."""
    harmless = {
        "content-type": "application/json",
        "user-agent": "GitHub-Hookshot/1",
        "via": "1.1 proxy",
        "x-slack-request-timestamp": "1769850000",
        "paypal-transmission-time": "2026-01-31T09:00:00Z",
    }

    kept = refused(headers={**harmless, **dict.fromkeys(SECRETS, "t=1769850000,v1=s3cret")}, query_string="key=s3cret")

    assert kept.headers == harmless
    assert set(kept.header_names) == {*harmless, *SECRETS}
    assert kept.path == "/webhooks/github?..."
    assert "s3cret" not in repr(kept)


HARMLESS = {
    *("content-type", "user-agent", "content-length", "content-encoding", "transfer-encoding", "date", "host", "via"),
    *("x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"),
}


@given(st.sets(st.text(max_size=70).map(str.lower).filter(lambda it: it not in HARMLESS), max_size=30))
def test_no_header_but_the_harmless_ones_keeps_its_value(names: set[str]) -> None:
    """An allow-list: a name that nobody thought of is a secret's."""
    assert refused(headers=dict.fromkeys(names, "s3cret 1769850000")).headers == {}


STRANGE = st.one_of(
    st.text(max_size=400),
    st.text("0123456789T:-.Z", max_size=40),
    st.sampled_from(["t=99999999999", "20" + "9" * 11, "0001-01-01T00:00:00Z", "2026-01-01T00:00:00+99:99", "\ud800"]),
)
NAMES = st.one_of(
    st.sampled_from(["date", "via", "content-length", "x-forwarded-for", "x-a-timestamp", "b-signature", "c-time"]),
    st.from_regex(r"\A[a-z]{0,50}-(timestamp|date)\Z"),
    st.text(max_size=100),
)


@given(
    headers=st.dictionaries(NAMES, STRANGE, max_size=60),
    body=st.binary(max_size=700),
    texts=st.tuples(STRANGE, STRANGE, STRANGE, STRANGE),
    reason=st.sampled_from(Reason),
)
def test_whatever_a_stranger_sends_is_kept_small_reads_back_and_is_explained(
    headers: dict[str, str], body: bytes, texts: tuple[str, str, str, str], reason: Reason
) -> None:
    """Nothing raises, and no item costs more than four write units."""
    message, method, path, query_string = texts
    refusal = Refusal.of(
        "n" * 64,
        reason,
        message,
        at=NOW,
        method=method,
        path=path,
        query_string=query_string,
        headers=headers,
        source_ip=method,
        body=body,
    )

    item = wire(refusal_item(Slot(4, refusal, 10**9, NOW)))

    assert slot_of(plain(item)).refusal == refusal
    assert size_bytes({"M": item}) <= ITEM_MAX_BYTES
    assert likely_cause(refusal, Facts("twilio", False, ("github",), (BASE,), None, True)).isascii()


def test_a_request_as_large_as_can_be_still_fits() -> None:
    """Hypothesis seldom fills every budget at once."""
    headers = {
        **{f"{n:03}{'x' * 70}": "v" * 500 for n in range(60)},
        **{f"{n:03}-{'y' * 40}-timestamp": "1769850000" for n in range(60)},
        **dict.fromkeys(("content-type", "user-agent", "via", "host", "date", "x-forwarded-for"), "ü" * 5000),
    }

    refusal = refused(headers=headers, body=b"\xff" * 5000, path="/" * 5000, method="M" * 500)

    assert 3000 < size_bytes({"M": wire(refusal_item(Slot(0, refusal, 1, NOW)))}) <= ITEM_MAX_BYTES
    assert (len(refusal.body), refusal.size_bytes) == (512, 5000)
    assert refusal.sha256 == hashlib.sha256(b"\xff" * 5000).hexdigest()


def size_bytes(value: dict[str, Any]) -> int:
    """Return what DynamoDB counts *value* as, at most: names and values in bytes, 3 for a map or a list, 1 an element.

    Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
    """
    match value:
        case {"M": items}:
            return 3 + sum(1 + len(name) + size_bytes(it) for name, it in items.items())
        case {"L": items}:
            return 3 + sum(1 + size_bytes(it) for it in items)
        case {"S": text}:
            return len(text.encode())
        case {"B": data}:
            return len(data)
        case {"N": number}:
            return 2 + len(number)
    return 1


def test_the_caller_is_the_address_that_called_the_gateway() -> None:
    """What X-Forwarded-For says is a stranger's word."""
    assert refused(headers={"x-forwarded-for": "10.9.9.9"}, source_ip="203.0.113.9").source_ip == "203.0.113.9"


@pytest.mark.parametrize("source", HOLDING)
@pytest.mark.parametrize("to", ["it", "a name like its"])
def test_no_body_is_kept_in_which_the_secret_stands(world: World, source: str, to: str) -> None:
    """Of a wrong one, too: it may be right but for a letter, or the one before."""
    world.configure(**{source: HOLDING[source]})
    body = b'{"value":[{"clientState":"s3cret"}],"token":"s3cret"}'

    world.refuse(BAD, asked(source if to == "it" else "grahp", body))

    (shown,) = world.shown(source if to == "it" else UNKNOWN_SOURCE_NAME)["refusals"]
    assert (shown["body"], shown["body_truncated"], shown["size_bytes"]) == ("", True, len(body))
    assert shown["sha256"] == hashlib.sha256(body).hexdigest()
    assert "s3cret" not in repr(world.items())


@pytest.mark.parametrize("source", ["github", *HEADED, "githb"])
def test_any_other_body_is_kept(world: World, source: str) -> None:
    """It is what tells a broken body; a secret in a header isn't kept anyway."""
    world.configure()

    world.refuse(BAD, asked(source, b'{"a":1}'))

    (shown,) = world.shown(UNKNOWN_SOURCE_NAME if source == "githb" else source)["refusals"]
    assert shown["body"] == '{"a":1}'


@pytest.mark.parametrize(
    "headers",
    [
        {"stripe-signature": "t=1769849600,v1=abc"},
        {"x-slack-request-timestamp": "1769849600"},
        {"x-hook-timestamp": "1769849600000"},
        {"transmission-time": "2026-01-31T08:53:20Z"},
        {"x-signature": "v1=abc; ts=1769849600"},
    ],
)
def test_the_signed_time_is_read_where_it_stands_plainly(headers: dict[str, str]) -> None:
    """Also out of a signature, of which nothing else is kept."""
    assert refused(headers=headers).signed_at == NOW - timedelta(seconds=400)


# -- reasons ----------------------------------------------------------------------------------------------------------


def lost() -> OperatorError:
    """Return the error of a vault that couldn't be reached."""
    error = OperatorError("the signing secrets can't be read")
    error.__cause__ = UpstreamError("Secrets Manager", "InternalServiceError")
    return error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (BAD, Reason.BAD_SIGNATURE),
        (SignatureError("x", reason="expired_timestamp"), Reason.EXPIRED_TIMESTAMP),
        (SignatureError("x", reason="a word of tomorrow"), Reason.BAD_SIGNATURE),
        (UnusableSecret("x"), Reason.UNUSABLE_SECRET),
        (NotFound("x"), Reason.UNKNOWN_SOURCE),
        (BodyTooLarge("x"), Reason.BODY_TOO_LARGE),
        (OperatorError("x"), Reason.NO_SECRET),
        (BadRequest("x"), Reason.UNREADABLE),
        (Conflict("x"), Reason.UNREADABLE),
        (HandshakeFailed("confirmation", "x"), Reason.HANDSHAKE_FAILED),
        (UpstreamError("DynamoDB", "x"), None),
        (QStashError("x"), None),
        (lost(), None),
        (RelayError("x"), None),
    ],
)
def test_an_error_has_one_reason_out_of_a_fixed_set_and_a_failure_of_ours_has_none(
    error: RelayError, reason: Reason | None
) -> None:
    """A reason is a metric's dimension: no other word may become one."""
    assert reason_of(error) is reason


def test_every_word_of_the_signature_engine_is_a_reason() -> None:
    """Else it would be told as another."""
    words = re.findall(r"`(\w+)`", SignatureError.__doc__ or "")

    assert len(words) > 10
    assert set(words) <= set(Reason)


# -- the verb ---------------------------------------------------------------------------------------------------------


def test_a_refusal_is_counted_by_source_and_reason_and_in_the_total(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line of CloudWatch's embedded metric format has both."""
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "ingest")

    assert world.refuse(BAD, asked()) is Reason.BAD_SIGNATURE

    (emitted,) = [json.loads(it) for it in capsys.readouterr().out.splitlines() if '"_aws"' in it]
    (metric,) = emitted["_aws"]["CloudWatchMetrics"]
    assert (metric["Namespace"], metric["Metrics"]) == ("FanoutRelay", [{"Name": "Refused", "Unit": "Count"}])
    assert sorted(map(sorted, metric["Dimensions"])) == [["reason", "source"], ["service"]]
    assert [emitted[it] for it in ("service", "source", "reason")] == ["ingest", "github", "bad_signature"]
    assert emitted["Refused"] == [1.0]


def test_unknown_sources_share_one_bucket_however_many_a_stranger_invents(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name out of a URL becomes neither a key nor a dimension."""
    for number in range(30):
        world.clock.at += timedelta(minutes=3)
        world.refuse(NotFound("there is no such source"), asked(f"invented-{number}"))

    emitted = [json.loads(it) for it in capsys.readouterr().out.splitlines() if '"_aws"' in it]
    assert {it["source"] for it in emitted} == {UNKNOWN_SOURCE_NAME}
    assert len(world.items()) == SLOTS
    assert {it["pk"]["S"] for it in world.items()} == {f"REFUSAL#{UNKNOWN_SOURCE_NAME}"}
    assert world.shown(UNKNOWN_SOURCE_NAME)["refusals"][0]["path"] == "/webhooks/invented-29?..."


def test_what_is_refused_seconds_apart_is_all_kept(world: World) -> None:
    """A person who tries things sees each try."""
    for number in range(4):
        world.clock.at += timedelta(seconds=2)
        world.refuse(BAD, asked(body=str(number).encode()))

    shown = world.shown()

    assert [it["body"] for it in shown["refusals"]] == ["3", "2", "1", "0"]
    assert [(it["reason"], it["count"]) for it in shown["counts"]] == [("bad_signature", 4)]


def test_what_is_not_kept_is_counted_with_the_next(world: World) -> None:
    """Within a second there is one sample."""
    for _ in range(10):
        world.refuse(BAD, asked())
    world.clock.at += timedelta(seconds=1)
    world.refuse(BAD, asked())

    assert [it["count"] for it in world.shown()["counts"]] == [11]
    assert len(world.items()) == 2


def test_one_refusal_costs_one_write_and_a_suppressed_one_none(world: World) -> None:
    """Of two units, as a webhook's sample is."""
    calls: list[str] = []
    api = world.store.table.client
    note = lambda model, **_: calls.append(model.name)  # noqa: E731
    api.meta.events.register("before-call.dynamodb", note)
    try:
        for number in range(SLOTS + 2):
            world.clock.at += timedelta(seconds=5)
            world.refuse(BAD, asked(body=str(number).encode()))
            world.refuse(BAD, asked())
    finally:
        api.meta.events.unregister("before-call.dynamodb", note)

    assert calls.count("PutItem") == SLOTS
    assert calls.count("UpdateItem") == 2
    assert calls.count("Query") == SLOTS + 2


def test_a_table_that_is_down_changes_no_answer_and_is_let_be(world: World, logged: list[logging.LogRecord]) -> None:
    """Counted all the same once it is back."""
    name, world.store.table.name = world.store.table.name, "gone"
    for _ in range(20):
        world.clock.at += timedelta(seconds=1)
        assert world.refuse(BAD, asked()) is Reason.BAD_SIGNATURE
    world.store.table.name = name
    world.clock.at += GAP_MAX

    world.refuse(BAD, asked())

    assert [it.levelname for it in logged if "not kept" in it.getMessage()] == ["WARNING"]
    assert [it["count"] for it in world.shown()["counts"]] == [21]


def test_an_upstream_failure_is_no_refusal(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """The source did nothing wrong."""
    assert world.refuse(UpstreamError("DynamoDB", "down"), asked()) is None

    assert world.items() == []
    assert "Refused" not in capsys.readouterr().out


# -- the pace ---------------------------------------------------------------------------------------------------------


def flooded(pace: Pace, keys: list[tuple[str, Reason]], seconds: int, per_second: int = 10) -> list[tuple[int, int]]:
    """Flood one instance; return (second, amount) of every write."""
    return [
        (second, amount)
        for second in range(seconds)
        for nth in range(per_second)
        for key in keys
        if (amount := pace.take(key, NOW + timedelta(seconds=second + nth / per_second)))
    ]


def test_a_flood_is_written_ever_more_seldom_and_counted_whole() -> None:
    """At most once a second, soon once a minute."""
    pace, key = Pace(), ("github", Reason.BAD_SIGNATURE)

    written = flooded(pace, [key], 600)

    assert len(written) <= 7 + 600 / 60
    gaps = [after - before for (before, _), (after, _) in pairwise(written)]
    assert min(gaps) >= 1
    assert gaps == sorted(gaps)
    assert gaps[-1] >= GAP_MAX.total_seconds()
    late = pace.take(key, NOW + timedelta(hours=1))
    assert sum(amount for _, amount in written) + late == 6001


def test_after_a_flood_a_single_refusal_is_kept_at_once_again() -> None:
    """The gap is as long as the flood lasts."""
    pace, key = Pace(), ("github", Reason.BAD_SIGNATURE)
    flooded(pace, [key], 300)
    calm = NOW + timedelta(minutes=20)

    assert pace.take(key, calm)
    assert [pace.take(key, calm + timedelta(seconds=2 * n)) for n in range(1, 5)] == [1, 1, 1, 1]


def test_a_flood_over_everything_has_a_bound_of_its_own() -> None:
    """However many sources there are; the first of each is beside it."""
    keys = [(f"s{n}", reason) for n in range(40) for reason in Reason]

    written = flooded(Pace(), keys, 180, per_second=1)

    assert len([second for second, _ in written if second == 0]) == len(keys)
    assert len(written) == len(keys) + 3 * WRITES_PER_MINUTE


def test_noise_on_one_source_doesnt_hide_that_another_begins() -> None:
    """Not even noise for so many reasons that no write is left in the minute."""
    pace = Pace()
    flooded(pace, [("noisy", reason) for reason in Reason], 30)
    now = NOW + timedelta(seconds=30)

    assert pace.take(("github", Reason.BAD_SIGNATURE), now) == 1
    assert pace.take(("github", Reason.BAD_SIGNATURE), now + timedelta(seconds=2)) == 0


@pytest.mark.parametrize(("silent", "amount"), [(QUIET, 3), (QUIET - timedelta(seconds=1), 0)])
def test_what_was_quiet_begins_anew(silent: timedelta, amount: int) -> None:
    """With what was held back before; and only after a whole `QUIET`, else a slow drip would have no bound."""
    pace, noise, key = Pace(), [("noisy", reason) for reason in Reason], ("github", Reason.BAD_SIGNATURE)
    flooded(pace, noise, 30)
    for second in (30, 32, 34):
        pace.take(key, NOW + timedelta(seconds=second))
    again = NOW + timedelta(seconds=34) + silent
    later = [(f"loud{n}", Reason.NO_SECRET) for n in range(2 * WRITES_PER_MINUTE)]
    for second in (61, 63, 65):  # the next minute's writes are spent as well
        for it in later:
            pace.take(it, NOW + timedelta(seconds=second))

    assert pace.take(key, again) == amount


def test_one_flooded_source_doesnt_hide_another() -> None:
    """Each source and reason has a pace of its own."""
    pace = Pace()
    flooded(pace, [("github", Reason.BAD_SIGNATURE)], 90)

    assert pace.take(("calls", Reason.BAD_SIGNATURE), NOW + timedelta(seconds=90)) == 1


# -- the likely cause -------------------------------------------------------------------------------------------------

FACTS = Facts("github", False, ("github", "Stripe-Live"), (BASE, "https://api.example.com"), None, True)
OTHERS = {"at": NOW, "method": "POST", "path": "/webhooks/github", "query_string": "", "body": b"{}"}


def cause(reason: Reason, facts: Facts = FACTS, **changes: Any) -> str:
    return likely_cause(refused(reason, **changes), facts)


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_is_explained_in_one_sentence(reason: Reason) -> None:
    """In words, without a stop."""
    told = cause(reason)

    assert 40 < len(told) < 500
    assert "\n" not in told
    assert not told.endswith(".")


def test_a_source_that_never_had_a_valid_webhook_has_the_wrong_secret() -> None:
    """And which one is meant is said."""
    told = cause(Reason.BAD_SIGNATURE)

    assert told.startswith("wrong secret: no webhook of this source was ever accepted")
    assert "`relay secret set github` with the secret that github shows for this very webhook" in told


def test_never_is_only_said_where_all_were_looked_at() -> None:
    """A bounded search proves nothing of what is older."""
    assert "ever accepted" not in cause(Reason.BAD_SIGNATURE, replace(FACTS, surely=False))


def test_a_source_that_had_valid_webhooks_has_another_secret_now_or_a_proxy() -> None:
    """With the time of the last one."""
    told = cause(Reason.BAD_SIGNATURE, replace(FACTS, accepted_at=NOW - timedelta(days=1)))

    assert told.startswith("the secret was changed over there, or a proxy changes the body")
    assert "2026-01-30 09:00Z" in told


@pytest.mark.parametrize("accepted_at", [None, NOW - timedelta(days=1)])
@pytest.mark.parametrize("headers", [{"content-encoding": "gzip"}, {"content-length": "17"}, {"via": "1.1 squid"}, {}])
def test_a_body_that_isnt_signed_isnt_blamed(accepted_at: datetime | None, headers: dict[str, str]) -> None:
    """Whatever changes it, the signature stays right."""
    facts = replace(FACTS, accepted_at=accepted_at)

    told = cause(Reason.BAD_SIGNATURE, replace(facts, signs_body=False), headers=headers)

    assert not {"proxy", "body"} & set(re.findall(r"\w+", told))
    assert "`relay secret set github`" in told
    if headers or accepted_at:
        assert "body" in cause(Reason.BAD_SIGNATURE, facts, headers=headers)


def test_a_wrong_token_is_told_as_a_token() -> None:
    """Nothing was signed."""
    told = cause(Reason.WRONG_TOKEN, replace(FACTS, scheme="gitlab-token"))

    assert told.startswith("the token isn't the one that was set: ")
    assert "`relay secret set github` with the very one that gitlab-token sends" in told


def test_a_handshake_that_failed_says_what_couldnt_be_fetched_and_whom_to_ask() -> None:
    """The provider sends one by itself, and no more."""
    told = cause(Reason.HANDSHAKE_FAILED, message="confirmation: sns.eu-west-1.amazonaws.com: answered 403")

    assert "couldn't fetch the provider's confirmation URL: confirmation: sns.eu-west-1.amazonaws.com: answered" in told
    assert "SNS: request confirmation again" in told


def test_what_is_over_is_told_so() -> None:
    """A webhook was accepted after this one was refused."""
    assert "it is over" in cause(Reason.BAD_SIGNATURE, replace(FACTS, accepted_at=NOW + timedelta(minutes=1)))


@pytest.mark.parametrize(
    ("headers", "mark"),
    [
        ({"content-encoding": "gzip"}, "it is encoded (gzip)"),
        ({"content-length": "17"}, "17 bytes were announced and 2 came"),
        ({"via": "1.1 squid", "cf-ray": "8"}, "a proxy passed it on (via, cf-ray)"),
        ({"x-forwarded-for": "10.0.0.1, 203.0.113.9"}, "a proxy passed it on (x-forwarded-for)"),
        ({"content-type": "application/json"}, "writes the JSON anew"),
    ],
)
def test_a_proxy_that_changed_the_body_is_known_by_its_marks(headers: dict[str, str], mark: str) -> None:
    """Of a body that no longer fits its signed digest."""
    assert mark in cause(Reason.BODY_MISMATCH, headers=headers)


def test_an_encoded_body_outweighs_the_secret() -> None:
    """What can be seen comes before what is guessed."""
    told = cause(Reason.BAD_SIGNATURE, headers={"content-encoding": "gzip"})

    assert told.startswith("the body isn't the one that was signed: it is encoded (gzip)")


def test_the_gateways_own_headers_are_no_proxys_marks() -> None:
    """Every request has them."""
    ordinary = {"x-forwarded-for": "203.0.113.9", "x-forwarded-proto": "https", "content-length": "2", "host": "x"}

    assert "proxy" not in cause(Reason.BAD_SIGNATURE, headers=ordinary)


@pytest.mark.parametrize("reason", [Reason.URL_MISMATCH, Reason.BAD_SIGNATURE])
def test_a_scheme_that_signs_the_url_names_the_urls_it_may_have(reason: Reason) -> None:
    """And where to say another."""
    told = cause(reason, replace(FACTS, scheme="twilio", signs_url=True))

    assert f"checks it under {BASE} or https://api.example.com" in told
    assert "`[relay] url`" in told


@pytest.mark.parametrize(
    ("reason", "headers", "told"),
    [
        (Reason.EXPIRED_TIMESTAMP, {"x-a-timestamp": "1769849600"}, "signed 400 s before it came: the sender's clock"),
        (
            Reason.EXPIRED_TIMESTAMP,
            {"x-a-timestamp": "1769849600", "date": "Sat, 31 Jan 2026 08:59:59 GMT"},
            "a queue or a proxy held it up",
        ),
        (
            Reason.EXPIRED_TIMESTAMP,
            {"x-a-timestamp": "1769849600", "date": "Sat, 31 Jan 2026 08:53:20 GMT"},
            "the sender's clock is behind",
        ),
        (Reason.FUTURE_TIMESTAMP, {"x-a-timestamp": "1769854500"}, "the sender's clock is 4,500 s ahead"),
        (Reason.EXPIRED_TIMESTAMP, {}, "the sender's clock is wrong, or the request was held up"),
    ],
)
def test_a_stale_request_says_whose_clock_and_by_how_much(reason: Reason, headers: dict[str, str], told: str) -> None:
    """The Date header tells a wrong clock from a slow way."""
    assert told in cause(reason, headers=headers)


@pytest.mark.parametrize(
    ("asked_for", "told"),
    [
        ("githb", f"did the sender mean github, at {BASE}/webhooks/github?"),
        ("GitHub", "did the sender mean github"),
        ("stripe", "did the sender mean Stripe-Live"),
        (".env", "there are: github, Stripe-Live"),
    ],
)
def test_an_unknown_source_is_told_the_nearest_name(asked_for: str, told: str) -> None:
    """Where one is near."""
    assert told in cause(Reason.UNKNOWN_SOURCE, path=f"/webhooks/{asked_for}")


def test_an_unsigned_get_is_somebodys_browser() -> None:
    """Or a redirect."""
    assert "redirect" in cause(Reason.MISSING_HEADER, method="GET")
    assert "doesn't sign" in cause(Reason.MISSING_HEADER)


@pytest.mark.parametrize("reason", [Reason.MISSING_HEADER, Reason.MALFORMED_HEADER])
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_header_that_lacks_or_is_malformed_is_named_with_what_is_expected(reason: Reason, method: str) -> None:
    """The relay's own words come first; a scheme without a template has none to show."""
    facts = replace(FACTS, signature=("X-A: {hex}", "X-B: v1={hex}"))

    told = cause(reason, facts, message="X-A is amiss", method=method)
    bare = cause(reason, message="clientState is amiss", method=method)

    assert told.startswith("X-A is amiss; github expects `X-A: {hex}` or `X-B: v1={hex}`; ")
    assert bare.startswith("clientState is amiss; ")
    assert "expects" not in bare


# -- query ------------------------------------------------------------------------------------------------------------


def test_refusals_are_shown_newest_first_with_counts_and_causes(world: World) -> None:
    """Each marked untrusted."""
    world.store.add_refusal(a_refusal(world.clock), 40)
    world.clock.at += timedelta(minutes=1)
    world.store.add_refusal(a_refusal(world.clock, reason=Reason.NO_SECRET, body=b"x", size_bytes=1), 1)

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
        (source, it["reason"]): it["likely_cause"]
        for source in ("github", "jwt")
        for it in world.shown(source)["refusals"]
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
