"""What a refusal of QStash concerns, since that decides who waits for what.  Hides QStash's words for it.

Most of it says the status.  A 400, a 412 or a 422 may be about the message, which stays as it is, or about an endpoint,
which may be mended: that only the text tells.  A text that isn't known decides nothing for good.
"""

from __future__ import annotations

import re
from enum import StrEnum


class Concern(StrEnum):
    """Whom a refusal concerns."""

    MESSAGE = "message"  # this one, whatever becomes of anything else: it is never taken
    ENDPOINT = "endpoint"  # where it goes: a name that doesn't resolve, an address that isn't public
    ACCOUNT = "account"  # the token, the bill, the relay's own URL: its owner's to mend, and all wait
    MOMENT = "moment"  # nobody: it passes, and all wait
    PLACE = "place"  # a URL group or queue that isn't there: a sync's to mend, and others don't wait
    UNKNOWN = "unknown"  # it took nothing, and why is new to us


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

# Texts of production, as people have reported them; the words beside them say the same in other ways.
_ELSEWHERE = (
    "not found in this region"  # the token is of another one: `user (…) not found in this region (eu-central-1)`
)
_OURS = re.compile(r"callback")  # its URL is the relay's own
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
