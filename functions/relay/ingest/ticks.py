"""Ticks: a schedule is a source to which QStash itself posts, at the times of a cron expression; one post is a *tick*.

QStash signs a tick with its own keys, which the table has, so a schedule has no signing secret.  These keys are
symmetric: any destination that checks QStash's signatures could sign a tick.  Therefore QStash is given a URL with a
MAC under a key that only the relay has (`relay.urls`), and QStash's signature covers the URL.

The message id is the idempotency key.  QStash's retry after a failure is the same event, and the next tick is another,
though the body never changes.  Nothing signs that id, so the same JWT under another id is a suspected replay.
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


def describe_tick(info: WebhookInfo, headers: Mapping[str, str], *, path: str, mac_key: str) -> WebhookInfo:
    """Return the info of a tick whose signature is verified.

    Args:
        info: The info by the scheme's row.
        headers: Names in lower case.
        path: The path of the request, without the query.

    Raises:
        SignatureError: The URL isn't the one that QStash was given; or the tick has no message id, without which every
            tick would be the same event.
    """
    if not is_mac(info.query.get(TICK_MAC, ""), tick_mac(mac_key, path.rpartition("/")[2])):
        raise SignatureError("the URL isn't the one that the relay gave its schedule", reason="wrong_token")
    if not info.has_id:
        raise SignatureError("Upstash-Message-Id is missing", reason="missing_header")
    token = hashlib.sha256(headers[_SIGNATURE].encode(errors="replace")).hexdigest()
    no_query = {"query": {}, "raw_query": "", "query_left_out": False}  # the URL is a secret
    return replace(info, event_type=EVENT_TYPE, headers={}, signed_sha256=token, **no_query)  # type: ignore[arg-type]
