"""Publishing, enqueueing, reading and cancelling, as PyPI's ``qstash`` sees it."""

from __future__ import annotations

import base64
import json
import re
import time
from typing import TYPE_CHECKING, Any
from unittest.mock import ANY

import pytest
from qstash.chat import custom, openai
from qstash.errors import QStashError
from qstash.log import LogFilter, LogState
from qstash.message import FlowControlProperties, Message, PublishResponse

if TYPE_CHECKING:
    from qstash import QStash

from tests.waiting import eventually

from .steps import BROKEN, CALLBACK, HOUR_MS, SINK, fanned, fresh, id_of, redacted, rows, states, waiting


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
        assert len(eventually(lambda: sdk.log.list(filter=reported).logs, "the callback is logged")) == 1

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
