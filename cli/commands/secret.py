"""`relay secret`: sets, lists and retires tokens and signing secrets; no value is ever printed."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

import click

from cli.terminal.options import CommandError, GlobalOptions, global_options, json_line, note
from relay.config import secret_names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cli.client.secrets import Times

QSTASH = "qstash"
GITHUB_API = "github-api"
DESTINATION = "destination:"  # before the name of a secret in destinations' headers


@click.group()
def secret() -> None:
    """Set, retire and list the relay's secrets; no value is ever printed."""


@secret.command("set")
@click.argument("what", metavar="NAME")
@click.option("--url", metavar="URL", help="For qstash: its region, such as https://qstash-us-east-1.upstash.io.")
@click.option("--replace", is_flag=True, help="Of a source: delete the earlier signing secrets at once.")
@click.option("--force", is_flag=True, help="Don't check the source's name and scheme, nor QStash's answer.")
@global_options
def set_(options: GlobalOptions, what: str, url: str | None, replace: bool, force: bool) -> None:  # noqa: FBT001
    """Set a secret from a prompt without echo, or from standard input.

    NAME is `qstash` or `github-api` (docs/github.md) for a token, a source for its signing secret, or
    `destination:NAME` for a secret in a destination's headers.

    QStash's token is tested before it is stored: at --url, otherwise at the stored URL, otherwise at
    https://qstash.upstash.io (EU).  To return to the EU, give that URL with --url.

    A source's new signing secret is valid beside up to four earlier ones, so nothing is refused while you change the
    secret at the provider.  `relay secret retire` then removes the old ones.  A signing secret of several parts is a
    JSON object of texts: {"username": "…", "password": "…"}.

    If the source is deployed, a secret that its scheme can't use is refused, unless --force is given.
    """
    _check_options(what, url, replace=replace, force=force)
    from cli import new_secret

    if what == QSTASH:
        name, count, changed = new_secret.set_qstash_token(options.name, url, force=force)
    elif what == GITHUB_API:
        name, count, changed = new_secret.set_github_token(options.name)
    elif what.startswith(DESTINATION):
        name, count, changed = new_secret.set_destination_secret(options.name, what)
    else:
        name, count, changed = new_secret.set_signing_secret(options.name, what, replace=replace, force=force)
    if options.as_json:
        json_line({"name": what, "secret": name, "values": count, "changed": changed})
    else:
        from cli.terminal.tables import line

        stay = "stays" if count - 1 == 1 else "stay"
        also = "" if count == 1 else f"; {count - 1} older {stay} valid until `relay secret retire {what}`"
        line(f"{name}: {what} is set{also}" if changed else f"{name}: {what} is unchanged{also}")


@secret.command()
@click.argument("what", metavar="NAME")
@click.option("--all", "all_", is_flag=True, help="The newest too: the source's webhooks are then refused (503).")
@click.option("--yes", is_flag=True, help="Don't ask for confirmation of --all; needed if there is no terminal.")
@global_options
def retire(options: GlobalOptions, what: str, all_: bool, yes: bool) -> None:  # noqa: FBT001
    """Delete a source's older signing secrets; the newest stays.

    Within a minute, webhooks signed with an older one are refused: first change the secret at the provider.  A
    destination's secret (`destination:NAME`) has one value, which --all deletes.
    """
    if what == QSTASH:
        raise click.UsageError("the relay needs QStash's one token: run `relay secret set qstash` to replace it")
    if what == GITHUB_API:
        raise click.UsageError(
            "GitHub's API has one token, no signing secret: remove `reconcile` from relay.toml instead"
        )
    if what.startswith(DESTINATION):
        if not all_:
            raise click.UsageError(f"{what} is one value: `relay secret set {what}` replaces it, --all deletes it")
        _confirm(f"Delete {what}? Nothing is published to destinations that name it until it is set again", yes=yes)
        _retire_destination_secret(options, what)
        return
    if all_:
        _confirm(f"Delete all signing secrets of {what}? Its webhooks are refused until another is set", yes=yes)
    from cli.client import secrets
    from cli.terminal.tables import age_text, line

    name = secret_names.sources(options.name)
    retired, left = secrets.retire(options.name, what, everything=all_)
    if options.as_json:
        json_line({"name": what, "secret": name, "values": len(left), "retired": retired})
    elif left:
        line(f"{name}: {what} has its newest signing secret left, set {age_text(left[0])} ago; {retired} retired")
    else:
        line(f"{name}: {what} has none left: its webhooks are refused (503) until `relay secret set {what}`")


def _retire_destination_secret(options: GlobalOptions, what: str) -> None:
    """Delete the secret *what* of destinations' headers."""
    from cli.client import destination_secrets
    from cli.terminal.tables import line

    destination_secrets.delete(options.name, what)
    name = secret_names.destinations(options.name)
    if options.as_json:
        json_line({"name": what, "secret": name, "values": 0, "retired": 1})
    else:
        line(f"{name}: {what} is deleted")


def _confirm(question: str, *, yes: bool) -> None:
    """Ask *question*, unless --yes is given; a no ends the command."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("--all needs --yes if there is no terminal to ask on")
    click.confirm(question, abort=True, err=True)


@secret.command("list")
@global_options
def list_(options: GlobalOptions) -> None:
    """List the secrets, stored or missing: the number of values of each, and their ages.

    The newest value comes first; a source may sign with any of its values.  No value is printed, not even in part.
    """
    from cli.terminal.tables import Column, age_text, table

    all_times = _times_of_secrets(options.name)
    if options.as_json:
        for name, times in all_times.items():
            made = None if times is None else [it and it.strftime("%Y-%m-%dT%H:%M:%SZ") for it in times]
            json_line({"name": name, "values": None if times is None else len(times), "created_at": made})
        return
    columns = [
        Column("NAME", lambda it: it["name"], whole=True),
        Column("VALUES", lambda it: "?" if it["times"] is None else len(it["times"]) or "none"),
        Column("AGE", lambda it: ", ".join(map(age_text, it["times"] or []))),
    ]
    table(columns, [{"name": name, "times": times} for name, times in all_times.items()])


def _times_of_secrets(relay: str) -> dict[str, Times | None]:
    """Return, by the secret's name, the times at which its values were set; None if the caller may not read them.

    The order is QStash, GitHub if needed or stored, deployed sources, other sources, destinations.

    Raises:
        Denied: The caller may read neither QStash's token nor the signing secrets.
    """
    from cli.client import destination_secrets, secrets
    from cli.client.api import deployed_config
    from cli.client.aws import Denied

    qstash: Times | None = None
    sources: dict[str, Times] | None = None
    denied: list[str] = []
    try:
        qstash = secrets.qstash_times(relay)
    except Denied:
        denied.append(secret_names.qstash(relay))
    try:
        sources = secrets.source_times(relay)
    except Denied:
        if denied:
            raise
        denied.append(secret_names.sources(relay))
    config: Mapping[str, Any] = {}
    problem = None
    try:
        config = deployed_config(relay) or {}
    except CommandError as error:
        problem = error.message
    deployed = config.get("sources", {})
    is_needed = any(it.get("reconcile") for it in deployed.values())
    github: Times | None = None
    try:
        github = secrets.github_times(relay)
    except Denied:
        denied += [secret_names.github(relay)] if is_needed else []
    destinations = destination_secrets.times(relay, destination_secrets.names_in(config), denied)
    for name in denied:
        note(f"the secret {name} can't be shown: your AWS identity may not read it")
    if problem is not None:
        note(f"the deployed configuration can't be read: {problem}")
    shown: dict[str, Times | None] = {QSTASH: qstash} | ({GITHUB_API: github} if github or is_needed else {})
    shown |= {
        name: None if sources is None else sources.get(name, [])
        for name, settings in deployed.items()
        if not settings.get("schedule")
    }
    shown |= {name: times for name, times in sorted((sources or {}).items()) if name not in shown}
    return shown | destinations


def _check_options(what: str, url: str | None, *, replace: bool, force: bool) -> None:
    if not re.fullmatch(rf"({DESTINATION})?[A-Za-z0-9_-]{{1,64}}", what):
        raise click.BadParameter("a source's name is letters, digits, '-' and '_'", param_hint="NAME")
    if what != QSTASH and url is not None:
        raise click.UsageError("--url belongs to `relay secret set qstash`")
    is_one = what in {QSTASH, GITHUB_API} or what.startswith(DESTINATION)
    if is_one and replace:
        raise click.UsageError(f"--replace belongs to a source: the one value of {what} is always replaced")
    if is_one and force and what != QSTASH:
        raise click.UsageError("--force belongs to a source or to qstash")
