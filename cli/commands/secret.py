"""`relay secret`: QStash's token, GitHub's, and the sources' signing secrets, which go in and never come out."""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import click

from cli import schemes
from cli.client.typed_secret import check_token, typed_secret
from cli.terminal.options import Asked, Failure, aside, asking, json_line
from relay.config import secret_names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cli.client.qstash_token import Trouble
    from cli.client.secrets import Times

QSTASH = "qstash"
GITHUB_API = "github-api"
DESTINATION = "destination:"  # before the name of a secret that destinations' own headers hold


@click.group()
def secret() -> None:
    """Set, retire and list the relay's secrets; none of them is ever shown."""


@secret.command("set")
@click.argument("what", metavar="NAME")
@click.option("--url", metavar="URL", help="For qstash: its region, such as https://qstash-us-east-1.upstash.io.")
@click.option("--replace", is_flag=True, help="Of a source: forget the signing secrets before at once.")
@click.option("--force", is_flag=True, help="Whatever the source's name and scheme, and whatever QStash says.")
@asking
def set_(asked: Asked, what: str, url: str | None, replace: bool, force: bool) -> None:  # noqa: FBT001
    """Set a secret, asked for without an echo, or read from standard input.

    NAME is `qstash` or `github-api` (docs/github.md), whose token is then set, `destination:` and the name of a secret
    that a destination's headers have in relay.toml, or a source.

    QStash's token is tried before it is kept: at --url, else where QStash was said to be before, else at
    https://qstash.upstash.io (EU), which --url goes back to.

    A source's new signing secret is valid beside up to four before, so that nothing is refused while you change it
    over there; `relay secret retire` then takes the old ones away.  A signing secret of several parts is a JSON object
    of texts: {"username": "…", "password": "…"}.

    Where the source is deployed, a secret that its scheme can't use is refused, unless --force.
    """
    _check(what, url, replace=replace, force=force)
    if what == QSTASH:
        name, count, changed = _set_token(asked.name, url, force=force)
    elif what == GITHUB_API:
        name, count, changed = _set_github_token(asked.name)
    elif what.startswith(DESTINATION):
        name, count, changed = _set_destination_secret(asked.name, what)
    else:
        name, count, changed = _set_signing_secret(asked.name, what, replace=replace, force=force)
    if asked.as_json:
        json_line({"name": what, "secret": name, "values": count, "changed": changed})
    else:
        from cli.terminal.tables import line

        stay = "stays" if count - 1 == 1 else "stay"
        also = "" if count == 1 else f"; {count - 1} older {stay} valid until `relay secret retire {what}`"
        line(f"{name}: {what} is set{also}" if changed else f"{name}: {what} was so already{also}")


def _set_token(relay: str, given: str | None, *, force: bool) -> tuple[str, int, bool]:
    """Ask for QStash's token and keep it; return the secret's name, its number of values and whether it changed.

    Args:
        given: Where QStash is; None: where it was.
        force: Keep it even where QStash doesn't take it, or can't be asked.
    """
    from cli.client import qstash_token, secrets
    from relay.qstash import regions

    url = None if given is None else qstash_token.url_of(given)
    value = typed_secret("QStash token", parts=False)
    qstash_token.check_form(value)
    check_token(value, "QStash")
    kept = secrets.qstash(relay)[1]
    trouble = qstash_token.trouble(value, url or kept or regions.REGIONS["EU"])
    if trouble is not None and not force:
        raise Failure(f"{trouble.found}: {_mend(trouble)}")
    if trouble is not None:
        aside(f"note: {trouble.found}; it is kept all the same")
    if url is None and kept is not None:
        aside(f"note: QStash stays at {kept}; --url {regions.REGIONS['EU']} goes back to where it is by default")
    where = "" if url == regions.REGIONS["EU"] else url
    return secret_names.qstash(relay), 1, secrets.set_qstash(relay, value, where)


def _mend(trouble: Trouble) -> str:
    from relay.qstash import regions

    if trouble.region is not None:
        return f"add --url {regions.REGIONS[trouble.region]}"
    if trouble.is_refusal:
        return "copy QSTASH_TOKEN from QStash's console once more, of the region that --url says"
    return "check the network, HTTPS_PROXY and --url, or keep it untried with --force"


def _set_github_token(relay: str) -> tuple[str, int, bool]:
    """Ask for a token for GitHub's API and keep it; return what `_set_token` does."""
    value = typed_secret("GitHub token", parts=False)
    check_token(value, "GitHub")
    from cli.client import secrets

    return secret_names.github(relay), 1, secrets.set_github(relay, value)


def _set_destination_secret(relay: str, what: str) -> tuple[str, int, bool]:
    """Ask for a secret of destinations' headers and keep it; return what `_set_token` does."""
    value = typed_secret(f"The secret {what}", parts=False)
    if not value.isascii():
        raise Failure("the secret has characters that no header takes: copy it again")
    from cli.client import destination_secrets

    changed = destination_secrets.keep(relay, what, value)
    config: Mapping[str, Any] | None = None
    with suppress(Failure):  # it is kept; `relay doctor` tells the rest
        config = _deployed(relay)
    if config is not None and what not in destination_secrets.named(config):
        aside(f"note: no destination of the deployed relay {relay} names {what} yet")
    return secret_names.destinations(relay), 1, changed


def _set_signing_secret(relay: str, source: str, *, replace: bool, force: bool) -> tuple[str, int, bool]:
    """Ask for a signing secret and keep it; return the secret's name, how many *source* has, whether that changed."""
    deployed: Mapping[str, Any] | None = None
    trouble = None
    try:
        deployed = _deployed_sources(relay)
    except Failure as error:
        trouble = error.message
    if deployed is not None:
        _check_is_no_schedule(source, deployed)
    if deployed is not None and not force:
        _check_name(relay, source, deployed)
    value = typed_secret(f"Signing secret of {source}", parts=True)
    if deployed is not None and not force:
        _check_form(source, value, deployed)
    from cli.client import secrets
    from cli.terminal.tables import age_text

    count, changed, dropped = secrets.add_signing_secret(relay, source, value, replace=replace)
    for time in dropped:
        most = f"{source} keeps {secrets.VALUES_MAX} signing secrets"
        aside(f"note: {most}: the oldest, set {age_text(time)} ago, is dropped, and what it signs refused")
    if trouble is not None:
        aside(
            f"note: whether the relay can use it isn't known: what it has been deployed with can't be asked: {trouble}"
        )
    if deployed is not None and source not in deployed:
        aside(f"note: the deployed relay {relay} has no source {source} yet")
    return secret_names.sources(relay), count, changed


@secret.command()
@click.argument("what", metavar="NAME")
@click.option("--all", "all_", is_flag=True, help="The newest as well: what the source sends is then refused (503).")
@click.option("--yes", is_flag=True, help="Don't ask whether --all is meant; without a terminal it must be said.")
@asking
def retire(asked: Asked, what: str, all_: bool, yes: bool) -> None:  # noqa: FBT001
    """Take away a source's older signing secrets; the newest stays.

    Within a minute, what is signed with an older one is refused: first change the secret at the source.  A secret of
    destinations (`destination:NAME`) has one value, which --all takes away.
    """
    if what == QSTASH:
        raise click.UsageError("QStash has one token, and needs it: `relay secret set qstash` replaces it")
    if what == GITHUB_API:
        raise click.UsageError(
            "GitHub's API has one token, no signing secret: take `reconcile` out of relay.toml instead"
        )
    if what.startswith(DESTINATION):
        if not all_:
            raise click.UsageError(f"{what} is one value: `relay secret set {what}` replaces it, --all takes it away")
        _confirm(f"Take away {what}? Nothing is published to destinations that name it until it is set again", yes=yes)
        _take_away(asked, what)
        return
    if all_:
        _confirm(f"Take away all signing secrets of {what}? What it sends is refused until another is set", yes=yes)
    from cli.client import secrets
    from cli.terminal.tables import age_text, line

    name = secret_names.sources(asked.name)
    retired, left = secrets.retire(asked.name, what, everything=all_)
    if asked.as_json:
        json_line({"name": what, "secret": name, "values": len(left), "retired": retired})
    elif left:
        line(f"{name}: {what} has its newest signing secret left, set {age_text(left[0])} ago; {retired} retired")
    else:
        line(f"{name}: {what} has none left: what it sends is refused (503) until `relay secret set {what}`")


def _take_away(asked: Asked, what: str) -> None:
    """Take away a secret that destinations' headers name."""
    from cli.client import destination_secrets
    from cli.terminal.tables import line

    destination_secrets.take_away(asked.name, what)
    name = secret_names.destinations(asked.name)
    if asked.as_json:
        json_line({"name": what, "secret": name, "values": 0, "retired": 1})
    else:
        line(f"{name}: {what} is taken away")


def _confirm(doubt: str, *, yes: bool) -> None:
    """Ask whether --all is meant, unless that is said."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("--all needs --yes where there is no terminal to ask on")
    click.confirm(doubt, abort=True, err=True)


@secret.command("list")
@asking
def list_(asked: Asked) -> None:
    """List the secrets that there are or should be: how many values each has, and how old they are.

    Newest first; a source may sign with any of its own.  No value is shown, nor a part of one.
    """
    from cli.terminal.tables import Column, age_text, table

    held = _held(asked.name)
    if asked.as_json:
        for name, times in held.items():
            made = None if times is None else [it and it.strftime("%Y-%m-%dT%H:%M:%SZ") for it in times]
            json_line({"name": name, "values": None if times is None else len(times), "created_at": made})
        return
    columns = [
        Column("NAME", lambda it: it["name"], whole=True),
        Column("VALUES", lambda it: "?" if it["times"] is None else len(it["times"]) or "none"),
        Column("AGE", lambda it: ", ".join(map(age_text, it["times"] or []))),
    ]
    table(columns, [{"name": name, "times": times} for name, times in held.items()])


def _held(relay: str) -> dict[str, Times | None]:
    """Return, by name, when the values of each secret were set; None where the caller may not know.

    QStash's comes first, then GitHub's where it is needed or there, then those of the deployed sources, then those of
    others, then those of destinations.

    Raises:
        Denied: The caller may read none of them.
    """
    from cli.client import destination_secrets, secrets
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
    trouble = None
    try:
        config = _deployed(relay) or {}
    except Failure as error:
        trouble = error.message
    deployed = config.get("sources", {})
    is_needed = any(it.get("reconcile") for it in deployed.values())
    github: Times | None = None
    try:
        github = secrets.github_times(relay)
    except Denied:
        denied += [secret_names.github(relay)] if is_needed else []
    destinations = destination_secrets.times(relay, destination_secrets.named(config), denied)
    for name in denied:
        aside(f"the secret {name} isn't yours to read: what it holds isn't shown")
    if trouble is not None:
        aside(f"what the relay has been deployed with can't be asked: {trouble}")
    shown: dict[str, Times | None] = {QSTASH: qstash} | ({GITHUB_API: github} if github or is_needed else {})
    shown |= {
        name: None if sources is None else sources.get(name, [])
        for name, it in deployed.items()
        if not it.get("schedule")
    }
    shown |= {name: times for name, times in sorted((sources or {}).items()) if name not in shown}
    return shown | destinations


def _deployed_sources(relay: str) -> Mapping[str, Any] | None:
    """Return the deployed sources by name; None where no relay is deployed.

    Raises:
        Failure: They can't be asked for.
    """
    config = _deployed(relay)
    return None if config is None else config["sources"]


def _deployed(relay: str) -> dict[str, Any] | None:
    """Return what is deployed, as /v1/config tells it; None where no relay is.

    Raises:
        Failure: It can't be asked for.
    """
    from cli.client.api import Deployed, find_stack

    stack = find_stack(relay)
    if stack is None or "RelayUrl" not in stack.outputs:
        return None
    return Deployed(stack).config()


def _check_name(relay: str, source: str, deployed: Mapping[str, Any]) -> None:
    """Raise where *source* isn't deployed, and its name looks like a slip of one that is."""
    near = [] if source in deployed else get_close_matches(source, deployed, 1)
    if near:
        raise Failure(
            f"the deployed relay {relay} has no source {source}: did you mean {near[0]}? If {source} is yet to be"
            " deployed, add --force"
        )


def _check_is_no_schedule(source: str, deployed: Mapping[str, Any]) -> None:
    if deployed.get(source, {}).get("schedule"):
        raise Failure(
            f"{source} is a schedule: QStash alone posts to it, and signs with its own keys, which the relay reads by"
            " itself: there is no secret to set"
        )


def _check_form(source: str, value: str, deployed: Mapping[str, Any]) -> None:
    """Raise where the scheme of *source* can't use *value*."""

    problem = schemes.problem_of(value, deployed[source].get("row")) if source in deployed else None
    if problem is not None:
        raise Failure(
            f"the secret can't be used with the scheme of {source}: {problem} (docs/schemes.md, What a secret looks"
            " like): copy it again, or store it anyway with --force"
        )


def _check(what: str, url: str | None, *, replace: bool, force: bool) -> None:
    if not re.fullmatch(rf"({DESTINATION})?[A-Za-z0-9_-]{{1,64}}", what):
        raise click.BadParameter("a source's name is letters, digits, '-' and '_'", param_hint="NAME")
    if what != QSTASH and url is not None:
        raise click.UsageError("--url belongs to `relay secret set qstash`")
    is_one = what in {QSTASH, GITHUB_API} or what.startswith(DESTINATION)
    if is_one and replace:
        raise click.UsageError(f"--replace belongs to a source: {what} is one value, which is always replaced")
    if is_one and force and what != QSTASH:
        raise click.UsageError("--force belongs to a source, and to qstash")
