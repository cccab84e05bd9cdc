"""The checks of `relay doctor`, in the order in which a relay is set up.

Each check is a generator of findings.  A check is skipped if an earlier one failed that it needs.  `cli.operation` has
the checks of a relay that is deployed and answers.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import click

from cli import account, operation, schemes
from cli.client import aws, destination_secrets, qstash_token, secrets
from cli.client.api import Deployed, find_stack, transport
from cli.finding import Finding, split
from cli.terminal.options import CommandError
from relay.config import secret_names
from relay.qstash.client import QStash
from relay.qstash.http import DEFAULT_URL, QStashHttp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Checks:
    """The checks of the relay *name*."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._relay: Deployed | None = None
        self._config: dict[str, Any] | None = None
        self._token = ""
        self._qstash: QStash | None = None

    def findings(self) -> Iterator[Finding]:
        """Make each check and yield its findings."""
        credentials = account.credentials()
        yield credentials
        steps: tuple[tuple[str, Callable[[], Iterator[Finding]]], ...] = (
            ("secret qstash", self._secret_qstash),
            ("stack", self._stack),
            ("configuration", self._configuration),
            ("signing secrets", self._signing_secrets),
            ("secret github-api", self._secret_github),
            ("secrets of destinations", self._secret_destinations),
            ("Lambda concurrency", self._concurrency),
            ("QStash", self._qstash_answers),
            ("QStash's state", self._qstash_state),
            ("signing keys", self._signing_keys),
            ("orphans", lambda: operation.orphans(self._needed_config())),
            ("reconciliation", self._reconciliation),
            ("quarantine", self._quarantine),
            ("publishing", lambda: operation.publishing(self._name, self._needed_config())),
            ("spool", lambda: operation.spool(self._name, self._needed_config())),
            ("ledger", lambda: operation.ledger(self._needed_relay())),
        )
        for name, check in steps:
            if credentials.state != "ok":
                yield Finding(name, "skipped", "needs the AWS credentials")
                continue
            try:
                yield from check()
            except _Skipped as needs:
                yield Finding(name, "skipped", f"needs {needs}")
            except CommandError as error:
                yield Finding(name, "missing", *split(error.message))

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

    def _stack(self) -> Iterator[Finding]:
        stack = find_stack(self._name)
        if stack is None:
            found = f"no stack {self._name} in {aws.session().region_name}"
            yield Finding("stack", "missing", found, "make deploy")
            yield account.bootstrap()  # the first deploy needs it
            return
        if "RelayUrl" in stack.outputs:
            self._relay = Deployed(stack)
        if stack.steady and self._relay:
            yield Finding("stack", "ok", f"{stack.status}, {self._relay.url}")
        elif stack.status.endswith("_IN_PROGRESS"):
            wait = f"aws cloudformation describe-stack-events --stack-name {self._name}"
            yield Finding(
                "stack", "missing", f"{stack.status}: the deploy isn't done yet", f"wait; watch it with: {wait}"
            )
        elif stack.status in {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED"}:
            found = f"{stack.status}: the stack's first deploy or its deletion failed"
            delete = f"aws cloudformation delete-stack --stack-name {self._name}"
            yield Finding("stack", "missing", found, f"{delete}; then make deploy")
        elif stack.steady:
            found = f"{stack.status}, but the stack has no output RelayUrl, so it is no relay"
            yield Finding("stack", "missing", found, "relay --name NAME doctor, with the name in relay.toml")
        else:
            yield Finding("stack", "missing", stack.status, "make deploy")

    def _configuration(self) -> Iterator[Finding]:
        self._config = config = self._needed_relay().config()
        counted = ", ".join(f"{it}: {len(config[it])}" for it in ("sources", "destinations"))
        yield Finding("configuration", "ok", f"/v1/config answers ({counted})")

    def _signing_secrets(self) -> Iterator[Finding]:
        config = self._needed_config()
        all_secrets = secrets.all_signing_secrets(self._name)
        for source, settings in config["sources"].items():
            if settings.get("schedule"):
                continue  # QStash signs a schedule's requests with its own keys
            check = f"signing secret of {source}"
            todo = self._command(f"secret set {shlex.quote(source)}")
            problems = [schemes.problem_of(it, settings.get("row")) for it in all_secrets.get(source, [])]
            usable = problems.count(None)
            if not problems:
                yield Finding(check, "missing", f"none: the relay refuses the webhooks of {source}", todo)
            elif problems[0] is not None:  # the newest, with which the source should sign
                which = "the secret" if len(problems) == 1 else "the newest"
                yield Finding(check, "missing", f"{which} can't be used with the scheme: {problems[0]}", todo)
            else:
                unusable = len(problems) - usable
                found = f"{usable}, each of which may sign" if usable > 1 else "one"
                found += f"; {unusable} older can't be used" if unusable else ""
                yield Finding(check, "ok", f"{found}; the source's URL is {settings['url']}")

    def _secret_github(self) -> Iterator[Finding]:
        """Check GitHub's token; no findings if no source has `reconcile`."""
        reconciled = operation.reconciled_sources(self._config) if self._config else []
        if not reconciled:
            return
        name = secret_names.github(self._name)
        if secrets.github(self._name) is None:
            found = f"no GitHub token in {name}: lost events of {', '.join(reconciled)} can't be requested again"
            yield Finding("secret github-api", "missing", found, self._command("secret set github-api"))
        else:
            yield Finding("secret github-api", "ok", f"a token in {name}")

    def _secret_destinations(self) -> Iterator[Finding]:
        """Check the secrets that destinations' headers name; no findings if there are none."""
        named = destination_secrets.names_in(self._config) if self._config else {}
        stored = destination_secrets.names(self._name) if named else []
        for secret, destinations in named.items():
            if secret in stored:
                yield Finding(f"secret {secret}", "ok", f"in {secret_names.destinations(self._name)}")
            else:
                found = f"none: nothing can be published to {', '.join(destinations)}"
                yield Finding(f"secret {secret}", "missing", found, self._command(f"secret set {secret}"))

    def _qstash_answers(self) -> Iterator[Finding]:
        if self._qstash is None:
            raise _Skipped("the secret qstash")
        problem = qstash_token.problem_of(self._token, self._qstash.http.url)
        if problem is None:
            yield Finding("QStash", "ok", f"{self._qstash.http.url} accepts the token")
            return
        todo = problem.command(self._name) or f"curl -sS {shlex.quote(self._qstash.http.url)}/v2/keys"
        self._qstash = None
        yield Finding("QStash", "missing", problem.found, todo)

    def _concurrency(self) -> Iterator[Finding]:
        yield account.concurrency(self._name)

    def _qstash_state(self) -> Iterator[Finding]:
        config, relay = self._needed_config(), self._needed_relay()
        self._needed_qstash()
        return operation.qstash_state(relay, config)

    def _signing_keys(self) -> Iterator[Finding]:
        self._needed_config()
        return operation.signing_keys(self._needed_relay(), self._needed_qstash())

    def _reconciliation(self) -> Iterator[Finding]:
        return iter(()) if self._config is None else operation.reconciliation(self._name, self._config)

    def _quarantine(self) -> Iterator[Finding]:
        return iter(()) if self._config is None else operation.quarantine(self._name, self._config)

    def _needed_relay(self) -> Deployed:
        if self._relay is None:
            raise _Skipped("the stack")
        return self._relay

    def _needed_config(self) -> dict[str, Any]:
        if self._config is None:
            raise _Skipped("the configuration")
        return self._config

    def _needed_qstash(self) -> QStash:
        if self._qstash is None:
            raise _Skipped("QStash")
        return self._qstash

    def _command(self, rest: str) -> str:
        return operation.command(self._name, rest)


class _Skipped(Exception):
    """A check can't be made, because an earlier one failed; its text names that one."""
