"""A QStash that isn't ours, for the while that a local relay uses it: nothing of anybody's is there before or after.

A relay's groups, schedules and queues have its name in QStash.  Where there are some already, a relay of that name may
be deployed: a local one would join its groups, and get, or take away, what is meant for it.
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
    """Have the QStash at *url* hold nothing of the relay called *relay* before and after.

    Raises:
        LocalError: It holds something of that name, or can't be asked.
    """
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=url, headers=headers, timeout=10) as qstash:
        if found := _held(qstash, relay):
            names = ", ".join(name for _, name in found[:5])
            raise LocalError(
                f"the QStash at {url} holds {names}, of a relay called {relay} that may be deployed: give the local one"
                " another name ([relay] name), or use the QStash of another account"
            )
        try:
            yield
        finally:
            for kind, name in _held(qstash, relay):
                qstash.delete(f"/v2/{kind}/{name}")


def _held(qstash: httpx.Client, relay: str) -> list[tuple[str, str]]:
    """Return what *qstash* holds of *relay*: kinds and names."""
    found: list[tuple[str, str]] = []
    try:
        for kind, key in _KINDS.items():
            listed: Any = qstash.get(f"/v2/{kind}").raise_for_status().json() or []
            if not isinstance(listed, list):
                raise LocalError(f"the QStash at {qstash.base_url} can't be asked what it holds: no list of {kind}")
            named = [it.get(key) for it in listed if isinstance(it, dict)]  # what others have may have any shape
            found += [(kind, name) for name in named if isinstance(name, str) and name.startswith(f"{relay}.")]
    except (httpx.HTTPError, ValueError) as error:
        raise LocalError(f"the QStash at {qstash.base_url} can't be asked what it holds: {error}") from error
    return found
