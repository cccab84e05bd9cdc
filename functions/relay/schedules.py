"""Schedules: sources that QStash itself posts to, at the times of a cron expression.  One post is a *tick*.

QStash signs a tick with its own keys, which the table has: a schedule has no signing secret, and no other way in.  The
message's id is the idempotency key, so what QStash sends again after a failure is the same event, and the next tick is
another, though the body is always the same.  Nothing signs that id; so the same JWT under another id is suspicious.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from relay.errors import SignatureError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relay.judgement import Described

EVENT_TYPE = "schedule"
LEEWAY_S = 5  # between QStash's clock and ours, as for its callbacks: the row alone is as strict as QStash's SDK
_SIGNATURE = "upstash-signature"


def describe_tick(said: Described, headers: Mapping[str, str]) -> Described:
    """Return what a tick says of itself, whose signature is verified.

    Args:
        said: What the scheme's row makes of it.
        headers: Names in lower case.

    Raises:
        SignatureError: It has no message id: without one, every tick would be the same event.
    """
    if not said.has_id:
        raise SignatureError("Upstash-Message-Id is missing", reason="missing_header")
    token = hashlib.sha256(headers[_SIGNATURE].encode(errors="replace")).hexdigest()
    return replace(said, event_type=EVENT_TYPE, headers={}, signed_sha256=token)
