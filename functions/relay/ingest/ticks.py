"""Schedules: sources that QStash itself posts to, at the times of a cron expression.  One post is a *tick*.

QStash signs a tick with its own keys, which the table has: a schedule has no signing secret, and no other way in.
These keys are symmetric, so a destination that checks QStash's signatures could sign a tick, too: hence the URL that
QStash is given has a MAC under a key that only the relay has, and what is signed is the URL as well.

The message's id is the idempotency key, so what QStash sends again after a failure is the same event, and the next tick
is another, though the body is always the same.  Nothing signs that id; so the same JWT under another id is suspicious.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from relay.errors import SignatureError
from relay.urls import TICK_MAC, is_mac, tick_mac

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relay.verification.verify import WebhookInfo

EVENT_TYPE = "schedule"
_SIGNATURE = "upstash-signature"


def describe_tick(said: WebhookInfo, headers: Mapping[str, str], *, path: str, mac_key: str) -> WebhookInfo:
    """Return what a tick says of itself, whose signature is verified.

    Args:
        said: What the scheme's row makes of it.
        headers: Names in lower case.
        path: Where it was posted to, without the query.

    Raises:
        SignatureError: QStash wasn't given this URL; or the tick has no message id: without one, every tick would be
            the same event.
    """
    if not is_mac(said.query.get(TICK_MAC, ""), tick_mac(mac_key, path.rpartition("/")[2])):
        raise SignatureError("the URL isn't the one that the relay gave its schedule", reason="wrong_token")
    if not said.has_id:
        raise SignatureError("Upstash-Message-Id is missing", reason="missing_header")
    token = hashlib.sha256(headers[_SIGNATURE].encode(errors="replace")).hexdigest()
    no_query = {"query": {}, "raw_query": "", "query_left_out": False}  # the URL is a secret
    return replace(said, event_type=EVENT_TYPE, headers={}, signed_sha256=token, **no_query)  # type: ignore[arg-type]
