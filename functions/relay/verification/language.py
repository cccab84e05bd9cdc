"""The little language of a scheme's row: places and templates.

A **signature** template says where the signature is and what is around it: `Stripe-Signature: t={time},v1={hex}`.
With a *separator* the value is a list of items, and so is the template; unknown items are ignored, any may match.
A **signs** template says which bytes are signed: `{time}.{body}`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from relay.verification.request import PLACES

_ENCODINGS = {
    "hex": r"[0-9a-f]+",
    "HEX": r"[0-9a-fA-F]+",
    "base64": r"[A-Za-z0-9+/]+={0,2}",
    "base64url": r"[A-Za-z0-9_-]+={0,2}",
    "text": r".+",
    "jwt": r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*",
}
_FIELD = re.compile(r"\{([^{}]+)\}")
_HEADER = r"[A-Za-z0-9-]+\*?"
_STEP = r"[^.:|\s]+(?:\.[^.:|\s]+)*"
_ONE_PLACE = rf"(?:{_HEADER}|(?:body|form|query|claim):{_STEP}|{'|'.join(PLACES)})"
PLACE = re.compile(rf"{_ONE_PLACE}(?:\|{_ONE_PLACE})*")
OWN_FIELDS = re.compile(
    r"body|time|url|method|secret(?::[\w-]+)?|body_ascii|body_gunzipped|url_qsh|(?:body|url)_sha256_(?:hex|base64|base64url)"
)


@dataclass(frozen=True)
class Spot:
    """Where signatures stand, and how each looks there.

    Attributes:
        place: A place; a header's name may end in `*`.
        items: What an item may look like; groups `sig`, `time` and `part`.
        part: The part of the secret that group `part` must be.
    """

    place: str
    items: tuple[re.Pattern[str], ...]
    encoding: str
    part: str | None

    @classmethod
    def of(cls, text: str, separator: str | None) -> Spot:
        """Return the spot that the signature template *text* says.

        Raises:
            ValueError: It isn't one.
        """
        place, colon, template = text.partition(": ")
        wrong = ValueError("must look like 'X-Header: prefix{hex}' or 'X-Header: t={time},v1={base64}'")
        if not colon or not PLACE.fullmatch(place) or "|" in place:
            raise wrong
        items = [it.strip() for it in template.split(separator)] if separator else [template]
        encodings = [name for name in _FIELD.findall(template) if name in _ENCODINGS]
        parts = [name.partition(":")[2] for name in _FIELD.findall(template) if name.startswith("secret:")]
        known = {*_ENCODINGS, "time", *(f"secret:{it}" for it in parts)}
        if len(encodings) != 1 or len(parts) > 1 or not set(_FIELD.findall(template)) <= known:
            raise wrong
        if parts and not any("secret:" in it and encodings[0] in it for it in items):
            raise ValueError("must have {secret:…} in the same item as the signature")
        # An HTTP authentication scheme, like Basic or Bearer, is the same in any case.
        flags = re.IGNORECASE if place.lower() == "authorization" else re.NOFLAG
        patterns = tuple(_pattern(it, flags) for it in items)
        return cls(place, patterns, encodings[0], parts[0] if parts else None)


def _pattern(item: str, flags: re.RegexFlag) -> re.Pattern[str]:
    pieces = _FIELD.split(item)
    out = [re.escape(pieces[0])]
    for name, literal in zip(pieces[1::2], pieces[2::2], strict=True):
        if name == "time":
            out.append(r"(?P<time>[^\s,;]+)")
        elif name in _ENCODINGS:
            out.append(f"(?P<sig>{_ENCODINGS[name]})")
        else:
            out.append(r"(?P<part>[^|]+)")
        out.append(re.escape(literal))
    return re.compile("".join(out), re.DOTALL | re.ASCII | flags)


@dataclass(frozen=True)
class RequestTemplate:
    """A text with fields: *literals* are one more than *fields*, and stand around them."""

    literals: tuple[bytes, ...]
    fields: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> RequestTemplate:
        """Return the template that *text* says.

        Raises:
            ValueError: A field is none of the engine's, and no place.
        """
        pieces = _FIELD.split(text)
        for name in pieces[1::2]:
            if not OWN_FIELDS.fullmatch(name) and not PLACE.fullmatch(name):
                raise ValueError(
                    f"has a field {{{name}}} that there isn't: body, time, url, method or a place, like X-Id"
                )
        if "{" in "".join(pieces[::2]) or "}" in "".join(pieces[::2]):
            raise ValueError("has a brace without its other one")
        return cls(tuple(it.encode() for it in pieces[::2]), tuple(pieces[1::2]))
