"""Reads a secret from a prompt or from standard input, and checks its form.  No secret is printed."""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import click

from cli.terminal.options import CommandError

SECRET_MAX_CHARS = 4096
PIPED_MAX_BYTES = 65_536  # longer than any secret; the rest isn't read
STRUCTURED = "jwk"  # the one part of a secret that may be an object: Plaid's key


def typed_secret(prompt: str, *, parts: bool) -> str:
    """Read a secret from a prompt without echo, or from standard input, without a line end at its end.

    Args:
        prompt: The text of the prompt.
        parts: Accept a JSON object of several parts, and return its canonical form.

    Raises:
        CommandError: The secret is empty or too long, or has another wrong form.
    """
    value = str(click.prompt(prompt, hide_input=True, err=True)) if sys.stdin.isatty() else _piped()
    if not value.strip():
        raise CommandError("the secret is empty: type it, or pipe it in")
    if parts and value.lstrip().startswith("{"):
        value = _canonical(value)
    if value != value.strip() or not value.isprintable():
        raise CommandError(
            "the secret begins or ends with a space, or has a line end or control character: copy it again"
        )
    if len(value) > SECRET_MAX_CHARS:
        raise CommandError(f"the secret is longer than {SECRET_MAX_CHARS} characters: copy it again")
    return value


def _piped() -> str:
    piped = sys.stdin.buffer.read(PIPED_MAX_BYTES + 1)
    if len(piped) > PIPED_MAX_BYTES:
        raise CommandError(f"the secret is longer than {SECRET_MAX_CHARS} characters: copy it again")
    try:
        return piped.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise CommandError("the secret isn't UTF-8 text: pipe it in as text") from None


def _canonical(text: str) -> str:
    """Return the JSON object *text* without spaces and with its names in order, so that equal secrets are equal texts.

    Raises:
        CommandError: *text* isn't JSON, or its parts aren't texts.
    """
    try:
        value = json.loads(text, object_pairs_hook=_without_doubles)
        canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
        json.dumps(value, ensure_ascii=False).encode()  # refuses half a surrogate pair
    except (ValueError, RecursionError):
        raise CommandError(
            "the secret begins with { and isn't a JSON object that has each name once: copy it again, or quote it"
            ' like {"username": "…", "password": "…"}'
        ) from None
    if not value or not all(name and _is_part(name, part) for name, part in value.items()):
        raise CommandError(
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


def check_token(value: str, whose: str) -> None:
    """Raise `CommandError` unless *value* has the form of a token alone; *whose* is the service's name."""
    if re.match(r"[\"'`]|Bearer|[A-Z_]+=[^=]", value):
        raise CommandError(f"that is more than {whose}'s token: give the part after = or Bearer, without quotes")
    if not value.isascii() or " " in value:
        raise CommandError(
            f"that is no {whose} token: a token has neither spaces nor accents: copy it from {whose} once more"
        )
