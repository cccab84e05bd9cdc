"""The client of QStash: its log, page by page, and its dead letters; QStash is a function at the wire."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest

from relay.errors import LogTooLong, QStashError
from relay.qstash.client import CLOCK_MARGIN, DEAD_LETTER_PAGE, LOG_LITTLE_BYTES, LOG_PAGE, LOG_PAGES_MAX
from tests.unit.relay.qstash_wire import AT, AT_MS, Wire, client


def row(after_ms: int = 0, state: str = "CREATED", **more: Any) -> dict[str, Any]:
    return {"time": AT_MS + after_ms, "state": state, "messageId": "msg_a", "label": "a", "url": "https://x"} | more


def test_the_log_is_read_to_its_end() -> None:
    """Each page under the cursor of the one before."""
    wire = Wire(
        {"logs": [row(3, "DELIVERED")], "cursor": "c1"},
        {"logs": [row(2, "ACTIVE")], "cursor": "c2"},
        {"logs": [row(1)]},
    )

    rows = client(wire).log_of(["b", "a"])

    assert [it.url.params.get("cursor") for it in wire.asked] == [None, "c1", "c2"]
    assert {tuple(it.url.params.get_list("label")) for it in wire.asked} == {("a", "b")}
    assert {it.url.params["count"] for it in wire.asked} == {str(LOG_PAGE)}
    assert [it.state for it in rows] == ["CREATED", "ACTIVE", "DELIVERED"]


def test_lines_of_one_moment_stand_as_they_were_written() -> None:
    """QStash gives the newest first, and many in a millisecond."""
    wire = Wire({"logs": [row(0, it) for it in ("FAILED", "ERROR", "ACTIVE", "CREATED")]})

    assert [it.state for it in client(wire).log_of(["a"])] == ["CREATED", "ACTIVE", "ERROR", "FAILED"]


def test_lines_that_come_out_of_order_are_sorted() -> None:
    """Across messages, and pages."""
    wire = Wire({"logs": [row(1, "ACTIVE"), row(5, "DELIVERED")], "cursor": "c"}, {"logs": [row(0)]})

    assert [it.state for it in client(wire).log_of(["a"])] == ["CREATED", "ACTIVE", "DELIVERED"]


def test_a_log_of_one_label_that_does_not_end_is_given_up() -> None:
    """A half of it would be taken for all; it is that label's alone."""
    wire = Wire({"logs": [row()], "cursor": "more"})

    with pytest.raises(LogTooLong, match="more than"):
        client(wire).log_of(["a"])

    assert len(wire.asked) == LOG_PAGES_MAX


def test_what_is_too_much_is_asked_for_in_halves_until_it_fits() -> None:
    """Each line is told once, in its order; a call asks for as many lines as QStash says that it takes."""
    names = "dcba"
    of = {name: [row(10 * at + n, messageId=f"{name}{n}") for n in range(3)] for at, name in enumerate(names)}

    def answer(request: httpx.Request) -> httpx.Response:
        labels = request.url.params.get_list("label")
        found = sorted((it for name in labels for it in of[name]), key=lambda it: it["time"], reverse=True)
        return httpx.Response(200, json={"logs": found, **({"cursor": "more"} if len(labels) > 1 else {})})

    found = client(answer).log_of(names)

    assert [it.message_id for it in found] == [f"{name}{n}" for name in names for n in range(3)]
    assert LOG_PAGE <= 100


def test_the_last_page_there_may_be_is_read() -> None:
    wire = Wire(*[{"logs": [row()], "cursor": "more"}] * (LOG_PAGES_MAX - 1), {"logs": [row()], "cursor": ""})

    assert len(client(wire).log_of(["a"])) == LOG_PAGES_MAX


@pytest.mark.parametrize("name", ["logs", "events"])
def test_the_log_has_two_names(name: str) -> None:
    """QStash's docs have one, its clients the other."""
    assert len(client(Wire({name: [row()]})).log_of(["a"])) == 1


def test_a_line_is_read_whole() -> None:
    """Milliseconds, base64 and QStash's names stop here."""
    told = row(
        5,
        "ERROR",
        labels=["a", "b"],
        endpointName="erp",
        responseStatus=500,
        responseBody="b29wcw==",
        nextDeliveryTime=AT_MS + 1000,
    )

    (line,) = client(Wire({"logs": [told]})).log_of(["a"])

    assert line.at == AT + timedelta(milliseconds=5)
    assert line.next_at == AT + timedelta(seconds=1)
    assert (line.labels, line.endpoint, line.url) == (("a", "b"), "erp", "https://x")
    assert (line.status, line.response) == (500, b"oops")


def test_a_line_says_as_little_as_it_must() -> None:
    """What is left out is unknown; a status of 0 is none; what isn't base64 is nothing."""
    told = {"time": AT_MS, "state": "ACTIVE", "messageId": "m", "responseStatus": 0, "responseBody": "?"}

    (line,) = client(Wire({"logs": [told]})).log_of(["a"])

    assert (line.labels, line.endpoint, line.url, line.status, line.response, line.next_at) == (
        (),
        None,
        None,
        None,
        b"",
        None,
    )


@pytest.mark.parametrize(
    "answer",
    [[], "x", 7, {"logs": 7}, {"logs": [7]}, {"logs": [{}]}, {"logs": [row() | {"time": "now"}]}, b"<html>", b""],
)
def test_what_is_no_log_is_an_error_and_not_an_empty_log(answer: Any) -> None:
    """Absent from it would mean: publish."""
    with pytest.raises(QStashError):
        client(Wire(answer)).log_of(["a"])


def test_a_time_that_no_clock_has_is_an_error() -> None:
    with pytest.raises(QStashError):
        client(Wire({"logs": [row() | {"time": 10**30}]})).log_of(["a"])


@pytest.mark.parametrize(
    ("answers", "reaches"),
    [
        ([{"logs": [row()]}], True),
        ([{"logs": []}, {"logs": [row()]}], True),
        ([{"logs": []}, {"logs": []}], True),
        ([{"logs": []}, {"logs": [row()], "cursor": "more"}], False),
        ([{"logs": []}, {"logs": [row() | {"body": "x" * LOG_LITTLE_BYTES}]}], False),
        ([{"logs": []}, {"logs": [row() | {"responseBody": "x" * LOG_LITTLE_BYTES}]}], False),
    ],
)
def test_the_log_reaches_back_where_it_has_something_older_or_is_whole(answers: list[Any], *, reaches: bool) -> None:
    """It forgets by age, by number and by size; and its clock needn't be the relay's."""
    wire = Wire(*answers)

    assert client(wire).log_reaches(AT) is reaches
    assert int(wire.asked[0].url.params["toDate"]) == AT_MS - CLOCK_MARGIN.total_seconds() * 1000
    assert "label" not in wire.asked[-1].url.params


@pytest.mark.parametrize(("status", "has"), [(200, True), (404, False)])
def test_a_message_is_there_or_it_is_not(status: int, *, has: bool) -> None:
    assert client(Wire({"messageId": "msg_a"}, status=status)).has("msg_a") is has


@pytest.mark.parametrize(("status", "answer"), [(500, {}), (401, {}), (429, {}), (200, b"<html>")])
def test_an_answer_that_says_neither_is_an_error(status: int, answer: Any) -> None:
    """That it isn't there would mean: publish it again."""
    with pytest.raises(QStashError):
        client(Wire(answer, status=status)).has("msg_a")


def test_dead_letters_are_asked_for_by_label_time_and_cursor() -> None:
    """A page at a time."""
    letters = [{"dlqId": "1-0", "messageId": "m", "label": "a", "url": "https://x", "body": "hi"}]
    wire = Wire({"messages": letters, "cursor": "next"})

    page, cursor = client(wire).dead_letters(labels=["b", "a"], since=AT, cursor="before")

    asked = wire.asked[0].url
    assert (asked.path, asked.params.get_list("label")) == ("/v2/dlq", ["a", "b"])
    assert (asked.params["fromDate"], asked.params["cursor"]) == (str(AT_MS), "before")
    assert asked.params["count"] == str(DEAD_LETTER_PAGE)
    assert [(it.id, it.message_id, it.labels, it.url, it.body) for it in page] == [
        ("1-0", "m", ("a",), "https://x", b"hi")
    ]
    assert cursor == "next"


def test_all_dead_letters_are_asked_for_without_a_filter() -> None:
    """A parameter that says nothing isn't sent: QStash refuses some."""
    wire = Wire({"messages": [{"dlqId": "1-0", "messageId": "m", "bodyBase64": "/wA=", "endpointName": "erp"}]})

    (letter,), cursor = client(wire).dead_letters()

    assert set(wire.asked[0].url.params) == {"count"}
    assert (letter.body, letter.endpoint, letter.url, letter.labels, cursor) == (b"\xff\x00", "erp", "", (), None)


def test_a_dead_letter_is_deleted_by_what_its_url_names() -> None:
    """Never by a body: where none is read, the call is for all of them, others' as well."""
    wire = Wire({})

    client(wire).delete_dead_letter("1-0/../x")

    assert (wire.asked[0].method, wire.asked[0].url.raw_path) == ("DELETE", b"/v2/dlq/1-0%2F..%2Fx")
    assert wire.asked[0].content == b""


def test_a_dead_letter_that_is_gone_is_fine() -> None:
    client(Wire({"error": "not found"}, status=404)).delete_dead_letter("1-0")


@pytest.mark.parametrize(
    "nothing", ["url", "endpointName", "maxRetries", "responseStatus", "failureCallback", "body", "label", "labels"]
)
def test_a_dead_letter_may_lack_anything_but_its_name(nothing: str) -> None:
    whole = {
        "dlqId": "1-0",
        "messageId": "msg_1",
        "url": "https://erp.example.com",
        "endpointName": "erp",
        "maxRetries": 2,
        "responseStatus": 500,
        "failureCallback": "https://relay.example.com",
        "body": "{}",
        "label": "a",
        "labels": ["a"],
    }
    sparse = [{**whole, nothing: None}, {name: it for name, it in whole.items() if name != nothing}]
    nameless = [{**whole, "dlqId": None}, {}]

    letters, _ = client(Wire({"messages": [*sparse, *nameless, whole]})).dead_letters()

    assert [it.id for it in letters] == ["1-0"] * 3
    assert (letters[2].endpoint, letters[2].attempts, letters[2].body) == ("erp", 3, b"{}")
