"""The DLQ, as PyPI's ``qstash`` sees it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import pytest
from qstash.errors import QStashError

if TYPE_CHECKING:
    from collections.abc import Callable

    from qstash import QStash
    from qstash.dlq import DlqFilter, DlqMessage

from tests.waiting import eventually

from .steps import BROKEN, GONE, Connection, dead_letter, fanned, fresh, id_of


@dataclass(frozen=True)
class Casualties:
    """Three messages that died in three ways: one published, one of a URL group, one of a schedule in a queue."""

    plain: DlqMessage
    grouped: DlqMessage
    scheduled: DlqMessage
    group: str
    queue: str
    label: str

    def named(self, *names: str) -> set[str]:
        """Return the ids of some of them."""
        return {getattr(self, name).dlq_id for name in names}


@pytest.fixture(scope="module")
def casualties(sdk: QStash, connection: Connection) -> Casualties:
    """Let three messages die."""
    group, queue, label = fresh("group"), fresh("queue"), fresh("label")
    sdk.url_group.upsert_endpoints(group, [{"name": "dead", "url": BROKEN}])
    options: dict[str, Any] = {"body": "b", "retries": 0, "label": label, "headers": {"h": "v"}}
    plain = dead_letter(sdk, id_of(sdk.message.publish(url=GONE, **options)))
    connection.advance(0.01)  # so that no two died at the same time
    (fan,) = fanned(sdk.message.publish(url_group=group, retries=0))
    grouped = dead_letter(sdk, fan.message_id)
    connection.advance(0.01)
    schedule_id = sdk.schedule.create(destination=GONE, cron="@every 1s", queue=queue, retries=0)
    scheduled = eventually(lambda: sdk.dlq.list(filter={"schedule_id": schedule_id}).messages, "the schedule's died")[0]
    sdk.schedule.delete(schedule_id)
    return Casualties(plain, grouped, scheduled, group, queue, label)


class TestDeadLetters:
    """The dead-letter queue."""

    def test_a_dead_letter_says_what_was_sent_and_what_came_back(self, sdk: QStash, casualties: Casualties) -> None:
        """It is the message and the last response, whose body is text where it can be."""
        found = casualties.plain

        assert (found.response_status, found.response_body, found.response_body_base64) == (404, "404 Not Found", None)
        assert "Content-Type" in (found.response_headers or {})
        assert (found.url, found.body, found.headers, found.label) == (GONE, "b", {"H": ["v"]}, casualties.label)
        assert (found.method, found.max_retries, found.url_group, found.queue) == ("POST", 0, None, None)
        assert re.fullmatch(r"\d{13}-\d+", found.dlq_id)
        assert sdk.dlq.get(found.dlq_id) == found

    def test_a_dead_letter_knows_where_its_message_came_from(self, casualties: Casualties) -> None:
        """A group and its endpoint, a queue and a schedule."""
        assert (casualties.grouped.url_group, casualties.grouped.endpoint) == (casualties.group, "dead")
        assert casualties.scheduled.queue == casualties.queue
        assert re.fullmatch(r"scd_.*", casualties.scheduled.schedule_id or "")

    @pytest.mark.parametrize(
        ("name", "wanted", "names"),
        [
            ("message_id", lambda it: it.plain.message_id, ["plain"]),
            ("url", lambda it: it.grouped.url, ["grouped"]),
            ("url_group", lambda it: it.group, ["grouped"]),
            ("queue", lambda it: it.queue, ["scheduled"]),
            ("schedule_id", lambda it: it.scheduled.schedule_id, ["scheduled"]),
            ("from_time", lambda it: _died_ms(it.grouped), ["grouped", "scheduled"]),
            ("to_time", lambda it: _died_ms(it.plain), ["plain"]),
            ("response_status", lambda _: 500, ["grouped"]),
            ("caller_ip", lambda _: "127.0.0.1", ["plain", "grouped", "scheduled"]),
            ("caller_ip", lambda _: "127.0.0.2", []),
            ("label", lambda it: it.label, ["plain"]),
        ],
    )
    def test_a_filter_selects_what_it_names(
        self, sdk: QStash, casualties: Casualties, name: str, wanted: Callable[[Casualties], object], names: list[str]
    ) -> None:
        """Of the three, a filter finds exactly those that it is about."""
        wanted_here = cast("DlqFilter", {name: wanted(casualties)})

        found = {it.dlq_id for it in sdk.dlq.list(filter=wanted_here).messages}

        assert found & casualties.named("plain", "grouped", "scheduled") == casualties.named(*names)

    def test_filters_must_all_be_met(self, sdk: QStash, casualties: Casualties) -> None:
        """Two that contradict each other find nothing."""
        both = sdk.dlq.list(filter={"message_id": casualties.plain.message_id, "response_status": 404})
        neither = sdk.dlq.list(filter={"message_id": casualties.plain.message_id, "response_status": 500})

        assert ([it.dlq_id for it in both.messages], neither.messages) == ([casualties.plain.dlq_id], [])

    def test_a_cursor_leads_through_all_pages_and_ends(self, sdk: QStash) -> None:
        """The pages hold each dead letter once, the oldest first; the last has no cursor."""
        label = fresh("label")
        sdk.message.batch([{"url": GONE, "retries": 0, "label": label} for _ in range(3)])
        eventually(lambda: len(sdk.dlq.list(filter={"label": label}).messages) == 3, "three died")
        everything = sdk.dlq.list(filter={"label": label})

        first = sdk.dlq.list(count=2, filter={"label": label})
        second = sdk.dlq.list(cursor=first.cursor, count=2, filter={"label": label})

        assert (len(first.messages), len(second.messages)) == (2, 1)
        assert first.messages + second.messages == everything.messages
        assert everything.messages == sorted(everything.messages, key=_died_ms)
        assert (second.cursor, everything.cursor) == (None, None)

    def test_a_deleted_dead_letter_is_gone_and_cant_be_deleted_again(self, sdk: QStash) -> None:
        """404 where there is none."""
        found = dead_letter(sdk, id_of(sdk.message.publish(url=GONE, retries=0)))

        sdk.dlq.delete(found.dlq_id)

        for call in (sdk.dlq.get, sdk.dlq.delete):
            with pytest.raises(QStashError, match="status: 404"):
                call(found.dlq_id)

    def test_many_are_deleted_and_counted_exactly(self, sdk: QStash) -> None:
        """An unknown id counts for nothing."""
        label = fresh("label")
        sdk.message.batch([{"url": GONE, "retries": 0, "label": label} for _ in range(3)])
        eventually(lambda: len(sdk.dlq.list(filter={"label": label}).messages) == 3, "three died")
        first, second, third = (it.dlq_id for it in sdk.dlq.list(filter={"label": label}).messages)

        assert sdk.dlq.delete_many([first, second, "1-0"]) == 2
        assert sdk.dlq.delete_many([first]) == 0
        assert [it.dlq_id for it in sdk.dlq.list(filter={"label": label}).messages] == [third]


def _died_ms(found: DlqMessage) -> int:
    return int(found.dlq_id.partition("-")[0])
