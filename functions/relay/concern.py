"""Tells whom a refusal of QStash concerns, which decides what waits and what goes on.  Hides QStash's words.

The status tells most.  A 400, a 412 or a 422 may concern the message, which stays as it is, or an endpoint, which may
be mended: only the text tells.  An unknown text decides nothing for good.
"""

from __future__ import annotations

import re
from enum import StrEnum


class Concern(StrEnum):
    """Whom a refusal concerns."""

    MESSAGE = "message"  # this message alone: QStash never takes it
    ENDPOINT = "endpoint"  # the destination's URL: a name that doesn't resolve, an address that isn't public
    ACCOUNT = "account"  # the token, the bill, the relay's own URL: the owner must act, and all messages wait
    MOMENT = "moment"  # nobody: the failure passes, and all messages wait
    PLACE = "place"  # a missing URL group or queue: a sync makes it, and the other messages don't wait
    UNKNOWN = "unknown"  # QStash took nothing, for a reason that the relay doesn't know


_BY_STATUS = {
    401: Concern.ACCOUNT,
    402: Concern.ACCOUNT,
    403: Concern.ACCOUNT,
    404: Concern.PLACE,
    408: Concern.MOMENT,
    413: Concern.MESSAGE,
    414: Concern.MESSAGE,
    425: Concern.MOMENT,
    429: Concern.MOMENT,
    431: Concern.MESSAGE,
}

# Texts of production, as people have reported them, and other wordings of the same.
_ELSEWHERE = (
    "not found in this region"  # the token is of another region: `user (…) not found in this region (eu-central-1)`
)
_OURS = re.compile(r"callback")  # a callback's URL is the relay's own
_ENDPOINT = re.compile(
    r"destination url|resolve|no such host|dial tcp|lookup |loopback|private|link-local|not public"
    r"|invalid (endpoint|scheme|host|url)|endpoint has|endpoint is"
)
_MESSAGE = re.compile(
    r"deduplicationid|maxmessagesize|message (is )?too (large|big)|body (is )?too (large|big)|too large"
    r"|invalid header|malformed header|header (is )?too"
)


def concern_of(status: int | None, text: str) -> Concern:
    """Return whom QStash's answer *status*, with *text*, concerns; None: no answer came."""
    if status is None or not 400 <= status < 500:
        return Concern.MOMENT
    said = text.lower()
    if status == 404 and _ELSEWHERE in said:
        return Concern.ACCOUNT
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    about_url = _ENDPOINT.search(said) is not None
    if about_url and _OURS.search(said):
        return Concern.ACCOUNT
    if about_url:
        return Concern.ENDPOINT
    return Concern.MESSAGE if _MESSAGE.search(said) else Concern.UNKNOWN
