"""Reads the signatures that a request presents, from the places that the scheme's row names, and decodes them."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from relay.errors import SignatureError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from relay.verification.language import Spot
    from relay.verification.request import InboundRequest
    from relay.verification.scheme import Row

ITEMS_MAX = 100  # signatures of one request that are looked at


@dataclass(frozen=True)
class PresentedSignature:
    """A signature in a request.

    Attributes:
        spot: The index of its spot in the row.
        value: Decoded; of a token or a JWT the bytes of its text.
        part: The text beside it that must be a part of the secret; None: there is none.
    """

    spot: int
    value: bytes
    part: str | None


def presented(row: Row, request: InboundRequest) -> tuple[list[PresentedSignature], str | None]:
    """Return the signatures in *request*, `ITEMS_MAX` of a place at most, and the time among them, if there is one.

    Raises:
        SignatureError: There is no signature, or none that can be read.
    """
    found: list[PresentedSignature] = []
    time: str | None = None
    present = False
    for index, spot in enumerate(row.spots):
        for value in _values(spot, request):
            present = True
            for item in value.split(row.separator)[:ITEMS_MAX] if row.separator else [value]:
                for pattern in spot.items:
                    match = pattern.fullmatch(item.strip())
                    if match is None:
                        continue
                    groups = match.groupdict()
                    time = time or groups.get("time")
                    decoded = _decoded(groups["sig"], spot.encoding) if "sig" in groups else None
                    if decoded is not None:
                        found.append(PresentedSignature(index, decoded, groups.get("part")))
    name = row.spots[0].place
    if not present:
        raise SignatureError(f"{name} is missing", reason="missing_header")
    if not found:
        raise SignatureError(f"{name} is malformed", reason="malformed_header")
    return found, time


def _values(spot: Spot, request: InboundRequest) -> Iterable[str]:
    if spot.place.endswith("*"):
        pattern = spot.place.lower()
        return [value for name, value in request.headers.items() if fnmatchcase(name, pattern)][:ITEMS_MAX]
    value = request.find(spot.place)
    return [] if value is None else [value]


def _decoded(text: str, encoding: str) -> bytes | None:
    """Return the bytes of *text*; None where it isn't their one spelling."""
    if encoding in {"hex", "HEX"}:
        return bytes.fromhex(text) if len(text) % 2 == 0 else None
    if encoding in {"text", "jwt"}:
        return text.encode(errors="replace")
    decode, encode = (
        (base64.b64decode, base64.b64encode)
        if encoding == "base64"
        else (base64.urlsafe_b64decode, base64.urlsafe_b64encode)
    )
    bare = text.rstrip("=")
    padded = bare + "=" * (-len(bare) % 4)
    if encoding == "base64" and text != padded:
        return None
    try:
        decoded = decode(padded)
    except ValueError:
        return None
    return decoded if encode(decoded).decode() == padded else None
