"""The log and the signing keys, as PyPI's ``qstash`` sees them."""

from __future__ import annotations

import base64
import re
import time
from typing import TYPE_CHECKING, Any, cast

import pytest
from qstash.log import LogFilter, LogState
from qstash.signing_key import SigningKey

if TYPE_CHECKING:
    from qstash import QStash
    from qstash.log import Log

from tests.waiting import eventually

from .steps import BROKEN, GONE, SINK, Connection, fresh, id_of, rows, states, waiting


class TestLog:
    """What happened, row by row."""

    def test_a_failure_is_told_in_four_rows(self, sdk: QStash) -> None:
        """Without retries: created, active, error, failed; the error with all of the response."""
        message_id = id_of(sdk.message.publish(url=GONE, retries=0, body="b", timeout=30, label="l"))
        (failed,) = rows(sdk, message_id, LogState.FAILED)
        (error,) = rows(sdk, message_id, LogState.ERROR)

        assert states(sdk, message_id) == ["CREATED", "ACTIVE", "ERROR", "FAILED"]
        assert (error.response_status, base64.b64decode(error.response_body or "")) == (404, b"404 Not Found")
        assert "Content-Type" in (error.response_headers or {})
        assert (failed.url, failed.method, failed.max_retries, failed.label) == (GONE, "POST", 0, "l")
        assert (base64.b64decode(failed.body_base64 or ""), failed.timeout) == (b"b", 30_000)
        assert error.time <= failed.time <= time.time() * 1000 + 1_000

    def test_a_retry_is_told_with_its_time_and_its_rule(self, sdk: QStash) -> None:
        """The rows of both attempts are there, and the row RETRY says when the second was due."""
        message_id = id_of(sdk.message.publish(url=BROKEN, retries=1, retry_delay="20 * (1 + retried)"))
        rows(sdk, message_id, LogState.FAILED)

        (retry,) = rows(sdk, message_id, LogState.RETRY)

        assert states(sdk, message_id) == [
            *("CREATED", "ACTIVE", "ERROR", "RETRY"),
            *("ACTIVE", "ERROR", "FAILED"),
        ]
        assert retry.retry_delay_expression == "20 * (1 + retried)"
        assert 0 <= (retry.next_delivery_time or 0) - retry.time <= 100

    @pytest.fixture(scope="class")
    @staticmethod
    def told(sdk: QStash) -> dict[str, Any]:
        """Let two messages be delivered, one of them by a schedule to a group through a queue."""
        group, queue, label = fresh("group"), fresh("queue"), fresh("label")
        sdk.url_group.upsert_endpoints(group, [{"name": "n", "url": SINK + group}])
        schedule_id = sdk.schedule.create(destination=group, cron="@every 1s", queue=queue)
        other = id_of(sdk.message.publish(url=SINK, label=label))
        rows(sdk, other, LogState.DELIVERED)
        done: LogFilter = {"schedule_id": schedule_id, "state": LogState.DELIVERED}
        row = eventually(lambda: sdk.log.list(filter=done).logs, "the log has it")[-1]
        sdk.schedule.delete(schedule_id)
        return {
            "message_id": row.message_id,
            "message_ids": [row.message_id],
            "url": SINK + group,
            "url_group": group,
            "queue": queue,
            "schedule_id": schedule_id,
            "label": label,
            "one": row,
            "other": other,
        }

    @pytest.mark.parametrize("name", ["message_id", "message_ids", "url", "url_group", "queue", "schedule_id"])
    def test_a_filter_selects_what_it_names(self, sdk: QStash, told: dict[str, Any], name: str) -> None:
        """Of two messages, it finds the one that it is about, and all its rows."""
        found = sdk.log.list(filter=cast("LogFilter", {name: told[name]})).logs

        own = [row.state.value for row in reversed(found) if row.message_id == told["message_id"]]
        assert own == ["CREATED", "ACTIVE", "DELIVERED"]
        assert told["other"] not in [row.message_id for row in found]

    def test_a_row_knows_where_its_message_came_from(self, told: dict[str, Any]) -> None:
        """Its group and endpoint, queue and schedule."""
        row: Log = told["one"]

        assert (row.url_group, row.endpoint, row.url) == (told["url_group"], "n", told["url"])
        assert (row.queue, row.schedule_id) == (told["queue"], told["schedule_id"])

    def test_labels_and_states_select_too(self, sdk: QStash, told: dict[str, Any]) -> None:
        """A label finds its message alone; ``IN_PROGRESS`` stands for the states of an attempt."""
        by_label = sdk.log.list(filter={"label": told["label"]}).logs
        under_way = sdk.log.list(filter={"label": told["label"], "state": LogState.IN_PROGRESS}).logs

        assert {row.message_id for row in by_label} == {told["other"]}
        assert [row.state for row in under_way] == [LogState.ACTIVE]

    def test_several_messages_are_asked_for_at_once(self, sdk: QStash, told: dict[str, Any]) -> None:
        """Any of the ids will do."""
        found = sdk.log.list(filter={"message_ids": [told["message_id"], told["other"]]}).logs

        assert {row.message_id for row in found} == {told["message_id"], told["other"]}

    def test_times_select_both_ends_included(self, sdk: QStash) -> None:
        """A span of one millisecond finds what happened in it."""
        message_id = waiting(sdk)
        (row,) = sdk.log.list(filter={"message_id": message_id}).logs
        spans = [(row.time, row.time), (row.time + 1, row.time + 9), (row.time - 9, row.time - 1)]

        found = [
            len(sdk.log.list(filter={"message_id": message_id, "from_time": start, "to_time": end}).logs)
            for start, end in spans
        ]

        assert found == [1, 0, 0]

    def test_a_cursor_leads_from_the_newest_row_to_the_oldest(self, sdk: QStash) -> None:
        """The pages hold each row once; the last has no cursor."""
        message_id = id_of(sdk.message.publish(url=GONE, retries=0))
        rows(sdk, message_id, LogState.FAILED)
        wanted: LogFilter = {"message_id": message_id}

        first = sdk.log.list(count=3, filter=wanted)
        second = sdk.log.list(cursor=first.cursor, count=3, filter=wanted)

        assert [row.state.value for row in first.logs + second.logs] == ["FAILED", "ERROR", "ACTIVE", "CREATED"]
        assert (len(second.logs), second.cursor) == (1, None)


class TestSigningKeys:
    """The keys that deliveries are signed with."""

    def test_keys_move_up_when_they_are_rotated(self, sdk: QStash, connection: Connection) -> None:
        """At first they are those that the server said it has; then the next is the current one."""
        before = sdk.signing_key.get()

        after = sdk.signing_key.rotate()

        facts = connection.facts
        assert before == SigningKey(facts.current_signing_key, facts.next_signing_key)
        assert after.current == before.next
        assert re.fullmatch(r"sig_[1-9A-HJ-NP-Za-km-z]{28}", after.next)
        assert after.next not in (before.current, before.next)
        assert sdk.signing_key.get() == after
