"""A scheme in words: how the relay finds duplicates, and the form of the signing secret."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from relay.verification.scheme import JWTS, TOKEN, Row
from relay.verification.secret import KEY_FORMS, Secret, key_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relay.verification.language import RequestTemplate


def identity(row: Mapping[str, Any]) -> str:
    """Return in words how the relay recognizes the same event, from the scheme's row."""
    scheme = Row.of(row)
    hours = scheme.retries_for_s / 3600
    span = f"{hours:.0f} h" if hours >= 1 else f"{scheme.retries_for_s // 60} min"
    without = f"the same body within {span}" if scheme.retries_for_s else "nothing: every request is an event"
    if not scheme.id:
        return without
    unsigned = " (which isn't signed)" if scheme.signs_body and not scheme.signs_id else ""
    return f"its id{unsigned}, else {without}"


_ED25519_BYTES = 32
_P256 = bytes.fromhex("06072a8648ce3d0201" + "06082a8648ce3d030107")  # DER, RFC 5480: id-ecPublicKey, secp256r1
_PEM = ("-----BEGIN ", "ecdsa-sha2-")


def problem_of(value: str, row: Mapping[str, Any]) -> str | None:
    """Return why the scheme can't use the signing secret *value*, such as "it must be base64"; None if it can.

    The form alone is checked: whether the secret is the source's own can't be known.  Nothing of *value* is in the
    answer.

    Args:
        value: The stored value: a text, or several parts as the text of a JSON object.
        row: The scheme as a row of the flat configuration.  A row of another version that can't be read accepts all.
    """
    try:
        scheme = Row.of(row)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    secret = Secret(value)
    form = scheme.special.secret if scheme.special is not None else None
    if form is not None:
        return None if form.fits(secret) else f"it must be {form.words}"
    fields = [field for it in (*scheme.signs, *_templates(scheme)) for field in it.fields]
    named = [it.removeprefix("secret:") for it in fields if it.startswith("secret:")]
    named += [it.part for it in scheme.spots if it.part]
    is_paired = len(scheme.spots) == len(scheme.parts) > 1  # each signature has its own key, which one text can't name
    has_key = not is_paired or any(map(secret.part, scheme.parts))
    if not has_key or not all(map(secret.part, named)):
        return _object_form(dict.fromkeys((*scheme.parts, *named)))
    if scheme.algorithms[0] == TOKEN and "secret" not in fields:
        return None
    texts = [text for _, text in secret.key_texts(scheme.parts)]
    if not texts:
        return "it must be one text" + (f", or {_object_form(dict.fromkeys(scheme.parts))}" if scheme.parts else "")
    return None if all(_is_key(scheme, it) for it in texts) else _key_form(scheme)


def _templates(scheme: Row) -> list[RequestTemplate]:
    return [template for _, template in (*scheme.requires, *scheme.claims)]


def _object_form(names: Mapping[str, None]) -> str:
    shown = ", ".join(f'"{it}": "…"' for it in names)
    either = ", or user:password" if set(names) == {"username", "password"} else ""
    return f"it must be a JSON object like {{{shown}}}{either}"


def _is_key(scheme: Row, text: str) -> bool:
    algorithm = scheme.algorithms[0]
    if algorithm == TOKEN:
        return True
    if algorithm in JWTS:  # the text itself is the key
        return scheme.algorithms != ("jwt-es256",) or text.startswith(_PEM)
    key = key_of(scheme.key, text)
    if key is None:
        return False
    return {"ed25519": len(key) == _ED25519_BYTES, "ecdsa-p256-sha256": _P256 in key}.get(algorithm, True)


def _key_form(scheme: Row) -> str:
    written = KEY_FORMS.get(scheme.key, "text")
    match scheme.algorithms[0]:
        case "ed25519":
            return f"it must be the public key, {_ED25519_BYTES} bytes as {written}"
        case "ecdsa-p256-sha256":
            return f"it must be the public key (P-256, DER) as {written}"
        case "jwt-es256":
            return "it must be the public key (P-256) as PEM"
    return f"it must be {written}"
