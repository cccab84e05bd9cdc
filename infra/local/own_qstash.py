"""Uses the user's own QStash for a local relay, and protects a deployed relay of the same name.

A relay's URL groups, schedules and queues begin with its name.  If QStash has some before the local relay starts, a
deployed relay may own them: the local one would receive that relay's events, or delete its groups.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx

from infra.local.processes.sandbox import LocalError

if TYPE_CHECKING:
    from collections.abc import Iterator

_KINDS = {"topics": "name", "schedules": "scheduleId", "queues": "name"}


@contextmanager
def borrowed(url: str, token: str, relay: str) -> Iterator[None]:
    """Check that the QStash at *url* has no resources of *relay*; delete those made meanwhile at the end.

    Raises:
        LocalError: QStash has resources of that name, or can't be asked.
    """
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=url, headers=headers, timeout=10) as qstash:
        if found := _resources(qstash, relay):
            names = ", ".join(name for _, name in found[:5])
            raise LocalError(
                f"the QStash at {url} holds {names}, of a relay called {relay} that may be deployed: give the local one"
                " another name ([relay] name), or use the QStash of another account"
            )
        try:
            yield
        finally:
            for kind, name in _resources(qstash, relay):
                qstash.delete(f"/v2/{kind}/{name}")


def _resources(qstash: httpx.Client, relay: str) -> list[tuple[str, str]]:
    """Return kind and name of each URL group, schedule and queue of *relay* in *qstash*."""
    found: list[tuple[str, str]] = []
    try:
        for kind, key in _KINDS.items():
            listed: Any = qstash.get(f"/v2/{kind}").raise_for_status().json() or []
            if not isinstance(listed, list):
                raise LocalError(f"the QStash at {qstash.base_url} can't be asked what it holds: no list of {kind}")
            named = [it.get(key) for it in listed if isinstance(it, dict)]  # objects of others may have any shape
            found += [(kind, name) for name in named if isinstance(name, str) and name.startswith(f"{relay}.")]
    except (httpx.HTTPError, ValueError) as error:
        raise LocalError(f"the QStash at {qstash.base_url} can't be asked what it holds: {error}") from error
    return found
