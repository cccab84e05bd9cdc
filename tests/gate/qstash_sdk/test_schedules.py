"""Schedules, as PyPI's ``qstash`` sees them."""

from __future__ import annotations

import base64
import json
import re
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from qstash.errors import QStashError
from qstash.log import LogState
from qstash.message import FlowControlProperties
from qstash.schedule import ScheduleState

if TYPE_CHECKING:
    from qstash import QStash

from tests.waiting import eventually

from .steps import CALLBACK, HOUR_MS, SINK, Connection, fresh, redacted


class TestSchedules:
    """Schedules: made, replaced, paused, run, deleted."""

    def test_a_schedule_reads_back_as_it_was_asked_for(self, sdk: QStash) -> None:
        """It shows every option, and when it runs next by its own time zone."""
        schedule_id, queue, key = fresh("schedule"), fresh("queue"), fresh("key")

        made = sdk.schedule.create_json(
            destination="https://sink.requestcatcher.com/a?b=%20",
            cron="CRON_TZ=America/New_York 0 4 * * *",
            body={"a": 1},
            method="PATCH",
            headers={"test-header": "v"},
            callback_headers={"Forward-A": "b"},
            failure_callback_headers={"Forward-C": "d"},
            retries=1,
            retry_delay="1000 * (1 + retried)",
            callback=CALLBACK,
            failure_callback=CALLBACK + "failed",
            delay=10,
            timeout=30,
            schedule_id=schedule_id,
            queue=queue,
            flow_control={"key": key, "parallelism": 2},
            label="l",
        )

        schedule = sdk.schedule.get(schedule_id)
        assert made == schedule.schedule_id == schedule_id
        assert schedule.destination == "https://sink.requestcatcher.com/a?b=%20"
        assert schedule.cron == "CRON_TZ=America/New_York 0 4 * * *"
        assert (json.loads(schedule.body or ""), schedule.method) == ({"a": 1}, "PATCH")
        assert schedule.headers == {"Content-Type": ["application/json"], "Test-Header": ["v"]}
        assert (schedule.callback_headers or {})["A"] == ["b"]
        assert (schedule.failure_callback_headers or {})["C"] == ["d"]
        assert (schedule.retries, schedule.retry_delay_expression) == (1, "1000 * (1 + retried)")
        assert (schedule.callback, schedule.failure_callback) == (CALLBACK, CALLBACK + "failed")
        assert (schedule.delay, schedule.timeout, schedule.queue, schedule.label) == (10, 30, queue, "l")
        assert schedule.flow_control == FlowControlProperties(key, 2, None, 1)
        assert (schedule.caller_ip, schedule.paused, schedule.error) == ("127.0.0.1", False, None)
        assert schedule.next_schedule_time is not None
        runs = datetime.fromtimestamp(schedule.next_schedule_time / 1000, ZoneInfo("America/New_York"))
        assert (runs.hour, runs.minute, runs.second) == (4, 0, 0)
        assert 0 < schedule.next_schedule_time - time.time() * 1000 <= 25 * HOUR_MS
        assert schedule in sdk.schedule.list()
        sdk.schedule.delete(schedule_id)

    def test_a_schedule_without_options_has_an_id_and_defaults(self, sdk: QStash) -> None:
        """An id of the service's form; a body that isn't text is in base64."""
        made = sdk.schedule.create(destination=SINK, cron="*/10 * * * *", body=b"\xff", content_type="x/y")

        schedule = sdk.schedule.get(made)
        assert re.fullmatch(r"scd_[1-9A-HJ-NP-Za-km-z]{28}", made)
        assert (schedule.cron, schedule.method, schedule.retries) == ("*/10 * * * *", "POST", 3)
        assert (schedule.body, schedule.body_base64) == (None, "/w==")
        assert schedule.headers == {"Content-Type": ["x/y"]}
        sdk.schedule.delete(made)

    def test_redacted_fields_of_a_schedule_are_hidden(self, sdk: QStash) -> None:
        """As those of a message."""
        made = sdk.schedule.create(
            destination=SINK, cron="@hourly", body="s", headers={"X-A": "a"}, redact={"body": True, "header": True}
        )

        schedule = sdk.schedule.get(made)

        assert (schedule.body, schedule.headers) == (redacted("s"), {"X-A": [redacted("a")]})

    def test_a_schedule_made_again_is_replaced_whole(self, sdk: QStash) -> None:
        """What the second one doesn't name isn't left over from the first."""
        schedule_id = fresh("schedule")
        again: dict[str, Any] = {"destination": SINK, "schedule_id": schedule_id}
        sdk.schedule.create(**again, cron="@hourly", body="b", retries=1, label="l", headers={"h": "v"})

        sdk.schedule.create(**again, cron="@daily")

        schedule = sdk.schedule.get(schedule_id)
        assert (schedule.cron, schedule.body, schedule.retries, schedule.label) == ("@daily", None, 3, None)
        assert schedule.headers is None
        assert [it.schedule_id for it in sdk.schedule.list()].count(schedule_id) == 1

    def test_a_schedule_runs_unless_it_is_paused(self, sdk: QStash) -> None:
        """Its message carries its id, and it says how its last run went; paused, it has no runs."""
        made = sdk.schedule.create(destination=SINK, cron="@every 1s", body="tick")
        (row,) = eventually(
            lambda: sdk.log.list(filter={"schedule_id": made, "state": LogState.DELIVERED}).logs[-1:],
            "the schedule's message is delivered",
        )

        sdk.schedule.pause(made)
        paused = sdk.schedule.get(made)
        sdk.schedule.resume(made)
        resumed = sdk.schedule.get(made)
        sdk.schedule.delete(made)

        assert (row.schedule_id, base64.b64decode(row.body_base64 or "")) == (made, b"tick")
        assert (paused.paused, resumed.paused) == (True, False)
        assert abs((paused.last_schedule_time or 0) - time.time() * 1000) < 5_000
        assert list((paused.last_schedule_states or {}).values()) == [ScheduleState.SUCCESS]

    def test_a_paused_schedule_publishes_nothing(self, sdk: QStash, connection: Connection) -> None:
        """Its times pass without a message."""
        made = sdk.schedule.create(destination=SINK, cron="@every 1s")
        sdk.schedule.pause(made)
        before = len(sdk.log.list(filter={"schedule_id": made, "state": LogState.CREATED}).logs)

        connection.advance(3)

        assert len(sdk.log.list(filter={"schedule_id": made, "state": LogState.CREATED}).logs) == before
        sdk.schedule.delete(made)

    def test_a_deleted_schedule_is_gone(self, sdk: QStash) -> None:
        """It can't be read or listed."""
        made = sdk.schedule.create(destination=SINK, cron="@hourly")

        sdk.schedule.delete(made)

        assert made not in [it.schedule_id for it in sdk.schedule.list()]
        with pytest.raises(QStashError, match="status: 404"):
            sdk.schedule.get(made)

    @pytest.mark.parametrize(("cron", "text"), [("", "empty spec string"), ("61 * * * *", ""), ("soon", "")])
    def test_an_expression_that_is_none_is_refused(self, sdk: QStash, cron: str, text: str) -> None:
        """A schedule that would never run isn't made."""
        with pytest.raises(QStashError, match=f"status: 400, .*{text}"):
            sdk.schedule.create(destination=SINK, cron=cron)
