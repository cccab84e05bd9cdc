"""QStash's side of what sync manages, in this process, and what deploys want there."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from relay.deployment import changes

PIN = {"rate": 20, "period_s": 1, "parallelism": 5}
TICK = {
    "cron": "CRON_TZ=Europe/Berlin 0 3 * * *",
    "destination": "https://relay.example.com/webhooks/nightly",
    "body": "{}",
    "content_type": "application/json",
    "retries": 5,
}


class Account:
    """QStash's side of what sync manages, in this process."""

    def __init__(self, **held: Any) -> None:
        self.held: dict[str, dict[str, Any]] = {kind: deepcopy(held.get(kind, {})) for kind in changes.KINDS}
        self.asked: list[str] = []

    @property
    def resources(self) -> Account:
        """Where a client of QStash has them."""
        return self

    def _named(self, kind: str, prefix: str) -> Any:
        self.asked.append(kind)
        return {name: it for name, it in self.held[kind].items() if name.startswith(prefix)}

    def groups(self, prefix: str) -> Any:
        return self._named("groups", prefix)

    def schedules(self, prefix: str) -> Any:
        return self._named("schedules", prefix)

    def queues(self, prefix: str) -> Any:
        return self._named("queues", prefix)

    def flow_keys(self, prefix: str) -> Any:
        return self._named("flow_controls", prefix)

    def put_endpoints(self, group: str, endpoints: Any) -> None:
        kept = {it["name"]: it for it in self.held["groups"].get(group, [])}
        self.held["groups"][group] = list((kept | {it["name"]: it for it in endpoints}).values())

    def remove_endpoints(self, group: str, endpoints: Any) -> None:
        names = {it["name"] for it in endpoints}
        self.held["groups"][group] = [it for it in self.held["groups"][group] if it["name"] not in names]

    def remove_group(self, group: str) -> None:
        del self.held["groups"][group]

    def put_schedule(self, name: str, schedule: Any) -> None:
        self.held["schedules"][name] = dict(schedule)

    def remove_schedule(self, name: str) -> None:
        del self.held["schedules"][name]

    def put_queue(self, name: str, queue: Any) -> None:
        self.held["queues"][name] = {"lag": 0} | dict(queue)

    def remove_queue(self, name: str) -> None:
        assert not self.held["queues"].pop(name)["lag"], "what waited in it is lost"

    def pin(self, key: str, limits: Any) -> None:
        self.held["flow_controls"][key] = {**self.held["flow_controls"][key], **limits, "pinned": True}

    def unpin(self, key: str) -> None:
        self.held["flow_controls"][key]["pinned"] = False


def key(**limits: Any) -> dict[str, Any]:
    return {"rate": 0, "period_s": 1, "parallelism": 0, "pinned": False} | limits
