"""`relay secret`: QStash's token and the sources' signing secrets, which go in and never come out."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from cli.command import Asked, Failure, aside, asking, json_line

if TYPE_CHECKING:
    from cli.secrets import Times

QSTASH = "qstash"
SECRET_MAX_CHARS = 4096
PIPED_MAX_BYTES = 65_536  # more than any secret: what is beyond isn't read
STRUCTURED = "jwk"  # the one part of a secret that may be an object: Plaid's key


@click.group()
def secret() -> None:
    """Set, retire and list the relay's secrets; none of them is ever shown."""


@secret.command("set")
@click.argument("what", metavar="NAME")
@click.option("--url", metavar="URL", help="For qstash: where it is, if not at https://qstash.upstash.io.")
@click.option("--replace", is_flag=True, help="Of a source: forget the signing secret before at once.")
@asking
def set_(asked: Asked, what: str, url: str | None, replace: bool) -> None:  # noqa: FBT001
    """Set a secret, asked for without an echo, or read from standard input.

    NAME is `qstash`, whose token is then set, or a source.  A source's new signing secret is valid beside the one
    before, so that nothing is refused while you change it over there; `relay secret retire` then takes the old one
    away.  A signing secret of several parts is a JSON object of texts: {"username": "…", "password": "…"}.
    """
    _check(what, url, replace=replace)
    value = _given("QStash token" if what == QSTASH else f"Signing secret of {what}", parts=what != QSTASH)
    from cli import secrets
    from cli.tables import line

    if what == QSTASH:
        _check_token(value)
        name, count, changed = secrets.qstash_secret(asked.name), 1, secrets.set_qstash(asked.name, value, url)
    else:
        name = secrets.sources_secret(asked.name)
        count, changed = secrets.add_signing_secret(asked.name, what, value, replace=replace)
        if _is_unknown(asked.name, what):
            aside(f"note: the deployed relay {asked.name} has no source {what} yet")
    if asked.as_json:
        json_line({"name": what, "secret": name, "values": count, "changed": changed})
    else:
        also = "" if count == 1 else f"; the one before stays valid until the next, or `relay secret retire {what}`"
        line(f"{name}: {what} is set{also}" if changed else f"{name}: {what} was so already{also}")


@secret.command()
@click.argument("what", metavar="SOURCE")
@click.option("--all", "all_", is_flag=True, help="The newest as well: what the source sends is then refused (503).")
@click.option("--yes", is_flag=True, help="Don't ask whether --all is meant.")
@asking
def retire(asked: Asked, what: str, all_: bool, yes: bool) -> None:  # noqa: FBT001
    """Take away a source's older signing secrets; the newest stays.

    Within a minute, what is signed with an older one is refused: first change the secret at the source.
    """
    if what == QSTASH:
        raise click.UsageError("QStash has one token, and needs it: `relay secret set qstash` replaces it")
    if all_ and not yes and sys.stdin.isatty():
        doubt = f"Take away all signing secrets of {what}? What it sends is refused until another is set"
        click.confirm(doubt, abort=True, err=True)
    from cli import secrets
    from cli.tables import age_text, line

    name = secrets.sources_secret(asked.name)
    retired, left = secrets.retire(asked.name, what, everything=all_)
    if asked.as_json:
        json_line({"name": what, "secret": name, "values": len(left), "retired": retired})
    elif left:
        line(f"{name}: {what} has its newest signing secret left, set {age_text(left[0])} ago; {retired} retired")
    else:
        line(f"{name}: {what} has none left: what it sends is refused (503) until `relay secret set {what}`")


@secret.command("list")
@asking
def list_(asked: Asked) -> None:
    """List the secrets that there are or should be: how many values each has, and how old they are.

    Newest first; a source may sign with any of its own.  No value is shown, nor a part of one.
    """
    from cli.tables import Column, age_text, table

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

    QStash's comes first, then those of the deployed sources, then those of others.

    Raises:
        Denied: The caller may read none of them.
    """
    from cli import secrets
    from cli.aws import Denied

    qstash: Times | None = None
    sources: dict[str, Times] | None = None
    denied: list[str] = []
    try:
        qstash = secrets.qstash_times(relay)
    except Denied:
        denied.append(secrets.qstash_secret(relay))
    try:
        sources = secrets.source_times(relay)
    except Denied:
        if denied:
            raise
        denied.append(secrets.sources_secret(relay))
    for name in denied:
        aside(f"the secret {name} isn't yours to read: what it holds isn't shown")
    deployed = _deployed_sources(relay)
    shown: dict[str, Times | None] = {QSTASH: qstash}
    shown |= {name: None if sources is None else sources.get(name, []) for name in deployed}
    return shown | {name: times for name, times in sorted((sources or {}).items()) if name not in shown}


def _deployed_sources(relay: str) -> list[str]:
    """Return the names of the deployed sources; [] where none are, or they can't be asked for."""
    from cli.deployed import Deployed, find_stack

    try:
        stack = find_stack(relay)
        return [] if stack is None or "RelayUrl" not in stack.outputs else list(Deployed(stack).config()["sources"])
    except Failure as error:
        aside(f"what the relay has been deployed with can't be asked: {error.message}")
        return []


def _check(what: str, url: str | None, *, replace: bool) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", what):
        raise click.BadParameter("a source's name is letters, digits, '-' and '_'", param_hint="NAME")
    if what != QSTASH and url is not None:
        raise click.UsageError("--url belongs to `relay secret set qstash`")
    if what == QSTASH and replace:
        raise click.UsageError("--replace belongs to a source: QStash has one token, which is always replaced")
    try:
        parts = urlsplit(url or "https://qstash.upstash.io")
        good = parts.scheme in {"http", "https"} and parts.hostname and not parts.query and "@" not in parts.netloc
    except ValueError:
        good = False
    if not good:
        raise click.BadParameter("must be like https://qstash.upstash.io", param_hint="--url")


def _given(prompt: str, *, parts: bool) -> str:
    """Return the secret that is typed, or piped in (one line end at its end doesn't count).

    Args:
        parts: It may be a JSON object of several parts, which is then returned in its one canonical form.
    """
    value = str(click.prompt(prompt, hide_input=True, err=True)) if sys.stdin.isatty() else _piped()
    if not value.strip():
        raise Failure("the secret is empty: type it, or pipe it in")
    if parts and value.lstrip().startswith("{"):
        value = _canonical(value)
    if value != value.strip() or not value.isprintable():
        raise Failure("the secret begins or ends with a space, or has a line end or control character: copy it again")
    if len(value) > SECRET_MAX_CHARS:
        raise Failure(f"the secret is longer than {SECRET_MAX_CHARS} characters: this can't be it")
    return value


def _piped() -> str:
    piped = sys.stdin.buffer.read(PIPED_MAX_BYTES + 1)
    if len(piped) > PIPED_MAX_BYTES:
        raise Failure(f"the secret is longer than {SECRET_MAX_CHARS} characters: this can't be it")
    try:
        return piped.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise Failure("the secret isn't UTF-8 text: pipe it in as text") from None


def _canonical(text: str) -> str:
    """Return the JSON object *text* without spaces, its parts in order: the same secret is the same text.

    Raises:
        Failure: It isn't JSON, or its parts aren't texts.
    """
    try:
        value = json.loads(text, object_pairs_hook=_without_doubles)
        canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
        json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair is in no text
    except (ValueError, RecursionError):
        raise Failure(
            "the secret begins with { and isn't a JSON object that has each name once: copy it again, or quote it"
            ' like {"username": "…", "password": "…"}'
        ) from None
    if not value or not all(name and _is_part(name, part) for name, part in value.items()):
        raise Failure(
            "the secret is a JSON object with a part that is empty or no text: each must be a text in quotes (a"
            f" {STRUCTURED} may be an object)"
        )
    return canonical


def _is_part(name: str, part: object) -> bool:
    if isinstance(part, dict):
        return name == STRUCTURED and bool(part)
    return isinstance(part, str) and bool(part.strip())


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a name twice")
    return value


def _check_token(value: str) -> None:
    if not value.isascii() or " " in value:
        raise Failure("that is no QStash token, which has neither spaces nor accents: copy it from QStash's console")


def _is_unknown(relay: str, source: str) -> bool:
    """Tell whether a relay is deployed and surely has no such source; where it can't be asked, nothing is sure."""
    from cli.deployed import find_stack
    from infra.config import output_name

    try:
        stack = find_stack(relay)
    except Failure:
        return False
    return stack is not None and "RelayUrl" in stack.outputs and output_name(source) not in stack.outputs
