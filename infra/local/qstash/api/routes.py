"""Every route of QStash's HTTP API, and which of them count as sending."""

from __future__ import annotations

from . import dead_letters, flow_control, groups, keys, messages, publishing, queues, schedules

ROUTES = [  # method, path (as it is on the wire, undecoded), verb
    *publishing.ROUTES,
    *keys.ROUTES,
    *messages.ROUTES,
    *queues.ROUTES,
    *schedules.ROUTES,
    *flow_control.ROUTES,
    *groups.ROUTES,
    *dead_letters.ROUTES,
]
_SENDING = ("/v2/publish", "/v2/enqueue", "/v2/batch")


def manages(path: str) -> bool:
    """Return whether a call manages rather than sends: only managing calls have a limit per second."""
    return not path.startswith(_SENDING)
