"""Checks of a deployed relay in operation, from its own answers: QStash's state, keys, backlog and ledger.

Each check is a generator of findings.  *config* is the answer to GET /v1/config.  `cli.checks` calls them all.
"""

from __future__ import annotations

import shlex
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from cli.client import aws
from cli.finding import Finding
from cli.terminal.options import iso
from cli.terminal.tables import time_text
from relay.errors import RelayError
from relay.model.delivery import Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cli.client.api import Deployed, Stack
    from relay.qstash.client import QStash

    Config = Mapping[str, Any]

WAIT_MAX = timedelta(minutes=5)  # for a pending delivery
DRIFT_CHECK_MAX = timedelta(hours=3)  # the audit checks once an hour, and a deploy may delay it by another


def command(name: str, rest: str) -> str:
    """Return the command `relay rest` for the relay *name*."""
    return f"relay --name {name} {rest}" if name != "relay" else f"relay {rest}"


def reconciled_sources(config: Config) -> list[str]:
    """Return the names of the sources with `reconcile`."""
    return [name for name, settings in config["sources"].items() if settings.get("reconcile")]


def qstash_state(relay: Deployed, config: Config) -> Iterator[Finding]:
    """Have the relay compare its groups, schedules, queues and flow-control pins with QStash's."""
    changes = relay.get("sync")["differs"]
    name = relay.stack.name
    if changes:
        differences = "; ".join(it["change"] for it in changes)
        found = f"differs from the last deploy: {differences}"
        yield Finding("QStash's state", "missing", found, command(name, "sync"))
        return
    found = "matches the last deploy: URL groups, schedules, queues, flow controls"
    at = (config.get("drift") or {}).get("at")
    if at is None:
        yield Finding("QStash's state", "ok", f"{found}; the audit hasn't checked for drift yet")
    elif at >= iso(datetime.now(UTC) - DRIFT_CHECK_MAX):
        yield Finding("QStash's state", "ok", f"{found}; the audit last checked for drift {time_text(at)}")
    else:
        found = f"{found}; but the audit, which checks for drift once an hour, last did so {time_text(at)}"
        todo = f"read the log group that begins with {name}-AuditLogs for the reason"
        yield Finding("QStash's state", "look", found, todo)


def signing_keys(relay: Deployed, qstash: QStash) -> Iterator[Finding]:
    """Compare QStash's signing keys with those in the relay's table."""
    try:
        current, following = qstash.resources.signing_keys()
        known = _stored_keys(relay.stack)
    except RelayError as error:
        yield Finding("signing keys", "skipped", f"can't be compared: {error}")
        return
    if {current, following} <= {known.get("current"), known.get("next")}:
        yield Finding("signing keys", "ok", "the relay has QStash's current key and its next")
    elif current in {known.get("current"), known.get("next")}:
        yield Finding("signing keys", "look", "QStash has rolled its keys: sweep reads the next within a minute")
    else:
        found = "the relay doesn't have QStash's keys, and refuses its calls"
        todo = f"aws lambda invoke --function-name {relay.stack.outputs.get('SweepFunction')} /dev/stdout"
        yield Finding("signing keys", "missing", found, todo)


def _stored_keys(stack: Stack) -> Mapping[str, Any]:
    from relay.storage.store import Store

    outputs = stack.outputs
    store = Store(outputs["TableName"], outputs.get("BucketName", ""), dynamodb=aws.client("dynamodb"))
    return store.deployment.keys()


def orphans(config: Config) -> Iterator[Finding]:
    """Check for reports by QStash about events that the relay doesn't know."""
    count = int(config.get("counts", {}).get("orphans", 0))
    if count:
        found = f"{count} reports of QStash match no event: another relay has the same name, or events expired"
        yield Finding("orphans", "look", found)
    else:
        yield Finding("orphans", "ok", "none: each report of QStash matches an event")


def reconciliation(name: str, config: Config) -> Iterator[Finding]:
    """Check that GitHub redelivered every lost event; no findings if no source has `reconcile`."""
    if not reconciled_sources(config):
        return
    count = int(config.get("counts", {}).get("missing", 0))
    if count:
        found = f"{count} events of GitHub never arrived, though the relay requested them again"
        todo = f"read the log group that begins with {name}-ReconcileLogs for each; docs/github.md says what helps"
        yield Finding("reconciliation", "look", found, todo)
    else:
        yield Finding("reconciliation", "ok", "every requested redelivery arrived")


def quarantine(name: str, config: Config) -> Iterator[Finding]:
    """Check for quarantined requests; no findings if no source has a quarantine."""
    for source, count in config.get("counts", {}).get("quarantined", {}).items():
        check = f"quarantine of {source}"
        if count:
            found = f"{count} requests refused for their signature alone: the source's key may have changed"
            yield Finding(check, "look", found, command(name, f"source quarantine {shlex.quote(source)}"))
        else:
            yield Finding(check, "ok", "empty")


def publishing(name: str, config: Config) -> Iterator[Finding]:
    """Check that no quota of QStash blocks publishing, and no destination is paused."""
    blocked_until = config.get("held_until")
    if blocked_until:
        found = f"a quota of QStash is used up: nothing is published before {blocked_until}; events are kept until then"
        todo = "buy more at console.upstash.com, or wait: the relay resumes by itself"
        yield Finding("publishing", "look", found, todo)
    else:
        yield Finding("publishing", "ok", "no quota of QStash blocks it")
    for destination, pause in sorted(config.get("paused", {}).items()):
        who = pause["by"] or "somebody"
        found = f"paused since {time_text(pause['at'])} by {who}: new deliveries are held"
        todo = command(name, f"destination resume {shlex.quote(destination)}")
        yield Finding(f"destination {destination}", "look", found, todo)


def spool(name: str, config: Config) -> Iterator[Finding]:
    """Check for webhooks that wait in the bucket because the table didn't accept them."""
    spooled = config.get("spool", {})
    if not spooled.get("waiting"):
        yield Finding("spool", "ok", "empty: every webhook is in the table")
        return
    found = f"{spooled['waiting']} webhooks wait in the bucket, the oldest since {time_text(spooled['oldest_at'])}"
    if spooled.get("reason"):
        found += f"; one can't be recorded: {spooled['reason']}"
    todo = f"read the log group that begins with {name}-SweepLogs; sweep records them within a minute or two"
    yield Finding("spool", "look", found, todo)


def ledger(relay: Deployed) -> Iterator[Finding]:
    """Check for deliveries that are unaccounted, unpublishable or pending for long."""
    name = relay.stack.name
    for status, found in (
        (Status.UNACCOUNTED, "there are deliveries whose outcome nobody can tell"),
        (Status.UNPUBLISHABLE, "there are deliveries that can never be published as they are: each has its reason"),
    ):
        if _has_delivery(relay, status=status):
            yield Finding("ledger", "look", found, command(name, f"delivery list --status {status}"))
            return
    if _has_delivery(relay, status=Status.PENDING, until=iso(datetime.now(UTC) - WAIT_MAX)):
        minutes = WAIT_MAX.seconds // 60
        found = f"deliveries have waited over {minutes} min to be published: `relay event show` has the reason"
        yield Finding("ledger", "look", found, command(name, f"delivery list --status {Status.PENDING}"))
        return
    yield Finding("ledger", "ok", "no delivery is unaccounted, unpublishable, or waits long to be published")


def _has_delivery(relay: Deployed, **query: str) -> bool:
    """Return whether a delivery matches; the first pages may be empty."""
    return any(relay.pages("deliveries", 1, **query))
