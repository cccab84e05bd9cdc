"""Signing secrets: a text, or several parts by name, and the keys that a scheme makes of them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import unicodedata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

_USUAL_PARTS = ("secret", "signing_secret", "key")  # what a lone key is called where a scheme names none


class Secret:
    """One of a source's signing secrets.  Its text is never shown.

    Args:
        value: The text, or the parts by name; a text that is a JSON object is parts.  What can't be bytes (a JSON
            string may hold half of a character) counts as absent.
    """

    def __init__(self, value: str | Mapping[str, Any]) -> None:
        self.text: str | None = value if isinstance(value, str) else None
        self.parts: Mapping[str, Any] = {} if isinstance(value, str) else value
        if isinstance(value, str) and value.lstrip().startswith("{"):
            try:
                held = json.loads(value)
            except (ValueError, RecursionError):
                held = None
            if isinstance(held, dict):
                self.text, self.parts = None, held
        if self.text is not None and not _has_bytes(self.text):
            self.text = ""
        self.parts = {name: it for name, it in self.parts.items() if not isinstance(it, str) or _has_bytes(it)}

    def __repr__(self) -> str:
        return "Secret(…)"

    def part(self, name: str) -> str | None:
        """Return the part called *name*; None where there is none.

        Of a secret that is one text, `user:password`, the parts are `username` and `password`.
        """
        if self.text is not None and name in {"username", "password"}:
            username, _, password = self.text.partition(":")
            return (username if name == "username" else password) or None
        value = self.parts.get(name)
        return value if isinstance(value, str) and value else None

    def key_texts(self, names: Sequence[str]) -> list[tuple[int, str]]:
        """Return the texts that keys are made of, each with its index in *names*, the parts that may be keys."""
        if self.text is not None:
            return [(0, self.text)] if self.text else []
        found = [(index, text) for index, name in enumerate(names) if (text := self.part(name))]
        if found:
            return found
        usual = [text for name in _USUAL_PARTS if (text := self.part(name))]
        only = [it for it in self.parts.values() if isinstance(it, str)]
        return [(0, text) for text in usual[:1] or only] if usual or len(only) == 1 else []


def _has_bytes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _base64(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)


def _prefixed(text: str, prefix: str) -> bytes:
    return _base64(text.removeprefix(prefix))


KEYS: dict[str, Callable[[str], bytes]] = {
    "utf8": str.encode,
    "base64": _base64,
    "hex": bytes.fromhex,
    "whsec": lambda text: _prefixed(text, "whsec_"),
    "whsec-or-utf8": lambda text: _prefixed(text, "whsec_") if text.startswith("whsec_") else text.encode(),
    "whpk": lambda text: _prefixed(text, "whpk_"),
    "sha1": lambda text: hashlib.sha1(text.encode()).digest(),  # noqa: S324  # the provider's derivation, not ours
    "nfkd": lambda text: unicodedata.normalize("NFKD", text).encode(),
}
"""How a key is made of a secret's text.  The prefix of `whsec` may be missing: some providers show the bare base64."""
KEY_FORMS = {
    "base64": "base64",
    "hex": "hex digits, two for each byte",
    "whsec": "base64, with or without whsec_ before it",
    "whsec-or-utf8": "base64 where whsec_ stands before it",
    "whpk": "base64, with or without whpk_ before it",
}
"""How the text of a key is written, for a person.  Of the other kinds any text is a key."""


def is_one_of(given: bytes, wanted: Iterable[bytes]) -> bool:
    """Tell whether *given* is one of *wanted*, in a time that doesn't say which, nor how much of it is right."""
    found = False
    for value in wanted:
        found |= hmac.compare_digest(given, value)
    return found


def key_of(kind: str, text: str) -> bytes | None:
    """Return the key that *kind* makes of *text*; None where that can't be."""
    try:
        return KEYS[kind](text) or None
    except (ValueError, binascii.Error, UnicodeError):
        return None
