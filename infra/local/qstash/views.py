"""The JSON that leaves the server: the names and forms of QStash's objects.

Empty fields are left out, as the real service does.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .options import Callback
    from .state import Answer, DeadLetter, Group, LogRow, Message

MAX_CALLBACK_BODY_BYTES = 10 * 1024 * 1024


def message_view(message: Message) -> dict[str, Any]:
    """Return a message as ``GET /v2/messages/{id}`` shows it."""
    options = message.options
    shown = {
        **_origin(message),
        "header": _header(options.header),
        **_body("body", message.body),
        **_callbacks(options.callback, options.failure_callback, suffix="Header"),
        "callerIP": message.caller_ip,
        "retryDelayExpression": options.retry_delay,
        **_labels(message),
    }
    always = {
        "messageId": message.id,
        "url": message.url,
        "method": options.method,
        "maxRetries": options.retries,
        "notBefore": message.not_before_ms,
        "createdAt": message.created_ms,
    }
    return always | _filled(shown)


def dead_letter_view(dead_letter: DeadLetter) -> dict[str, Any]:
    """Return a dead letter as the DLQ shows it; its response's body is text where it can be."""
    answer = dead_letter.answer
    shown = {"responseHeader": _header(answer.header), **_body("responseBody", answer.body)}
    always = {"dlqId": dead_letter.id, "responseStatus": answer.status}
    return message_view(dead_letter.message) | always | _filled(shown)


def log_view(row: LogRow) -> dict[str, Any]:
    """Return a log row; names that clients spell in two ways are given in both."""
    message, options = row.message, row.message.options
    shown = {
        **_origin(message),
        "method": options.method,
        "header": _header(options.header),
        "body": _base64(message.body),
        **_callbacks(options.callback, options.failure_callback, suffix="Headers"),
        "timeout": options.timeout_s * 1000 if options.timeout_given else None,
        "retryDelayExpression": options.retry_delay,
        "retryDelayExpr": options.retry_delay,
        "callerIP": message.caller_ip,
        **_labels(message),
        **row.extra,
    }
    always = {
        "time": row.stamp[0],
        "messageId": message.id,
        "state": row.state,
        "url": message.url,
        "maxRetries": options.retries,
    }
    return always | _filled(shown)


def answer_extra(answer: Answer) -> dict[str, Any]:
    """Return what a log row of a failed attempt says about the answer."""
    header = _header(answer.header)
    return {
        "responseStatus": answer.status,
        "responseBody": _base64(answer.body),
        "responseHeader": header,
        "responseHeaders": header,
        "error": answer.error,
    }


def callback_body(message: Message, answer: Answer, dead_letter: DeadLetter | None) -> dict[str, Any]:
    """Return the report of an attempt; of a dead letter, if there is one.

    The real service sends integers, arrays of header values, and no ``retried`` when it is 0.
    """
    shown = {
        "retried": message.retried,
        "dlqId": dead_letter.id if dead_letter else None,
        **_origin(message),
        "callerIP": message.caller_ip,
    }
    always = {
        "status": answer.status,
        "header": _header(answer.header),
        "body": _base64(answer.body[:MAX_CALLBACK_BODY_BYTES]),
        "sourceMessageId": message.id,
        "url": message.url,
        "method": message.options.method,
        "sourceHeader": _header(message.options.header),
        "sourceBody": _base64(message.body),
        "maxRetries": message.options.retries,
        "notBefore": message.not_before_ms,
        "createdAt": message.created_ms,
    }
    return always | _filled(shown)


def group_view(group: Group) -> dict[str, Any]:
    """Return a URL group."""
    endpoints = [{"url": url} | ({"name": name} if name else {}) for url, name in group.endpoints]
    return {
        "name": group.name,
        "createdAt": group.created_ms,
        "updatedAt": group.updated_ms,
        "endpoints": endpoints,
    }


def _filled(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value}


def _origin(message: Message) -> dict[str, Any]:
    return {"topicName": message.topic_name, "endpointName": message.endpoint_name}


def _labels(message: Message) -> dict[str, Any]:
    labels = list(message.options.labels)
    return {"label": labels[0] if labels else None, "labels": labels}


def _callbacks(callback: Callback | None, failure: Callback | None, *, suffix: str) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for name, given in (("callback", callback), ("failureCallback", failure)):
        if given:
            shown[name] = given.url
            shown[name + suffix] = _header(given.options.header)
    return shown


def _header(header: Mapping[str, list[str]]) -> dict[str, list[str]]:
    return {name: [_shown(value) for value in values] for name, values in header.items()}


def _shown(text: str) -> str:
    """Header values are bytes to us; what is not UTF-8 cannot be shown in JSON as it is."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _body(name: str, body: bytes) -> dict[str, str]:
    try:
        return {name: body.decode()}
    except UnicodeDecodeError:
        return {f"{name}Base64": _base64(body)}


def _base64(body: bytes) -> str:
    return base64.b64encode(body).decode()
