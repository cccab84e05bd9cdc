"""`relay secret`: QStash's token and the sources' signing secrets, which go in and never come out."""

from __future__ import annotations

import re
import sys
from urllib.parse import urlsplit

import click

from cli.command import Asked, Failure, aside, asking, json_line

QSTASH = "qstash"
SECRET_MAX_CHARS = 4096


@click.group()
def secret() -> None:
    """Set the relay's secrets."""


@secret.command("set")
@click.argument("what", metavar="NAME")
@click.option("--url", metavar="URL", help="For qstash: where it is, if not at https://qstash.upstash.io.")
@click.option("--replace", is_flag=True, help="Of a source: forget the signing secret before at once.")
@asking
def set_(asked: Asked, what: str, url: str | None, replace: bool) -> None:  # noqa: FBT001
    """Set a secret, asked for without an echo, or read from standard input.

    NAME is `qstash`, whose token is then set, or a source.  A source's new signing secret is valid beside the one
    before, so that nothing is refused while you change it over there.
    """
    _check(what, url, replace=replace)
    value = _given("QStash token" if what == QSTASH else f"Signing secret of {what}")
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
        also = "" if count == 1 else "; the one before stays valid until the next, or --replace"
        line(f"{name}: {what} is set{also}" if changed else f"{name}: {what} was so already{also}")


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


def _given(prompt: str) -> str:
    """Return the secret that is typed, or piped in (one line end at its end doesn't count)."""
    if sys.stdin.isatty():
        value = str(click.prompt(prompt, hide_input=True, err=True))
    else:
        try:
            value = sys.stdin.buffer.read(2 * SECRET_MAX_CHARS).decode()
        except UnicodeDecodeError:
            raise Failure("the secret isn't UTF-8 text: pipe it in as text") from None
        value = value.removesuffix("\n").removesuffix("\r")
    if not value.strip():
        raise Failure("the secret is empty: type it, or pipe it in")
    if value != value.strip() or not value.isprintable():
        raise Failure("the secret begins or ends with a space, or has a line end or control character: copy it again")
    if len(value) > SECRET_MAX_CHARS:
        raise Failure(f"the secret is longer than {SECRET_MAX_CHARS} characters: this can't be it")
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
