"""A secret as a person types it or pipes it in: how it is read, and which form it must have.  No secret is shown."""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import click

from cli.terminal.options import Failure

SECRET_MAX_CHARS = 4096
PIPED_MAX_BYTES = 65_536  # more than any secret has: the rest isn't read
STRUCTURED = "jwk"  # the one part of a secret that may be an object: Plaid's key


def typed_secret(prompt: str, *, parts: bool) -> str:
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


def check_token(value: str, whose: str) -> None:
    """Raise `Failure` unless *value* has the form of a token alone; *whose* is the service's name."""
    if re.match(r"[\"'`]|Bearer|[A-Z_]+=[^=]", value):
        raise Failure(f"that is more than {whose}'s token: give what stands after = or Bearer, without quotes")
    if not value.isascii() or " " in value:
        raise Failure(f"that is no {whose} token, which has neither spaces nor accents: copy it from {whose} once more")
