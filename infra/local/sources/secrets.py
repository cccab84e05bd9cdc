"""Made-up signing secrets of a scheme: the part that its provider shows the customer, and the part that it keeps."""

from __future__ import annotations

import base64
import json
import secrets
from typing import TYPE_CHECKING, Any

from infra.local.sources.private_key import PRIVATE
from infra.local.sources.special import signer_of
from relay.verification.scheme import PUBLIC_KEYS, TOKEN, Row

if TYPE_CHECKING:
    from collections.abc import Mapping

ASYMMETRIC = (*PUBLIC_KEYS, "jwt-es256")
_OF_HANDSHAKES = {"meta": ("verify_token",)}  # parts that no signature needs


def made_up(row: Mapping[str, Any]) -> str:
    """Return a signing secret in the form of the scheme *row*, as text to be stored: a JSON object where it has parts.

    Where a private key signs, the secret holds that as well, to play the source with.
    """
    wanted = Row.of(row)
    algorithm = wanted.algorithms[0]
    if (special := signer_of(wanted).made_up) is not None:
        held = special()
        return held if isinstance(held, str) else _stored(held)
    if algorithm in ASYMMETRIC:
        return _stored(_pair(wanted))
    names = _names(wanted)
    if not names or names == wanted.parts:
        shown = [_key_text(wanted.key) for _ in names or "k"]
        return shown[0] if len(shown) == 1 else _stored(dict(zip(names, shown, strict=True)))
    keys = wanted.parts
    if not keys and (algorithm != TOKEN or any(field == "secret" for it in wanted.signs for field in it.fields)):
        keys = ("secret",)
    parts = {name: _key_text(wanted.key) for name in keys}
    return _stored(parts | {name: _key_text("utf8") for name in names if name not in parts})


def _names(row: Row) -> tuple[str, ...]:
    """Return the parts of the secret that *row* names, those that may be the key first."""
    templates = (*row.signs, *(it for _, it in row.requires), *(it for _, it in row.claims))
    named = [field.partition(":")[2] for it in templates for field in it.fields if field.startswith("secret:")]
    of_spots = [it.part for it in row.spots if it.part]
    return tuple(dict.fromkeys((*row.parts, *named, *of_spots, *_OF_HANDSHAKES.get(row.handshake or "", ()))))


def _key_text(kind: str) -> str:
    match kind:
        case "hex":
            return secrets.token_hex(32).upper()
        case "base64":
            return base64.b64encode(secrets.token_bytes(32)).decode()
        case "whsec" | "whsec-or-utf8":
            return "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
    return secrets.token_urlsafe(24)


def _pair(row: Row) -> dict[str, object]:
    """Return a public key under the name by which the engine finds it, and its private key."""
    from infra.local.sources import keys

    pair = keys.new_ed25519() if row.algorithms[0] == "ed25519" else keys.new_p256()
    shown = base64.b64encode(pair.public).decode()
    if row.algorithms[0] == "jwt-es256":
        shown = keys.public_pem(pair.private_pem)
    elif row.key == "hex":
        shown = pair.public.hex()
    elif row.key == "whpk":
        shown = f"whpk_{shown}"
    return {row.parts[0] if row.parts else "key": shown, PRIVATE: pair.private_pem}


def _stored(parts: Mapping[str, object]) -> str:
    """Return *parts* in the form in which `relay secret set` stores them."""
    return json.dumps(parts, sort_keys=True, separators=(",", ":"))
