"""The lasting resources of a QStash account, which sync maintains: URL groups, schedules, queues, flow controls.

Others may use the account, too, and their resources may have any shape: the relay reads only the names of those.
QStash leaves out a field without a value, so every field but the name may be missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from relay.errors import QStashError
from relay.qstash.http import decoded, reading

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from relay.qstash.http import QStashHttp


class Resources:
    """Reads and changes the resources of the account that *http* calls, and reads its signing keys."""

    def __init__(self, http: QStashHttp) -> None:
        self._http = http

    def signing_keys(self) -> tuple[str, str]:
        """Return the current and the next signing key."""
        answer = self._http.call("GET", "/v2/keys")
        with reading():
            return answer["current"], answer["next"]

    def _named(self, path: str, key: str, prefix: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield the names and the resources at *path* whose name, the field *key*, begins with *prefix*."""
        answer = self._http.call("GET", path) or []
        if not isinstance(answer, list):
            raise QStashError("the answer has a form that QStash's don't have")
        for one in answer:
            name = one.get(key) if isinstance(one, dict) else None
            if isinstance(name, str) and name.startswith(prefix):
                yield name, one

    def groups(self, prefix: str) -> dict[str, list[dict[str, str]]]:
        """Return the endpoints of each URL group whose name begins with *prefix*: `url`, and `name` if there is one."""
        with reading():
            return {
                name: [
                    {part: one[part] for part in ("name", "url") if one.get(part)}
                    for one in group.get("endpoints") or []
                ]
                for name, group in self._named("/v2/topics", "name", prefix)
            }

    def put_endpoints(self, group: str, endpoints: Sequence[Mapping[str, str]]) -> None:
        """Add *endpoints* to *group*, and make the group if it is missing; an endpoint of a known name gets its URL."""
        self._http.call("POST", f"/v2/topics/{quote(group)}/endpoints", json={"endpoints": list(endpoints)})

    def remove_endpoints(self, group: str, endpoints: Sequence[Mapping[str, str]]) -> None:
        """Remove *endpoints* from *group*; an empty group vanishes, and a missing group is fine."""
        path = f"/v2/topics/{quote(group)}/endpoints"
        self._http.call("DELETE", path, json={"endpoints": list(endpoints)}, absent_is_fine=True)

    def remove_group(self, group: str) -> None:
        """Delete *group*; one that isn't there is fine."""
        self._http.call("DELETE", f"/v2/topics/{quote(group)}", absent_is_fine=True)

    def schedules(self, prefix: str) -> dict[str, dict[str, Any]]:
        """Return the schedules by id, for *prefix*: `cron`, `destination`, `body`, `content_type`, `retries`."""
        with reading():
            return {name: _schedule(it) for name, it in self._named("/v2/schedules", "scheduleId", prefix)}

    def put_schedule(self, name: str, wanted: Mapping[str, Any]) -> None:
        """Make or change the schedule *name* with the *wanted* fields; a paused one stays paused."""
        headers = {
            "Upstash-Cron": wanted["cron"],
            "Upstash-Schedule-Id": name,
            "Upstash-Retries": str(wanted["retries"]),
            "Upstash-Method": "POST",
            "Upstash-Label": name,
            "Content-Type": wanted["content_type"],
        }
        self._http.call(
            "POST", f"/v2/schedules/{wanted['destination']}", content=wanted["body"].encode(), headers=headers
        )

    def remove_schedule(self, name: str) -> None:
        """Delete the schedule *name*; one that isn't there is fine."""
        self._http.call("DELETE", f"/v2/schedules/{quote(name)}", absent_is_fine=True)

    def queues(self, prefix: str) -> dict[str, dict[str, Any]]:
        """Return the queues whose names begin with *prefix*: `parallelism`, `paused` and `lag`, the waiting messages.

        QStash may give a `lag` of 0 while messages wait.
        """
        with reading():
            return {name: _queue(it) for name, it in self._named("/v2/queues", "name", prefix)}

    def put_queue(self, name: str, wanted: Mapping[str, Any]) -> None:
        """Make the queue *name*, or change its `parallelism` and whether it is `paused`."""
        queue = {"queueName": name, "parallelism": int(wanted["parallelism"]), "paused": wanted["paused"]}
        self._http.call("POST", "/v2/queues", json=queue)

    def remove_queue(self, name: str) -> None:
        """Delete the queue *name* with all waiting messages."""
        self._http.call("DELETE", f"/v2/queues/{quote(name)}", absent_is_fine=True)

    def flow_keys(self, prefix: str) -> dict[str, dict[str, Any]]:
        """Return the flow-control keys that begin with *prefix*: `rate`, `period_s`, `parallelism`, `pinned`."""
        with reading():
            return {name: _flow_key(it) for name, it in self._named("/v2/flowControl", "flowControlKey", prefix)}

    def pin(self, key: str, limits: Mapping[str, int]) -> None:
        """Pin *limits* of a flow-control key, so that no publish changes them; one that isn't there is fine."""
        names = {"rate": "rate", "period_s": "period", "parallelism": "parallelism"}
        params = {names[it]: int(value) for it, value in limits.items()}
        self._http.call("POST", f"/v2/flowControl/{quote(key)}/pin", params=params, absent_is_fine=True)

    def unpin(self, key: str) -> None:
        """Let publishes set the limits of a flow-control key again."""
        params = {"parallelism": "true", "rate": "true"}
        self._http.call("POST", f"/v2/flowControl/{quote(key)}/unpin", params=params, absent_is_fine=True)


def _schedule(schedule: Mapping[str, Any]) -> dict[str, Any]:
    types = [value for name, value in (schedule.get("header") or {}).items() if name.lower() == "content-type"]
    return {
        "cron": schedule.get("cron"),
        "destination": schedule.get("destination"),
        "body": schedule["body"]
        if schedule.get("body") is not None
        else decoded(schedule.get("bodyBase64")).decode(errors="replace"),
        "content_type": types[0][0] if types else None,
        "retries": schedule.get("retries"),
    }


def _queue(queue: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "parallelism": queue.get("parallelism"),
        "paused": bool(queue.get("paused")),
        "lag": int(queue.get("lag") or 0),
    }


def _flow_key(key: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "rate": key.get("rateMax"),
        "period_s": key.get("ratePeriod"),
        "parallelism": key.get("parallelismMax"),
        "pinned": bool(key.get("isPinnedParallelism") or key.get("isPinnedRate")),
    }
