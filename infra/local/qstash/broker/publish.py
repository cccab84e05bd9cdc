"""Publishing: from a destination and headers to messages, through URL groups, quotas and deduplication.

In two steps, so that what is refused of a batch is before any of it is sent: `plan` may refuse, `commit` can't.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..language.grammar import DAY_S, NAME, Refused, destination_url, rate_limited, unresolved, within
from ..language.options import Options, read_options
from .messages import Message, Wanted

if TYPE_CHECKING:
    from .engine import Engine
    from .state import Group, Settings, User


LLM, LLM_URL = "api/llm", "https://qstash.upstash.io/llm/v1/chat/completions"  # Upstash's own language model


@dataclass(frozen=True)
class Publication:
    """What one publish comes to: messages, each under its deduplication key, if it has one."""

    is_group: bool
    messages: list[tuple[object | None, Message]]


def plan(engine: Engine, user: User, wanted: Wanted) -> Publication:
    """Return what a publish would send, or refuse it."""
    limits = engine.settings.limits
    within(len(wanted.body), limits.message_bytes, "maxMessageSize")
    group = _group(user, wanted.destination)
    alone = LLM_URL if wanted.destination == LLM else wanted.destination
    options = read_options({**(group.headers if group else {}), **wanted.headers}, limits)
    created_ms = int(engine.clock.now() * 1000)
    due_ms = created_ms + options.delay_s * 1000
    if options.not_before_s is not None:
        due_ms = max(created_ms, options.not_before_s * 1000)
    within((due_ms - created_ms) // 1000, limits.delay_s, "maxDelay")
    messages = [
        Message(
            url=url,
            options=options,
            body=wanted.body,
            created_ms=created_ms,
            due_ms=due_ms,
            topic_name=group.name if group else None,
            endpoint_name=endpoint_name,
            queue_name=wanted.queue_name,
            schedule_id=wanted.schedule_id,
            caller_ip=wanted.caller_ip,
        )
        for url, endpoint_name in (group.endpoints if group else [(alone, None)])
    ]
    for url in (message.url for message in messages):
        if not engine.settings.resolves(url):
            raise Refused(400, f"invalid destination url: {unresolved(url)}")
    keyed = [(_deduplication_key(options, wanted, one, engine.settings), one) for one in messages]
    return Publication(is_group=group is not None, messages=keyed)


def _group(user: User, destination: str) -> Group | None:
    """Return the URL group that a destination names, None if it is a URL, or refuse it."""
    if not destination:
        raise Refused(400, "a non-empty destination must be provided")
    if destination == LLM:
        return None
    if not NAME.fullmatch(destination):
        destination_url(destination)
        return None
    if destination not in user.groups:
        raise Refused(404, f"topic {destination} not found")
    return user.groups[destination]


def admit(engine: Engine, user: User, publications: list[Publication]) -> None:
    """Take what is about to be sent out of the account's quotas, or refuse all of it."""
    limits, now_s = engine.settings.limits, engine.clock.now()
    day = int(now_s // DAY_S)
    messages = [pair for one in publications for pair in one.messages]
    limit_queues(engine, user, {message.queue_name for _, message in messages})
    new = {key or message.id for key, message in messages if not (key and user.seen(key, now_s))}
    if not user.spend("messages", len(new), limits.messages_per_day, day):
        raise rate_limited("daily", limits.messages_per_day, (day + 1) * DAY_S)


def limit_queues(engine: Engine, user: User, names: set[str | None]) -> None:
    """Refuse to have queues of these *names*, if with the new ones among them there were too many."""
    if new := names - user.queues.keys() - {None}:
        within(len(user.queues) + len(new), engine.settings.limits.queues, "maxQueues")


def commit(engine: Engine, user: User, publication: Publication) -> tuple[Any, bool]:
    """Send what is not a duplicate; return the answer, and whether all of it was."""
    answers, new, now_s = [], 0, engine.clock.now()
    for key, message in publication.messages:
        seen = user.seen(key, now_s) if key else None
        answer: dict[str, object] = {"messageId": seen or message.id}
        if publication.is_group:
            answer["url"] = message.url
        if seen:
            answer["deduplicated"] = True
        else:
            new += 1
            if key:
                user.remember(key, message.id, now_s)
            if message.queue_name:
                user.queue(message.queue_name, message.created_ms)
            engine.accept(user, message)
        answers.append(answer)
    return answers if publication.is_group else answers[0], not new


def _deduplication_key(options: Options, wanted: Wanted, message: Message, settings: Settings) -> object | None:
    """Return what makes a publish the same as another: its id, or else its content, if either is asked for.

    An id counts whatever URL it is published to, unless the scope says else; in a group, for each endpoint by itself,
    so that a publish repeated after an endpoint was added reaches the new one only.
    """
    endpoint = message.url if message.topic_name else None
    if options.deduplication_id:
        scope = wanted.destination if settings.deduplication_scope == "destination" else None
        return ("id", options.deduplication_id, endpoint, scope)
    if options.content_based:
        header = json.dumps([wanted.destination, sorted(options.header.items())]).encode()
        return ("content", hashlib.sha256(header).digest(), hashlib.sha256(wanted.body).digest(), endpoint)
    return None
