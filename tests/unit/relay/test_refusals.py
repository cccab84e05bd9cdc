"""Refusals: which of them an error is, how it is counted, how often it is kept, and at what cost."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from relay.errors import (
    BadRequest,
    BodyTooLarge,
    HandshakeFailed,
    NotFound,
    OperatorError,
    QStashError,
    RelayError,
    SignatureError,
    UnknownPath,
    UnusableSecret,
    UpstreamError,
    WrongState,
)
from relay.ingest.refusals import GAP_MAX, reason_of
from relay.model.refusal import SLOTS, UNKNOWN_SOURCE_NAME, Reason
from relay.runtime.http_api import logger
from tests.unit.relay.refusing import BAD, World, asked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Clients


@pytest.fixture
def world(clients: Clients) -> World:
    return World(clients)


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


# -- reasons ----------------------------------------------------------------------------------------------------------


def lost() -> OperatorError:
    """Return the error of a Secrets Manager that couldn't be reached."""
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
        (UnknownPath("x"), Reason.UNKNOWN_PATH),
        (BodyTooLarge("x"), Reason.BODY_TOO_LARGE),
        (OperatorError("x"), Reason.NO_SECRET),
        (BadRequest("x"), Reason.UNREADABLE),
        (WrongState("x"), Reason.UNREADABLE),
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


@pytest.mark.usefixtures("shop")
def test_a_refusal_is_counted_by_source_and_reason_and_in_the_total(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line of CloudWatch's embedded metric format has both."""
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "ingest")

    assert world.refuse(BAD, asked()) is Reason.BAD_SIGNATURE

    (emitted,) = [json.loads(it) for it in capsys.readouterr().out.splitlines() if '"_aws"' in it]
    (metric,) = emitted["_aws"]["CloudWatchMetrics"]
    assert (metric["Namespace"], metric["Metrics"]) == ("FanoutRelay", [{"Name": "Refused", "Unit": "Count"}])
    assert sorted(map(sorted, metric["Dimensions"])) == [["reason", "relay", "source"], ["relay", "service"]]
    told = [emitted[it] for it in ("relay", "service", "source", "reason")]
    assert told == ["shop", "ingest", "github", "bad_signature"]
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


@pytest.mark.local_aws
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


@pytest.mark.local_aws
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


@pytest.mark.parametrize(
    ("method", "path", "kept"),
    [
        ("POST", "/", True),
        ("POST", "/.env", True),
        ("GET", "/", False),
        ("GET", "/.env", False),
        ("HEAD", "/favicon.ico", False),
        ("OPTIONS", "/api", False),
        ("GET", "/webhook/github", True),
    ],
)
def test_of_wrong_paths_what_scanners_ask_for_is_counted_and_not_kept(
    world: World,
    capsys: pytest.CaptureFixture[str],
    method: str,
    path: str,
    kept: bool,  # noqa: FBT001
) -> None:
    """It would push out what tells somebody why nothing comes."""
    request = replace(asked(method=method), path=path, path_parameters={})

    assert world.refuse(UnknownPath("x"), request) is Reason.UNKNOWN_PATH
    assert '"reason":"unknown_path"' in capsys.readouterr().out
    assert bool(world.shown(UNKNOWN_SOURCE_NAME)["refusals"]) is kept
