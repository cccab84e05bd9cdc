"""Publishing: from a destination and headers to messages, through URL groups and deduplication.

In two steps, so that a batch is refused as a whole before any of it is sent: `plan` may refuse, `commit` can't.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .grammar import Refused
from .options import Headers, Options, check_destination, read_options
from .state import Message, Settings, User

if TYPE_CHECKING:
    from .engine import Engine


@dataclass(frozen=True)
class Publication:
    """What one publish comes to: messages, each under its deduplication key, if it has one."""

    group: str | None
    messages: list[tuple[object | None, Message]]


@dataclass(frozen=True)
class Published:
    """The answer to a publish; *duplicate* if nothing was new."""

    value: Any
    duplicate: bool


def plan(
    user: User,
    *,
    destination: str,
    headers: Headers,
    body: bytes,
    caller_ip: str,
    now_s: float,
    settings: Settings,
) -> Publication:
    """Return what a publish would send, or refuse it."""
    limits = settings.limits
    if len(body) > limits.message_bytes:
        raise Refused(412, f"quota maxMessageSize exceeded, current limit: {limits.message_bytes}")
    group_name = check_destination(destination)
    endpoints: list[tuple[str, str | None]] = [(destination, None)]
    if group_name is not None:
        group = user.groups.get(group_name)
        if group is None:
            raise Refused(404, f"topic {group_name} not found")
        endpoints, headers = group.endpoints, group.headers | dict(headers)
    options = read_options(headers, limits)
    created_ms = int(now_s * 1000)
    due_ms = created_ms + options.delay_s * 1000
    if options.not_before_s is not None:
        due_ms = max(created_ms, options.not_before_s * 1000)
    if due_ms - created_ms > limits.delay_s * 1000:
        raise Refused(412, f"quota maxDelay exceeded, current limit: {limits.delay_s}")
    messages = [
        (
            _deduplication_key(options, destination, body, group_name and url),
            Message(
                url=url,
                options=options,
                body=body,
                created_ms=created_ms,
                due_ms=due_ms,
                topic_name=group_name,
                endpoint_name=endpoint_name,
                caller_ip=caller_ip,
            ),
        )
        for url, endpoint_name in endpoints
    ]
    return Publication(group_name, messages)


def commit(engine: Engine, user: User, publication: Publication) -> Published:
    """Send what is not a duplicate, and return the answer."""
    answers, new = [], 0
    now_s = engine.clock.now()
    for key, message in publication.messages:
        seen = user.seen(key, now_s) if key else None
        answer: dict[str, object] = {"messageId": seen or message.id}
        if publication.group is not None:
            answer["url"] = message.url
        if seen:
            answer["deduplicated"] = True
        else:
            new += 1
            if key:
                user.remember(key, message.id, now_s, engine.settings)
            engine.accept(user, message)
        answers.append(answer)
    return Published(answers if publication.group is not None else answers[0], duplicate=not new)


def _deduplication_key(options: Options, destination: str, body: bytes, endpoint_url: str | None) -> object | None:
    """Return what makes a publish the same as another: its id, or else its content, if either is asked for.

    An id counts whatever URL it is published to; in a group, for each endpoint by itself, so that a publish
    repeated after an endpoint was added reaches the new one only.
    """
    if options.deduplication_id:
        return ("id", options.deduplication_id, endpoint_url)
    if options.content_based:
        header = json.dumps([destination, sorted(options.header.items())]).encode()
        return ("content", hashlib.sha256(header).digest(), hashlib.sha256(body).digest(), endpoint_url)
    return None
