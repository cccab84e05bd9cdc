"""The local QStash judged by PyPI's ``qstash``: every call of both its clients, which are told only where and who.

A test is written once, for the synchronous client; the asynchronous one runs it with each call awaited.  Each has a
server of its own.  The last test finds the calls by introspection, so that none of a newer SDK is forgotten.
"""

from __future__ import annotations

import ast
import asyncio
import base64
import hashlib
import inspect
import json
import re
import secrets
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast
from unittest.mock import ANY
from zoneinfo import ZoneInfo

import pytest
from qstash import AsyncQStash, QStash
from qstash.chat import custom, openai
from qstash.errors import DailyMessageLimitExceededError, QStashError, RateLimitExceededError
from qstash.log import LogFilter, LogState
from qstash.message import BatchResponse, EnqueueResponse, FlowControlProperties, Message, PublishResponse
from qstash.queue import Queue
from qstash.schedule import ScheduleState
from qstash.signing_key import SigningKey
from qstash.url_group import Endpoint

from tests.local_qstash import Facts, running_qstash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from qstash.dlq import DlqFilter, DlqMessage
    from qstash.log import Log
    from qstash.message import EnqueueUrlGroupResponse, PublishUrlGroupResponse

SINK = "https://sink.requestcatcher.com/"  # the server answers these itself: with success,
GONE = "https://mock.httpstatus.io/404"  # with 404 Not Found,
BROKEN = "https://mock.httpstatus.io/500"  # and with 500
CALLBACK = "https://callback.requestcatcher.com/"
PATIENCE_S = 5
HOUR_MS = 3_600_000

T = TypeVar("T")


class Awaited:
    """The asynchronous client, or one of its resources, with every call awaited."""

    def __init__(self, inner: object, run: Callable[[Any], Any]) -> None:
        self._inner = inner
        self._run = run

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if not callable(value):
            return Awaited(value, self._run)

        @wraps(value)
        def call(*positional: object, **named: object) -> Any:
            return self._run(value(*positional, **named))

        return call


class Connection:
    """A server, and as many clients of one flavour as a test asks for."""

    def __init__(self, flavour: type[QStash | AsyncQStash], facts: Facts, runner: asyncio.Runner) -> None:
        self.facts = facts
        self.flavour = flavour
        self.runner = runner
        self._closing = ExitStack()

    def client(self, token: str) -> QStash:
        """Return a client, as it was published."""
        client = self.flavour(token, base_url=self.facts.url)
        transport: Any = client.http._client  # noqa: SLF001 - the SDK has no other way to be closed
        if isinstance(client, QStash):
            self._closing.callback(transport.close)
            return client
        self._closing.callback(lambda: self.runner.run(transport.aclose()))
        return cast("QStash", Awaited(client, self.runner.run))

    def close(self) -> None:
        """Close every client."""
        self._closing.close()


@pytest.fixture(scope="module", params=[QStash, AsyncQStash], ids=["sync", "async"])
def connection(request: pytest.FixtureRequest) -> Iterator[Connection]:
    """Run a server for one flavour of the SDK."""
    with running_qstash("--test-hosts") as facts, asyncio.Runner() as runner:
        connection = Connection(request.param, facts, runner)
        yield connection
        connection.close()


@pytest.fixture(scope="module")
def sdk(connection: Connection) -> QStash:
    """Return the client under whose eyes the server is."""
    return connection.client(connection.facts.token)


def fresh(kind: str) -> str:
    """Return a name that no other test has."""
    return f"{kind}-{secrets.token_hex(4)}"


def eventually(look: Callable[[], T]) -> T:
    """Look until there is something to see, and return what is seen in the end."""
    deadline = time.monotonic() + PATIENCE_S
    while not (seen := look()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return seen


def id_of(response: object) -> str:
    """Return the id of what went to one URL."""
    assert isinstance(response, PublishResponse | EnqueueResponse | BatchResponse), response
    return response.message_id


def fanned(response: object) -> Sequence[PublishUrlGroupResponse | EnqueueUrlGroupResponse]:
    """Return what went to a URL group."""
    assert isinstance(response, list), response
    return response


def rows(sdk: QStash, message_id: str, state: LogState) -> list[Log]:
    """Return a message's rows of a state in the log, once there are any."""
    wanted: LogFilter = {"message_id": message_id, "state": state}
    return eventually(lambda: sdk.log.list(filter=wanted).logs)


def states(sdk: QStash, message_id: str) -> list[str]:
    """Return the states of a message's way so far, from the first to the last."""
    return [row.state.value for row in reversed(sdk.log.list(filter={"message_id": message_id}).logs)]


def dead_letter(sdk: QStash, message_id: str) -> DlqMessage:
    """Return what became of a message that can't be delivered."""
    (found,) = eventually(lambda: sdk.dlq.list(filter={"message_id": message_id}).messages)
    return found


def waiting(sdk: QStash, **options: Any) -> str:
    """Publish a message that nothing is done with for an hour, and return its id."""
    return id_of(sdk.message.publish(**({"url": SINK, "delay": "1h"} | options)))


def redacted(value: str) -> str:
    """Return what stands in for a redacted value."""
    return f"REDACTED:{hashlib.sha256(value.encode()).hexdigest()}"


class TestMessages:
    """Publishing, enqueueing, reading and cancelling."""

    def test_a_message_reads_back_as_it_was_asked_for(self, sdk: QStash) -> None:
        """A waiting message shows every option of its publish, and its URL byte for byte."""
        url = "https://sink.requestcatcher.com/a%20b?x=1&y=%20"
        options: dict[str, Any] = {
            "body": "grüße",
            "content_type": "text/plain",
            "method": "PUT",
            "headers": {"test-header": "v", "upstash-forward-X": "y"},
            "callback_headers": {"Retries": "1", "Forward-A": "b"},
            "failure_callback_headers": {"Forward-C": "d"},
            "retries": 2,
            "retry_delay": "pow(2, retried) * 1000",
            "callback": CALLBACK,
            "failure_callback": CALLBACK + "failed",
            "delay": "1d10h30m",
            "timeout": 90,
            "flow_control": {"key": fresh("key"), "parallelism": 3, "rate": 4, "period": 2},
            "label": fresh("label"),
        }

        message = sdk.message.get(id_of(sdk.message.publish(url=url, **options)))

        assert message == Message(
            message_id=ANY,
            url=url,
            url_group=None,
            endpoint=None,
            queue=None,
            body="grüße",
            body_base64=None,
            method="PUT",
            headers={"Content-Type": ["text/plain"], "Test-Header": ["v"], "X": ["y"]},
            callback_headers=ANY,
            failure_callback_headers=ANY,
            max_retries=2,
            retry_delay_expression="pow(2, retried) * 1000",
            not_before=message.created_at + 34 * HOUR_MS + HOUR_MS // 2,
            created_at=ANY,
            callback=CALLBACK,
            failure_callback=CALLBACK + "failed",
            schedule_id=None,
            caller_ip="127.0.0.1",
            flow_control=FlowControlProperties(options["flow_control"]["key"], 3, 4, 2),
            label=options["label"],
        )
        assert (message.callback_headers or {})["A"] == ["b"]
        assert (message.failure_callback_headers or {})["C"] == ["d"]
        assert abs(message.created_at - time.time() * 1000) < 60_000

    def test_ids_have_the_services_form(self, sdk: QStash) -> None:
        """A message's id is ``msg_`` and base58."""
        assert re.fullmatch(r"msg_[1-9A-HJ-NP-Za-km-z]{50,64}", waiting(sdk))

    def test_a_body_that_is_no_text_reads_back_in_base64(self, sdk: QStash) -> None:
        """``body`` holds UTF-8 only, ``bodyBase64`` the rest."""
        message = sdk.message.get(waiting(sdk, body=b"\xff\x00"))

        assert (message.body, message.body_base64) == (None, base64.b64encode(b"\xff\x00").decode())

    def test_a_message_without_options_has_the_services_defaults(self, sdk: QStash) -> None:
        """Three retries, POST, now; no header, no body."""
        message = sdk.message.get(id_of(sdk.message.publish(url=SINK)))

        assert (message.method, message.max_retries, message.headers, message.body) == ("POST", 3, None, None)
        assert message.not_before == message.created_at

    def test_a_moment_and_a_delay_in_seconds_are_kept(self, sdk: QStash) -> None:
        """``notBefore`` is milliseconds, asked for in seconds, and wins over a delay."""
        moment_s = int(time.time()) + 7_200

        absolute = sdk.message.get(waiting(sdk, not_before=moment_s))
        relative = sdk.message.get(waiting(sdk, delay=10))

        assert absolute.not_before == moment_s * 1000
        assert relative.not_before - relative.created_at == 10_000

    @pytest.mark.parametrize(
        ("asked", "shown"),
        [
            ({"parallelism": 3}, (3, None, 1)),
            ({"rate": 23, "period": "1h30m3s"}, (None, 23, 5_403)),
            ({"rate": 5, "period": "1d"}, (None, 5, 86_400)),
            ({"rate": 5, "period": 7, "parallelism": 2}, (2, 5, 7)),
        ],
    )
    def test_flow_control_reads_back_in_numbers(
        self, sdk: QStash, asked: dict[str, Any], shown: tuple[int | None, int | None, int]
    ) -> None:
        """A period is seconds, one where none is given; a limit that isn't given is absent."""
        key = fresh("key")

        message = sdk.message.get(waiting(sdk, flow_control={"key": key, **asked}))

        assert message.flow_control == FlowControlProperties(key, *shown)

    def test_redacted_fields_are_hidden_wherever_a_message_is_shown(self, sdk: QStash) -> None:
        """The hash stands in for the body and the named header, in the message and in the log."""
        message_id = waiting(
            sdk,
            body="secret",
            headers={"Authorization": "Bearer x", "X-A": "a"},
            redact={"body": True, "header": ["Authorization"]},
        )

        message = sdk.message.get(message_id)
        (row,) = sdk.log.list(filter={"message_id": message_id}).logs

        assert message.body == row.body_base64 == redacted("secret")
        assert message.headers == row.headers == {"Authorization": [redacted("Bearer x")], "X-A": ["a"]}

    def test_all_headers_may_be_redacted_and_the_body_not(self, sdk: QStash) -> None:
        """``header`` alone means every header."""
        message = sdk.message.get(waiting(sdk, body="b", headers={"X-A": "a"}, redact={"header": True}))

        assert (message.body, message.headers) == ("b", {"X-A": [redacted("a")]})

    def test_json_is_published_as_json(self, sdk: QStash) -> None:
        """The body is serialised and named; no body is ``null``."""
        full = id_of(sdk.message.publish_json(url=SINK, body={"a": [1, None]}, delay="1h"))
        empty = id_of(sdk.message.publish_json(url=SINK, delay="1h"))

        message = sdk.message.get(full)
        assert json.loads(message.body or "") == {"a": [1, None]}
        assert message.headers == {"Content-Type": ["application/json"]}
        assert sdk.message.get(empty).body == "null"

    def test_a_delivered_message_was_delivered_once_and_can_still_be_read(self, sdk: QStash) -> None:
        """The log has one row DELIVERED; the message stays readable for a while."""
        message_id = id_of(sdk.message.publish_json(url=SINK, body=1))

        assert len(rows(sdk, message_id, LogState.DELIVERED)) == 1
        assert states(sdk, message_id) == ["CREATED", "ACTIVE", "DELIVERED"]
        assert sdk.message.get(message_id).message_id == message_id

    @pytest.mark.parametrize(
        ("provider", "url"),
        [
            (openai("sk-1"), "https://api.openai.com/v1/chat/completions"),
            (custom("https://llm.requestcatcher.com", "sk-1"), "https://llm.requestcatcher.com/v1/chat/completions"),
        ],
        ids=["openai", "custom"],
    )
    def test_a_language_model_is_a_destination(self, sdk: QStash, provider: Any, url: str) -> None:
        """A call of a provider is delivered with its token and reported to the callback."""
        callback = CALLBACK + fresh("llm")

        published = sdk.message.publish_json(
            api={"name": "llm", "provider": provider}, body={"model": "x"}, callback=callback
        )

        (row,) = rows(sdk, id_of(published), LogState.DELIVERED)
        assert (row.url, row.callback) == (url, callback)
        assert (row.headers or {})["Authorization"] == ["Bearer sk-1"]
        reported: LogFilter = {"url": callback, "state": LogState.DELIVERED}
        assert len(eventually(lambda: sdk.log.list(filter=reported).logs)) == 1

    def test_a_publish_to_a_url_group_is_one_message_for_each_endpoint(self, sdk: QStash) -> None:
        """The answers come in the order of the endpoints; each message knows its group and its endpoint."""
        group = fresh("group")
        sdk.url_group.upsert_endpoints(group, [{"name": "one", "url": SINK + "1"}, {"url": SINK + "2"}])

        raw = fanned(sdk.message.publish(url_group=group, body="b", delay="1h"))
        as_json = fanned(sdk.message.publish_json(url_group=group, body=1, delay="1h"))
        queued = fanned(sdk.message.enqueue_json(queue=fresh("queue"), url_group=group, body=1))

        assert [[it.url for it in answers] for answers in (raw, as_json, queued)] == [[SINK + "1", SINK + "2"]] * 3
        first, second = (sdk.message.get(it.message_id) for it in raw)
        assert (first.url_group, first.endpoint, first.url) == (group, "one", SINK + "1")
        assert (second.url_group, second.endpoint, second.url) == (group, None, SINK + "2")

    def test_a_deduplication_id_is_taken_once(self, sdk: QStash) -> None:
        """The second publish is told the first one's id, and no second message is made."""
        again: dict[str, Any] = {"url": SINK, "deduplication_id": fresh("once"), "label": fresh("label")}

        first, second = sdk.message.publish(**again), sdk.message.publish(**again, body="other")

        assert (first, second) == (PublishResponse(ANY, False), PublishResponse(id_of(first), True))
        created = sdk.log.list(filter={"label": again["label"], "state": LogState.CREATED}).logs
        assert [row.message_id for row in created] == [id_of(first)]

    def test_content_is_taken_once_where_that_is_asked_for(self, sdk: QStash) -> None:
        """The same body to the same URL is a duplicate, another body isn't; ``False`` asks for nothing."""
        again: dict[str, Any] = {"url": SINK, "content_based_deduplication": True}
        body = fresh("body")

        answers = [sdk.message.publish(**again, body=it) for it in (body, body, body + "!")]
        plain = sdk.message.publish(url=SINK, content_based_deduplication=False, body=body)

        assert [it.deduplicated for it in answers if isinstance(it, PublishResponse)] == [False, True, False]
        assert isinstance(plain, PublishResponse)
        assert not plain.deduplicated

    def test_a_group_republishes_only_to_its_new_endpoint(self, sdk: QStash) -> None:
        """Each element of the answer says for itself whether it was a duplicate."""
        group, once = fresh("group"), fresh("once")
        sdk.url_group.upsert_endpoints(group, [{"url": SINK + "1"}])
        sdk.message.publish(url_group=group, deduplication_id=once)
        sdk.url_group.upsert_endpoints(group, [{"url": SINK + "2"}])

        answers = fanned(sdk.message.publish(url_group=group, deduplication_id=once))

        assert [(it.url, it.deduplicated) for it in answers] == [(SINK + "1", True), (SINK + "2", False)]

    def test_enqueueing_makes_the_queue(self, sdk: QStash) -> None:
        """A queue that isn't there is made, with a parallelism of one; its messages are delivered."""
        queue, label = fresh("queue"), fresh("label")

        raw = id_of(sdk.message.enqueue(queue=queue, url=SINK + "a?b=%20", body="b", label=label))
        as_json = id_of(sdk.message.enqueue_json(queue=queue, url=SINK, body={"b": 1}, label=label))

        assert [len(rows(sdk, it, LogState.DELIVERED)) for it in (raw, as_json)] == [1, 1]
        message = sdk.message.get(raw)
        assert (message.queue, message.url, message.body) == (queue, SINK + "a?b=%20", "b")
        assert sdk.queue.get(queue).parallelism == 1

    def test_a_batch_answers_item_by_item(self, sdk: QStash) -> None:
        """A URL's answer is an object, a group's a list; a queue is filled, and the order is kept."""
        group, queue, label = fresh("group"), fresh("queue"), fresh("label")
        sdk.url_group.upsert_endpoints(group, [{"url": SINK + "1"}, {"url": SINK + "2"}])

        url, fan, queued = sdk.message.batch(
            [
                {"url": SINK, "body": "x", "method": "GET", "headers": {"h": "v"}, "delay": 3_600, "label": label},
                {"url_group": group},
                {"url": SINK, "queue": queue, "content_type": "text/plain", "body": "q"},
            ]
        )

        message = sdk.message.get(id_of(url))
        assert (message.method, message.body, message.headers, message.label) == ("GET", "x", {"H": ["v"]}, label)
        assert message.not_before - message.created_at == HOUR_MS
        assert [it.url for it in fanned(fan)] == [SINK + "1", SINK + "2"]
        assert sdk.message.get(id_of(queued)).queue == queue

    def test_a_batch_of_one_is_a_batch(self, sdk: QStash) -> None:
        """The answer to one item is a list as well; its options are its own."""
        key = fresh("key")

        answers = sdk.message.batch_json(
            [{"url": SINK, "body": {"a": 1}, "flow_control": {"key": key, "rate": 23, "period": "1h30m3s"}}]
        )

        (answer,) = answers
        message = sdk.message.get(id_of(answer))
        assert json.loads(message.body or "") == {"a": 1}
        assert message.headers == {"Content-Type": ["application/json"]}
        assert message.flow_control == FlowControlProperties(key, None, 23, 5_403)

    def test_a_batch_is_taken_whole_or_not_at_all(self, sdk: QStash) -> None:
        """One item that is refused keeps the others from being published."""
        label = fresh("label")

        with pytest.raises(QStashError, match="status: 400"):
            sdk.message.batch([{"url": SINK, "label": label}, {"url": SINK, "deduplication_id": "a:b"}])

        assert sdk.log.list(filter={"label": label}).logs == []

    def test_a_cancelled_message_is_gone_and_so_it_says(self, sdk: QStash) -> None:
        """It can't be read or cancelled again, and the log says who ended it."""
        message_id = waiting(sdk)

        sdk.message.cancel(message_id)

        assert states(sdk, message_id) == ["CREATED", "CANCEL_REQUESTED", "CANCELED"]
        for call in (sdk.message.get, sdk.message.cancel):
            with pytest.raises(QStashError, match=f"status: 404, .*message {message_id} not found"):
                call(message_id)

    def test_many_are_cancelled_and_counted_exactly(self, sdk: QStash) -> None:
        """Only what was pending counts; an empty list and no list mean all."""
        sdk.message.cancel_all()
        first, second, third = (waiting(sdk) for _ in range(3))

        assert sdk.message.cancel_many([first, second, "msg_unknown"]) == 2
        assert sdk.message.cancel_many([first, second]) == 0
        assert sdk.message.get(third).message_id == third
        assert sdk.message.cancel_all() == 1
        waiting(sdk)
        assert sdk.message.cancel_many([]) == 1
        assert sdk.message.cancel_all() == 0

    def test_a_message_between_its_attempts_can_be_cancelled(self, sdk: QStash) -> None:
        """A message that has failed and waits for its retry is pending, and not retried any more."""
        message_id = id_of(sdk.message.publish(url=BROKEN, retries=3))
        (row,) = rows(sdk, message_id, LogState.RETRY)

        assert sdk.message.cancel_many([message_id]) == 1
        assert (row.next_delivery_time or 0) - row.time > 5_000
        assert states(sdk, message_id)[-2:] == ["CANCEL_REQUESTED", "CANCELED"]


class TestUrlGroups:
    """Groups of endpoints."""

    def test_endpoints_keep_their_order_and_an_upsert_changes_by_name(self, sdk: QStash) -> None:
        """A name is the endpoint's identity where it has one, else its URL."""
        group = fresh("group")
        sdk.url_group.upsert_endpoints(group, [{"name": "n", "url": SINK + "1"}, {"url": SINK + "2"}])
        sdk.url_group.upsert_endpoints(group, [{"url": SINK + "2"}, {"name": "n", "url": SINK + "3"}])

        found = sdk.url_group.get(group)

        assert found.name == group
        assert found.endpoints == [Endpoint(SINK + "3", "n"), Endpoint(SINK + "2", None)]
        assert found.created_at <= found.updated_at <= time.time() * 1000 + 1_000
        assert found in sdk.url_group.list()

    def test_endpoints_go_by_name_or_by_url_and_the_group_with_the_last(self, sdk: QStash) -> None:
        """A group without endpoints isn't one."""
        group = fresh("group")
        sdk.url_group.upsert_endpoints(group, [{"name": it, "url": SINK + it} for it in ("1", "2", "3")])

        sdk.url_group.remove_endpoints(group, [{"name": "1"}, {"url": SINK + "2"}])
        assert sdk.url_group.get(group).endpoints == [Endpoint(SINK + "3", "3")]

        sdk.url_group.remove_endpoints(group, [{"url": SINK + "3"}])
        with pytest.raises(QStashError, match="status: 404"):
            sdk.url_group.get(group)

    def test_a_deleted_group_is_gone_and_may_be_deleted_again(self, sdk: QStash) -> None:
        """Deleting is idempotent; a publish to the group is answered with 404."""
        group = fresh("group")
        sdk.url_group.upsert_endpoints(group, [{"url": SINK}])

        sdk.url_group.delete(group)
        sdk.url_group.delete(group)

        assert group not in [it.name for it in sdk.url_group.list()]
        with pytest.raises(QStashError, match=f"status: 404, .*topic {group} not found"):
            sdk.message.publish(url_group=group)


class TestQueues:
    """Queues: made, changed, paused, listed, deleted."""

    def test_a_queue_reads_back_as_it_was_made(self, sdk: QStash) -> None:
        """Every field is there, of its type."""
        name = fresh("queue")

        sdk.queue.upsert(name, parallelism=2, paused=True)

        queue = sdk.queue.get(name)
        assert queue == Queue(name, 2, created_at=ANY, updated_at=ANY, lag=0, paused=True)
        assert queue.created_at <= queue.updated_at <= time.time() * 1000 + 1_000
        assert queue in sdk.queue.list()

    def test_an_upsert_sets_everything(self, sdk: QStash) -> None:
        """What an upsert doesn't name falls back to its default, for the SDK sends it all."""
        name = fresh("queue")
        sdk.queue.upsert(name, parallelism=2, paused=True)
        before = sdk.queue.get(name)

        sdk.queue.upsert(name)

        after = sdk.queue.get(name)
        assert (after.parallelism, after.paused, after.created_at) == (1, False, before.created_at)

    def test_a_paused_queue_takes_messages_and_delivers_none(self, sdk: QStash) -> None:
        """Its lag counts what waits; resumed, it delivers all, in order."""
        name = fresh("queue")
        sdk.queue.upsert(name)
        sdk.queue.pause(name)
        ids = [id_of(sdk.message.enqueue(queue=name, url=f"{SINK}{it}")) for it in range(2)]
        paused = sdk.queue.get(name)
        time.sleep(0.1)
        before = [states(sdk, it) for it in ids]

        sdk.queue.resume(name)

        assert (paused.paused, paused.lag, before) == (True, 2, [["CREATED"]] * 2)
        first, second = (rows(sdk, it, LogState.DELIVERED)[0].time for it in ids)
        assert first <= second
        assert eventually(lambda: sdk.queue.get(name).lag == 0)
        assert not sdk.queue.get(name).paused

    def test_a_deleted_queue_is_gone_with_its_messages(self, sdk: QStash) -> None:
        """Deleting is idempotent, and drops what waits."""
        name = fresh("queue")
        sdk.queue.upsert(name, paused=True)
        message_id = id_of(sdk.message.enqueue(queue=name, url=SINK))

        sdk.queue.delete(name)
        sdk.queue.delete(name)

        assert name not in [it.name for it in sdk.queue.list()]
        with pytest.raises(QStashError, match="status: 404"):
            sdk.queue.get(name)
        with pytest.raises(QStashError, match="status: 404"):
            sdk.message.get(message_id)


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

    def test_a_paused_schedule_publishes_nothing(self, sdk: QStash) -> None:
        """Its times pass without a message."""
        made = sdk.schedule.create(destination=SINK, cron="@every 1s")
        sdk.schedule.pause(made)
        before = len(sdk.log.list(filter={"schedule_id": made, "state": LogState.CREATED}).logs)

        time.sleep(1.2)

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
def casualties(sdk: QStash) -> Casualties:
    """Let three messages die."""
    group, queue, label = fresh("group"), fresh("queue"), fresh("label")
    sdk.url_group.upsert_endpoints(group, [{"name": "dead", "url": BROKEN}])
    options: dict[str, Any] = {"body": "b", "retries": 0, "label": label, "headers": {"h": "v"}}
    plain = dead_letter(sdk, id_of(sdk.message.publish(url=GONE, **options)))
    time.sleep(0.002)  # so that no two died at the same time
    (fan,) = fanned(sdk.message.publish(url_group=group, retries=0))
    grouped = dead_letter(sdk, fan.message_id)
    time.sleep(0.002)
    schedule_id = sdk.schedule.create(destination=GONE, cron="@every 1s", queue=queue, retries=0)
    scheduled = eventually(lambda: sdk.dlq.list(filter={"schedule_id": schedule_id}).messages)[0]
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
        eventually(lambda: len(sdk.dlq.list(filter={"label": label}).messages) == 3)
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
        eventually(lambda: len(sdk.dlq.list(filter={"label": label}).messages) == 3)
        first, second, third = (it.dlq_id for it in sdk.dlq.list(filter={"label": label}).messages)

        assert sdk.dlq.delete_many([first, second, "1-0"]) == 2
        assert sdk.dlq.delete_many([first]) == 0
        assert [it.dlq_id for it in sdk.dlq.list(filter={"label": label}).messages] == [third]


def _died_ms(found: DlqMessage) -> int:
    return int(found.dlq_id.partition("-")[0])


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
        row = eventually(lambda: sdk.log.list(filter=done).logs)[-1]
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


class TestFlowControl:
    """Limits under a key."""

    def test_a_key_is_there_as_soon_as_its_publish_is_answered(self, sdk: QStash) -> None:
        """With the limits of the newest publish; nothing is paused or pinned."""
        key = fresh("key")
        waiting(sdk, flow_control={"key": key, "parallelism": 2})
        waiting(sdk, flow_control={"key": key, "parallelism": 3, "rate": 4, "period": 60})

        found = sdk.flow_control.get(key)

        assert (found.key, found.parallelism_max, found.rate_max, found.rate_period) == (key, 3, 4, 60)
        assert (found.parallelism_count, found.rate_count, found.wait_list_size) == (0, 0, 0)
        assert (found.is_paused, found.is_pinned_parallelism, found.is_pinned_rate) == (False, False, False)

    def test_pinned_limits_stand_until_they_are_unpinned(self, sdk: QStash) -> None:
        """A publish can't change them; unpinning one leaves the other."""
        key = fresh("key")
        waiting(sdk, flow_control={"key": key, "parallelism": 1, "rate": 1, "period": 1})

        sdk.flow_control.pin(key, {"parallelism": 3, "rate": 20, "period": 120})
        waiting(sdk, flow_control={"key": key, "parallelism": 7, "rate": 7, "period": 7})
        pinned = sdk.flow_control.get(key)
        sdk.flow_control.unpin(key, {"parallelism": True, "rate": False})
        waiting(sdk, flow_control={"key": key, "parallelism": 8, "rate": 8, "period": 8})
        unpinned = sdk.flow_control.get(key)

        assert (pinned.parallelism_max, pinned.rate_max, pinned.rate_period) == (3, 20, 120)
        assert (pinned.is_pinned_parallelism, pinned.is_pinned_rate) == (True, True)
        assert (unpinned.is_pinned_parallelism, unpinned.is_pinned_rate) == (False, True)
        assert (unpinned.parallelism_max, unpinned.rate_max, unpinned.rate_period) == (8, 20, 120)

    def test_a_paused_key_lets_its_messages_wait(self, sdk: QStash) -> None:
        """They are counted while they wait, and delivered once it is resumed."""
        key = fresh("key")
        waiting(sdk, flow_control={"key": key, "parallelism": 1})
        sdk.flow_control.pause(key)
        message_id = id_of(sdk.message.publish(url=SINK, flow_control={"key": key, "parallelism": 1}))
        eventually(lambda: sdk.flow_control.get(key).wait_list_size)
        paused, before = sdk.flow_control.get(key), states(sdk, message_id)

        sdk.flow_control.resume(key)

        assert (paused.is_paused, paused.wait_list_size, before) == (True, 1, ["CREATED"])
        assert len(rows(sdk, message_id, LogState.DELIVERED)) == 1
        resumed = sdk.flow_control.get(key)
        assert (resumed.is_paused, resumed.wait_list_size) == (False, 0)

    def test_a_spent_rate_holds_messages_back_until_it_is_reset(self, sdk: QStash) -> None:
        """One an hour: the second waits, and goes when the count is set back."""
        limit: Any = {"key": fresh("key"), "rate": 1, "period": "1h"}
        first, second = (id_of(sdk.message.publish(url=SINK, flow_control=limit)) for _ in range(2))
        rows(sdk, first, LogState.DELIVERED)
        spent = sdk.flow_control.get(limit["key"])
        held = states(sdk, second)

        sdk.flow_control.reset_rate(limit["key"])

        assert (spent.rate_count, spent.rate_max, spent.wait_list_size, held) == (1, 1, 1, ["CREATED"])
        assert abs(spent.rate_period_start - time.time()) < 60
        assert len(rows(sdk, second, LogState.DELIVERED)) == 1

    def test_a_reset_rate_counts_from_nothing(self, sdk: QStash) -> None:
        """Even while the key is paused."""
        limit: Any = {"key": fresh("key"), "rate": 5, "period": "1h"}
        rows(sdk, id_of(sdk.message.publish(url=SINK, flow_control=limit)), LogState.DELIVERED)
        before = sdk.flow_control.get(limit["key"]).rate_count

        sdk.flow_control.pause(limit["key"])
        sdk.flow_control.reset_rate(limit["key"])

        assert (before, sdk.flow_control.get(limit["key"]).rate_count) == (1, 0)

    def test_deliveries_in_flight_are_counted(self, sdk: QStash) -> None:
        """Under their key and of the whole account, whose limit is told."""
        key = fresh("key")
        slow = "https://mock.httpstatus.io/200?sleep=400"
        message_id = id_of(sdk.message.publish(url=slow, flow_control={"key": key, "parallelism": 4}))

        of_key = eventually(lambda: sdk.flow_control.get(key).parallelism_count)
        of_all = sdk.flow_control.get_global_parallelism()

        assert of_key == 1
        assert 1 <= of_all.parallelism_count < of_all.parallelism_max
        rows(sdk, message_id, LogState.DELIVERED)
        assert eventually(lambda: sdk.flow_control.get(key).parallelism_count == 0)

    def test_a_key_that_nothing_was_published_with_isnt_there(self, sdk: QStash) -> None:
        """404, as for everything that isn't."""
        with pytest.raises(QStashError, match="status: 404"):
            sdk.flow_control.get(fresh("key"))


class TestRefusals:
    """What the SDK raises, and what it says."""

    def test_a_stranger_is_turned_away(self, connection: Connection) -> None:
        """An unknown token is 401, whatever is called."""
        stranger = connection.client("wrong")

        for call in (stranger.queue.list, stranger.message.cancel_all):
            with pytest.raises(QStashError, match=r"status: 401, .*unable to authenticate: invalid token"):
                call()

    def test_a_token_to_read_with_only_reads(self, sdk: QStash, connection: Connection) -> None:
        """With the read-only token, what isn't a GET is refused and changes nothing."""
        message_id, queue = waiting(sdk), fresh("queue")
        reader = connection.client(connection.facts.read_only_token)
        refused: list[Callable[[], object]] = [
            lambda: reader.message.publish(url=SINK),
            lambda: reader.message.cancel(message_id),
            lambda: reader.queue.upsert(queue),
            reader.message.cancel_all,
            reader.signing_key.rotate,
        ]

        for call in refused:
            with pytest.raises(QStashError, match="status: 403"):
                call()

        assert reader.message.get(message_id) == sdk.message.get(message_id)
        assert queue not in [it.name for it in reader.queue.list()]

    @pytest.mark.parametrize(
        ("options", "refusal"),
        [
            ({"deduplication_id": "a:b"}, "status: 400, .*DeduplicationId cannot contain ':'"),
            ({"delay": "soon"}, "status: 400, .*Upstash-Delay"),
            ({"retry_delay": "exec(1)"}, "status: 400, .*Upstash-Retry-Delay"),
            ({"callback": "ftp://sink.requestcatcher.com"}, "status: 400, .*invalid scheme"),
            ({"url": "ftp://sink.requestcatcher.com"}, "status: 400, .*endpoint has invalid scheme"),
            ({"delay": "3650d"}, "status: 412, .*quota maxDelay exceeded"),
            ({"retries": 1_000}, "status: 412, .*quota maxRetries exceeded"),
            ({"body": b"x" * (11 * 1024 * 1024)}, "status: 412, .*quota maxMessageSize exceeded"),
        ],
        ids=lambda it: next(iter(it)) if isinstance(it, dict) else "",
    )
    def test_a_publish_that_cant_be_kept_is_refused(self, sdk: QStash, options: dict[str, Any], refusal: str) -> None:
        """400 says what is wrong with it, 412 which quota it exceeds; nothing is published."""
        label = fresh("label")

        with pytest.raises(QStashError, match=refusal):
            sdk.message.publish(**({"url": SINK, "label": label} | options))

        assert sdk.log.list(filter={"label": label}).logs == []

    def test_a_name_that_is_none_is_refused(self, sdk: QStash) -> None:
        """Queues and groups are named with letters, digits, dots, dashes and underscores."""
        with pytest.raises(QStashError, match="status: 400"):
            sdk.queue.upsert("a b")
        with pytest.raises(QStashError, match="status: 400"):
            sdk.url_group.upsert_endpoints("a:b", [{"url": SINK}])


class TestTestHosts:
    """The public hosts that clients are tried on, answered inside the server."""

    @pytest.mark.parametrize(
        ("url", "method", "status", "body"),
        [
            ("https://mock.httpstatus.io/503", "POST", 503, "503 Service Unavailable"),
            ("http://mock.httpstatus.io/400?sleep=5", "PUT", 400, "400 Bad Request"),
            ("https://example.com", "POST", 405, None),
            ("https://example.org/a", "GET", 404, None),
            ("https://httpbin.org/status/418", "POST", 418, None),
        ],
    )
    def test_a_host_fails_as_it_is_known_to(
        self, sdk: QStash, url: str, method: Any, status: int, body: str | None
    ) -> None:
        """With its status, and with a text where that is known."""
        found = dead_letter(sdk, id_of(sdk.message.publish(url=url, method=method, retries=0)))

        assert (found.response_status, found.method) == (status, method)
        assert body in (None, found.response_body)

    @pytest.mark.parametrize(
        ("url", "method"),
        [
            ("https://mock.httpstatus.io/204", "POST"),
            ("https://example.com", "GET"),
            ("https://example.org/", "GET"),
            ("https://httpbin.org/status/201", "DELETE"),
            ("https://any.requestcatcher.com/path", "POST"),
            ("https://api.openai.com/v1/embeddings", "POST"),
            ("https://api.resend.com/emails", "POST"),
        ],
    )
    def test_a_host_takes_what_it_is_known_to_take(self, sdk: QStash, url: str, method: Any) -> None:
        """The message is delivered at the first attempt."""
        message_id = id_of(sdk.message.publish(url=url, method=method, retries=0))

        assert len(rows(sdk, message_id, LogState.DELIVERED)) == 1

    def test_a_name_neednt_resolve_to_be_published_to(self, sdk: QStash) -> None:
        """Where there is no internet, nothing does."""
        assert sdk.message.get(waiting(sdk, url="https://nowhere.invalid/hook")).url == "https://nowhere.invalid/hook"


class TestLimits:
    """What an account of the free plan is told when it asks for more than it has."""

    @pytest.fixture
    def free(self, connection: Connection) -> Iterator[QStash]:
        """Run a server with the limits of the free plan; return a client of it."""
        with running_qstash("--test-hosts", "--plan", "free") as facts:
            limited = Connection(connection.flavour, facts, connection.runner)
            yield limited.client(facts.token)
            limited.close()

    def test_the_messages_of_a_day_come_to_an_end(self, free: QStash) -> None:
        """The thousandth is taken and the next one isn't; the SDK knows the quota from a burst by its headers."""
        free.message.batch([{"url": SINK, "delay": "1h"} for _ in range(1_000)])

        with pytest.raises(DailyMessageLimitExceededError) as caught:
            free.message.publish(url=SINK)

        assert (caught.value.limit, caught.value.remaining) == ("1000", "0")
        assert 0 <= int(caught.value.reset or "") - time.time() <= 86_400
        assert free.queue.list() == []

    def test_a_burst_of_calls_that_manage_is_slowed_down(self, free: QStash) -> None:
        """More than a hundred in a second are refused; publishing isn't counted among them."""

        def call_again_and_again() -> None:
            for _ in range(2_000):
                free.queue.list()

        with pytest.raises(RateLimitExceededError) as caught:
            call_again_and_again()

        assert (caught.value.limit, caught.value.remaining) == ("100", "0")
        assert abs(int(caught.value.reset or "") - time.time()) <= 2
        assert isinstance(free.message.publish(url=SINK), PublishResponse)

    @pytest.mark.parametrize(
        ("options", "quota"),
        [({"delay": "8d"}, "maxDelay"), ({"body": "x" * 1_048_577}, "maxMessageSize"), ({"timeout": "16m"}, "")],
        ids=["delay", "size", "timeout"],
    )
    def test_a_message_beyond_the_plan_is_refused(self, free: QStash, options: dict[str, Any], quota: str) -> None:
        """A day too late, a byte too long, a minute too slow."""
        with pytest.raises(QStashError, match=f"status: 412, .*quota {quota}"):
            free.message.publish(url=SINK, **options)

    def test_there_are_so_many_groups_queues_and_schedules(self, free: QStash) -> None:
        """One group, ten queues, two places in each, ten schedules; what is there may still be changed."""
        free.url_group.upsert_endpoints("one", [{"url": SINK}])
        for number in range(10):
            free.queue.upsert(f"q{number}", parallelism=2)
            free.schedule.create(destination=SINK, cron="@daily", schedule_id=f"s{number}")
        too_much: list[Callable[[], object]] = [
            lambda: free.url_group.upsert_endpoints("two", [{"url": SINK}]),
            lambda: free.queue.upsert("q0", parallelism=3),
            lambda: free.queue.upsert("q10"),
            lambda: free.message.enqueue(queue="q10", url=SINK),
            lambda: free.schedule.create(destination=SINK, cron="@daily"),
        ]

        for call in too_much:
            with pytest.raises(QStashError, match=r"status: 412, .*quota"):
                call()

        free.url_group.upsert_endpoints("one", [{"url": SINK + "2"}])
        free.queue.upsert("q0", parallelism=1)
        free.schedule.create(destination=SINK, cron="@hourly", schedule_id="s0")
        assert (len(free.url_group.get("one").endpoints), free.queue.get("q0").parallelism) == (2, 1)
        assert free.schedule.get("s0").cron == "@hourly"


def _calls_of(client: QStash | AsyncQStash) -> set[tuple[str, str]]:
    return {
        (resource, name)
        for resource, api in vars(client).items()
        if resource != "http"
        for name, _ in inspect.getmembers(api, callable)
        if not name.startswith("_")
    }


@pytest.mark.parametrize("flavour", [QStash, AsyncQStash])
def test_every_call_of_the_sdk_is_made_here(flavour: type[QStash | AsyncQStash]) -> None:
    """Each public method of each resource of the client is called, as ``sdk.resource.method``, in this file."""
    called = {
        (node.value.attr, node.attr)
        for node in ast.walk(ast.parse(Path(__file__).read_text("utf-8")))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Attribute)
        and isinstance(node.value.value, ast.Name)
        and node.value.value.id == "sdk"
    }

    calls = _calls_of(flavour("token"))

    assert len(calls) > 35
    assert called == calls
