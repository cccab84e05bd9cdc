"""The JSON that leaves the server: the names and forms of QStash's objects.

What an object lacks is None here, and left out by `shaped`, as the real service does; what is always there stands in
the first dictionary of each.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..language.grammar import Redaction
    from ..language.options import Options
    from .line import FlowKey
    from .messages import Answer, DeadLetter, LogRow, Message
    from .state import Group, Queue, Schedule, User


def message_view(message: Message) -> dict[str, Any]:
    """Return a message as ``GET /v2/messages/{id}`` shows it."""
    options = message.options
    always = {
        "messageId": message.id,
        "url": message.url,
        "method": options.method,
        "maxRetries": options.retries,
        "notBefore": message.not_before_ms,
        "createdAt": message.created_ms,
    }
    shown = {**_content(options, message.body), **_callbacks(options, "Header"), "callerIP": message.caller_ip}
    return always | _filled(_origin(message) | shown | _tags(options))


def dead_letter_view(dead_letter: DeadLetter) -> dict[str, Any]:
    """Return a dead letter as the DLQ shows it; its response's body is text where it can be."""
    answer = dead_letter.answer
    always = {"dlqId": dead_letter.id, "responseStatus": answer.status}
    shown = {"responseHeader": _header(answer.header), **_text_or_base64("responseBody", answer.body)}
    return message_view(dead_letter.message) | always | _filled(shown)


def log_view(row: LogRow) -> dict[str, Any]:
    """Return a log row; names that clients spell in two ways are given in both."""
    message, options = row.message, row.message.options
    always = {
        "time": row.stamp[0],
        "messageId": message.id,
        "state": row.state,
        "url": message.url,
        "maxRetries": options.retries,
    }
    shown = {
        "method": options.method,
        "header": _header(options.header, options.redaction),
        "body": _redacted(message.body) if options.redaction.body else _base64(message.body),
        **_callbacks(options, "Headers"),
        "timeout": options.timeout_s * 1000 if options.timeout_given else None,
        "retryDelayExpr": options.retry_delay,
        "nextDeliveryTime": row.next_ms,
    }
    if answer := row.answer:
        always["responseStatus"] = answer.status
        shown["responseBody"], shown["error"] = _base64(answer.body), answer.error
        shown["responseHeader"] = shown["responseHeaders"] = _header(answer.header)
    return always | _filled(_origin(message) | shown | _tags(options))


def callback_body(message: Message, answer: Answer, dead_letter: DeadLetter | None) -> dict[str, Any]:
    """Return the report of an attempt; of a dead letter, if there is one.

    The real service sends integers, arrays of header values, and no ``retried`` when it is 0.
    """
    always = {
        "status": answer.status,
        "header": _header(answer.header),
        "body": _base64(answer.body),
        "sourceMessageId": message.id,
        "url": message.url,
        "method": message.options.method,
        "sourceHeader": _header(message.options.header),
        "sourceBody": _base64(message.body),
        "maxRetries": message.options.retries,
        "notBefore": message.not_before_ms,
        "createdAt": message.created_ms,
    }
    shown = {
        "retried": message.retried,
        "dlqId": dead_letter and dead_letter.id,
        "callerIP": message.caller_ip,
    }
    return always | _filled(_origin(message) | shown)


def group_view(group: Group) -> dict[str, Any]:
    """Return a URL group."""
    endpoints = [_filled({"url": url, "name": name}) for url, name in group.endpoints]
    times = {"createdAt": group.created_ms, "updatedAt": group.updated_ms}
    return {"name": group.name, **times, "endpoints": endpoints}


def queue_view(queue: Queue, user: User) -> dict[str, Any]:
    """Return a queue; its lag is what it has not finished yet."""
    return {
        "name": queue.name,
        "createdAt": queue.created_ms,
        "updatedAt": queue.updated_ms,
        "parallelism": queue.line.places,
        "paused": queue.line.paused,
        "lag": sum(message.queue_name == queue.name for message in user.messages.values()),
    }


def schedule_view(schedule: Schedule, now_s: float) -> dict[str, Any]:
    """Return a schedule."""
    options, wanted, next_s = schedule.options, schedule.wanted, schedule.cron.next_s(now_s)
    always = {
        "scheduleId": schedule.id,
        "cron": schedule.cron.text,
        "destination": wanted.destination,
        "createdAt": schedule.created_ms,
        "method": options.method,
        "isPaused": schedule.paused,
        "retries": options.retries,
    }
    shown = {
        **_content(options, wanted.body),
        **_callbacks(options, "Header"),
        "delay": options.delay_s,
        "timeout": options.timeout_s if options.timeout_given else None,
        "queueName": wanted.queue_name,
        "callerIP": wanted.caller_ip,
        "callerIp": wanted.caller_ip,
        "lastScheduleTime": schedule.last_ms,
        "nextScheduleTime": next_s and int(next_s * 1000),
        "lastScheduleStates": {message.id: message.outcome for message in schedule.last},
        "error": schedule.error,
    }
    return always | _filled(shown | _tags(options))


def flow_key_view(name: str, key: FlowKey) -> dict[str, Any]:
    """Return the state of a flow-control key; 0 for a limit that it doesn't have."""
    return {
        "flowControlKey": name,
        "waitListSize": key.waiting,
        "parallelismMax": key.places or 0,
        "parallelismCount": key.taken,
        "rateMax": key.rate or 0,
        "rateCount": 0 if key.is_over else key.turns,
        "ratePeriod": key.period_s,
        "ratePeriodStart": int(key.period_start_s),
        "isPaused": key.paused,
        "isPinnedParallelism": key.pinned_parallelism,
        "isPinnedRate": key.pinned_rate,
    }


def page_view(name: str, page: tuple[list[Any], str | None]) -> dict[str, Any]:
    """Return a page of a listing under *name*, with the cursor of the next, if there is one."""
    return {name: page[0], "cursor": page[1]}


def shaped(value: Any, shape: str = "") -> Any:
    """Return *value*, of views, as it leaves the server.

    Args:
        value: Of JSON; what is None in an object is what the object lacks.
        shape: ``sparse``: without all that is empty, 0 or false.  ``null``: with null for that, and for what else is
            left out.  ``lagless``: with 0 for every ``lag``.
    """
    if isinstance(value, list):
        return [shaped(it, shape) for it in value] or (None if shape == "null" else [])
    if not isinstance(value, dict):
        return value
    inner = {name: 0 if (shape, name) == ("lagless", "lag") else shaped(it, shape) for name, it in value.items()}
    if shape == "null":
        return {name: it or None for name, it in inner.items()}
    return {name: it for name, it in inner.items() if (it if shape == "sparse" else it is not None)}


def _filled(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return *fields*, of which those that are empty are what the object lacks."""
    return {name: value or None for name, value in fields.items()}


def _origin(message: Message) -> dict[str, Any]:
    return {
        "topicName": message.topic_name,
        "endpointName": message.endpoint_name,
        "queueName": message.queue_name,
        "scheduleId": message.schedule_id,
    }


def _tags(options: Options) -> dict[str, Any]:
    shown: dict[str, Any] = {"retryDelayExpression": options.retry_delay}
    shown |= {"label": next(iter(options.labels), None), "labels": options.labels}
    if flow := options.flow_control:
        shown |= {"flowControlKey": flow.key, "parallelism": flow.parallelism}
        shown |= {"rate": flow.rate, "period": flow.period_s}
    return shown


def _content(options: Options, body: bytes) -> dict[str, Any]:
    shown = {"body": _redacted(body)} if options.redaction.body else _text_or_base64("body", body)
    return {"header": _header(options.header, options.redaction), **shown}


def _callbacks(options: Options, suffix: str) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for name, given in (("callback", options.callback), ("failureCallback", options.failure_callback)):
        shown[name] = given and given.url
        shown[name + suffix] = given and _header(given.options.header, given.options.redaction)
    return shown


def _header(header: Mapping[str, list[str]], redaction: Redaction | None = None) -> dict[str, list[str]]:
    return {
        name: [_redacted(value.encode()) for value in values] if redaction and redaction.hides(name) else values
        for name, values in header.items()
    }


def _redacted(value: bytes) -> str:
    return f"REDACTED:{hashlib.sha256(value).hexdigest()}"


def _text_or_base64(name: str, body: bytes) -> dict[str, str]:
    try:
        return {name: body.decode()}
    except UnicodeDecodeError:
        return {f"{name}Base64": _base64(body)}


def _base64(body: bytes) -> str:
    return base64.b64encode(body).decode()
