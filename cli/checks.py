"""What has to be there for a relay to work, looked at in the order in which it is set up.

Each look is a generator of findings; what can't be looked at, since something before it is missing, is skipped.
"""

from __future__ import annotations

import shlex
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from cli import account, schemes
from cli.client import aws, destination_secrets, qstash_token, secrets
from cli.client.api import Deployed, Stack, find_stack, transport
from cli.finding import Finding, split
from cli.terminal.options import Failure, iso
from cli.terminal.tables import time_text
from relay.config import secret_names
from relay.errors import RelayError
from relay.model.delivery import Status
from relay.qstash.client import QStash
from relay.qstash.http import DEFAULT_URL, QStashHttp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

WAITS_MAX = timedelta(minutes=5)
LOOKED_MAX = timedelta(hours=3)  # an hour from look to look, and an hour in which a deploy may keep it from that


class Examination:
    """Looks at the relay called *name*."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._relay: Deployed | None = None
        self._config: dict[str, Any] | None = None
        self._token = ""
        self._qstash: QStash | None = None

    def findings(self) -> Iterator[Finding]:
        """Yield what each check finds; what a failed one leaves unknown isn't asked for."""
        credentials = account.credentials()
        yield credentials
        steps: tuple[tuple[str, Callable[[], Iterator[Finding]]], ...] = (
            ("secret qstash", self._secret_qstash),
            ("stack", self._look_at_stack),
            ("configuration", self._look_at_config),
            ("signing secrets", self._signing_secrets),
            ("secret github-api", self._secret_github),
            ("secrets of destinations", self._secret_destinations),
            ("Lambda concurrency", self._concurrency),
            ("QStash", self._look_at_qstash),
            ("QStash's state", self._state),
            ("signing keys", self._signing_keys),
            ("orphans", self._orphans),
            ("reconciliation", self._reconciliation),
            ("quarantine", self._quarantine),
            ("publishing", self._publishing),
            ("spool", self._spool),
            ("ledger", self._ledger),
        )
        for check, look in steps:
            if credentials.state != "ok":
                yield Finding(check, "skipped", "needs the AWS credentials")
                continue
            try:
                yield from look()
            except _Skipped as needs:
                yield Finding(check, "skipped", f"needs {needs}")
            except Failure as error:
                yield Finding(check, "missing", *split(error.message))

    def _secret_qstash(self) -> Iterator[Finding]:
        name = secret_names.qstash(self._name)
        token, url = secrets.qstash(self._name)
        if token is None:
            yield Finding("secret qstash", "missing", f"no QStash token in {name}", self._command("secret set qstash"))
            return
        self._token = token
        way = transport(url or DEFAULT_URL)
        if way is not None:
            click.get_current_context().call_on_close(way.close)
        self._qstash = QStash(QStashHttp(token, url or DEFAULT_URL, transport=way))
        yield Finding("secret qstash", "ok", f"a token in {name}")

    def _look_at_stack(self) -> Iterator[Finding]:
        stack = find_stack(self._name)
        if stack is None:
            found = f"no stack {self._name} in {aws.session().region_name}"
            yield Finding("stack", "missing", found, "make deploy")
            yield account.bootstrap()  # which the first deploy needs
            return
        if "RelayUrl" in stack.outputs:
            self._relay = Deployed(stack)
        if stack.steady and self._relay:
            yield Finding("stack", "ok", f"{stack.status}, {self._relay.url}")
        elif stack.status.endswith("_IN_PROGRESS"):
            wait = f"aws cloudformation describe-stack-events --stack-name {self._name}"
            yield Finding("stack", "missing", f"{stack.status}: it isn't done yet", f"wait; watch it with: {wait}")
        elif stack.status in {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED"}:
            found = f"{stack.status}: its first deploy, or its end, failed"
            delete = f"aws cloudformation delete-stack --stack-name {self._name}"
            yield Finding("stack", "missing", found, f"{delete}; then make deploy")
        elif stack.steady:
            found = f"{stack.status}, without an output RelayUrl: no relay"
            yield Finding("stack", "missing", found, "relay --name NAME doctor, with the name in relay.toml")
        else:
            yield Finding("stack", "missing", stack.status, "make deploy")

    def _look_at_config(self) -> Iterator[Finding]:
        if self._relay is None:
            raise _Skipped("the stack")
        self._config = config = self._relay.config()
        counted = ", ".join(f"{it}: {len(config[it])}" for it in ("sources", "destinations"))
        yield Finding("configuration", "ok", f"/v1/config answers ({counted})")

    def _signing_secrets(self) -> Iterator[Finding]:
        if self._config is None:
            raise _Skipped("the configuration")
        held = secrets.all_signing_secrets(self._name)
        for source, settings in self._config["sources"].items():
            if settings.get("schedule"):
                continue  # QStash signs it, with its own keys
            check = f"signing secret of {source}"
            todo = self._command(f"secret set {shlex.quote(source)}")
            problems = [schemes.problem_of(it, settings.get("row")) for it in held.get(source, [])]
            usable = problems.count(None)
            if not problems:
                yield Finding(check, "missing", f"none: the relay refuses what {source} sends", todo)
            elif problems[0] is not None:  # the newest, which the source should sign with
                which = "it" if len(problems) == 1 else "the newest"
                yield Finding(check, "missing", f"{which} can't be used with its scheme: {problems[0]}", todo)
            else:
                unusable = len(problems) - usable
                found = f"{usable}, of which any may sign" if usable > 1 else "one"
                found += f"; {unusable} older can't be used" if unusable else ""
                yield Finding(check, "ok", f"{found}; its URL is {settings['url']}")

    def _secret_github(self) -> Iterator[Finding]:
        """Look for GitHub's token where a source asks for reconciliation; else there is nothing to find."""
        asking = self._reconciled_sources()
        if not asking:
            return
        name = secret_names.github(self._name)
        if secrets.github(self._name) is None:
            found = f"no GitHub token in {name}: what {', '.join(asking)} sent and never came isn't asked for"
            yield Finding("secret github-api", "missing", found, self._command("secret set github-api"))
        else:
            yield Finding("secret github-api", "ok", f"a token in {name}")

    def _secret_destinations(self) -> Iterator[Finding]:
        """Look for the secrets that destinations' own headers name; where none does, there is nothing to find."""
        named = destination_secrets.named(self._config) if self._config else {}
        held = destination_secrets.held(self._name) if named else []
        for what, destinations in named.items():
            if what in held:
                yield Finding(f"secret {what}", "ok", f"in {secret_names.destinations(self._name)}")
            else:
                found = f"none: nothing can be published to {', '.join(destinations)}"
                yield Finding(f"secret {what}", "missing", found, self._command(f"secret set {what}"))

    def _look_at_qstash(self) -> Iterator[Finding]:
        if self._qstash is None:
            raise _Skipped("the secret qstash")
        wrong = qstash_token.trouble(self._token, self._qstash.http.url)
        if wrong is None:
            yield Finding("QStash", "ok", f"{self._qstash.http.url} takes the token")
            return
        todo = wrong.command(self._name) or f"curl -sS {shlex.quote(self._qstash.http.url)}/v2/keys"
        self._qstash = None
        yield Finding("QStash", "missing", wrong.found, todo)

    def _concurrency(self) -> Iterator[Finding]:
        yield account.concurrency(self._name)

    def _state(self) -> Iterator[Finding]:
        """Have the relay compare what it put into QStash with what is there: groups, schedules, queues, pins."""
        relay, config, _ = self._deployed_with_qstash()
        changes = relay.get("sync")["differs"]
        if changes:
            wanting = "; ".join(it["change"] for it in changes)
            yield Finding(
                "QStash's state", "missing", f"differs from what was deployed: {wanting}", self._command("sync")
            )
        else:
            found = "what was deployed: URL groups, schedules, queues, flow controls"
            at = (config.get("drift") or {}).get("at")
            if at is None:
                yield Finding("QStash's state", "ok", f"{found}; the audit hasn't looked for drift yet")
            elif at >= iso(datetime.now(UTC) - LOOKED_MAX):
                yield Finding("QStash's state", "ok", f"{found}; the audit last looked for drift {time_text(at)}")
            else:
                found = f"{found}; but the audit, which looks for drift once an hour, last did so {time_text(at)}"
                todo = f"read the log group that begins with {self._name}-AuditLogs: it says why"
                yield Finding("QStash's state", "look", found, todo)

    def _signing_keys(self) -> Iterator[Finding]:
        relay, _, qstash = self._deployed_with_qstash()
        try:
            current, following = qstash.resources.signing_keys()
            known = self._keys_of(relay.stack)
        except RelayError as error:
            yield Finding("signing keys", "skipped", f"can't be compared: {error}")
            return
        if {current, following} <= {known.get("current"), known.get("next")}:
            yield Finding("signing keys", "ok", "the relay has QStash's current and next")
        elif current in {known.get("current"), known.get("next")}:
            yield Finding("signing keys", "look", "QStash has rolled them: sweep takes the next within a minute")
        else:
            todo = f"aws lambda invoke --function-name {relay.stack.outputs.get('SweepFunction')} /dev/stdout"
            yield Finding("signing keys", "missing", "the relay doesn't have QStash's: it refuses its calls", todo)

    def _keys_of(self, stack: Stack) -> Mapping[str, Any]:
        from relay.storage.store import Store

        outputs = stack.outputs
        store = Store(outputs["TableName"], outputs.get("BucketName", ""), dynamodb=aws.client("dynamodb"))
        return store.deployment.keys()

    def _orphans(self) -> Iterator[Finding]:
        if self._config is None:
            raise _Skipped("the configuration")
        count = int(self._config.get("counts", {}).get("orphans", 0))
        if count:
            found = f"{count} reports of QStash fit no event: another relay of the same name, or expired events"
            yield Finding("orphans", "look", found)
        else:
            yield Finding("orphans", "ok", "none: each report of QStash found its event")

    def _reconciliation(self) -> Iterator[Finding]:
        if self._config is None or not self._reconciled_sources():
            return
        count = int(self._config.get("counts", {}).get("missing", 0))
        if count:
            found = (
                f"{count} events that GitHub sent never came, though they were asked for: the log of reconcile names"
            )
            todo = f"read the log group that begins with {self._name}-ReconcileLogs; docs/github.md says what helps"
            yield Finding("reconciliation", "look", f"{found} each", todo)
        else:
            yield Finding("reconciliation", "ok", "nothing is missing that was asked for in vain")

    def _quarantine(self) -> Iterator[Finding]:
        """Say where something is kept that was refused; where no source asks for that, there is nothing to find."""
        held = {} if self._config is None else self._config.get("counts", {}).get("quarantined", {})
        for source, count in held.items():
            check = f"quarantine of {source}"
            if count:
                found = f"{count} refused for their signature alone: the source's key may be another now"
                yield Finding(check, "look", found, self._command(f"source quarantine {shlex.quote(source)}"))
            else:
                yield Finding(check, "ok", "nothing in it")

    def _publishing(self) -> Iterator[Finding]:
        if self._config is None:
            raise _Skipped("the configuration")
        held_until = self._config.get("held_until")
        if held_until:
            found = f"a quota of QStash is used up: nothing is published before {held_until}; what comes is kept"
            yield Finding("publishing", "look", found, "buy more at console.upstash.com, or wait: it goes on by itself")
        else:
            yield Finding("publishing", "ok", "no quota of QStash holds it")
        for name, said in sorted(self._config.get("paused", {}).items()):
            found = f"paused since {time_text(said['at'])} by {said['by'] or 'somebody'}: what comes for it is held"
            yield Finding(
                f"destination {name}", "look", found, self._command(f"destination resume {shlex.quote(name)}")
            )

    def _ledger(self) -> Iterator[Finding]:
        if self._relay is None:
            raise _Skipped("the stack")
        for status, found in (
            (Status.UNACCOUNTED, "there are deliveries of which nobody can tell what became"),
            (Status.UNPUBLISHABLE, "there are deliveries that can never be published as they are: each says why"),
        ):
            if self._is_any(status=status):
                yield Finding("ledger", "look", found, self._command(f"delivery list --status {status}"))
                return
        waiting_since = iso(datetime.now(UTC) - WAITS_MAX)
        if self._is_any(status=Status.PENDING, until=waiting_since):
            minutes = WAITS_MAX.seconds // 60
            found = f"deliveries have waited over {minutes} min to be published: `relay event show` says why"
            yield Finding("ledger", "look", found, self._command(f"delivery list --status {Status.PENDING}"))
            return
        yield Finding("ledger", "ok", "no delivery is unaccounted, unpublishable, or waits long to be published")

    def _is_any(self, **query: str) -> bool:
        """Tell whether there is such a delivery: the first pages may be empty."""
        return self._relay is not None and any(self._relay.pages("deliveries", 1, **query))

    def _spool(self) -> Iterator[Finding]:
        if self._config is None:
            raise _Skipped("the configuration")
        spool = self._config.get("spool", {})
        if not spool.get("waiting"):
            yield Finding("spool", "ok", "empty: every webhook is in the table")
            return
        found = f"{spool['waiting']} webhooks wait in the bucket, the oldest since {time_text(spool['oldest_at'])}"
        if spool.get("reason"):
            found += f"; one isn't taken in: {spool['reason']}"
        todo = f"read the log group that begins with {self._name}-SweepLogs; they are taken in within a minute or two"
        yield Finding("spool", "look", found, todo)

    def _reconciled_sources(self) -> list[str]:
        sources = {} if self._config is None else self._config["sources"]
        return [name for name, settings in sources.items() if settings.get("reconcile")]

    def _deployed_with_qstash(self) -> tuple[Deployed, dict[str, Any], QStash]:
        if self._relay is None or self._config is None:
            raise _Skipped("the configuration")
        if self._qstash is None:
            raise _Skipped("QStash")
        return self._relay, self._config, self._qstash

    def _command(self, rest: str) -> str:
        return f"relay --name {self._name} {rest}" if self._name != "relay" else f"relay {rest}"


class _Skipped(Exception):
    """A check can't be made, since what it needs is missing; that is told elsewhere."""
