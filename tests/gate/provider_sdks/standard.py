"""Cases of the schemes by Standard Webhooks, and of those near to it: an id, a time and signatures in three headers."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any

from tests.gate.provider_sdks.families import (
    INVALID,
    JSON_TYPE,
    NOW,
    OPEN,
    VALID,
    Book,
    Headers,
    Scheme,
    about_alphabet,
    about_bodies,
    about_labels,
    about_numbers,
    about_signatures,
    about_times,
    add,
    base64_mac,
    compact,
    encoded,
    made_up,
    plain,
    same_secret,
    utf8,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MESSAGE = "msg_3Zq8vN1kT"

DELEGATING = frozenset({"anthropic", "lithic", "increase", "gitlab-signing-token", "svix-unbranded"})
"""Senders by Standard Webhooks whose SDKs call its library and do nothing of their own."""


def add_all(book: Book) -> None:
    """Add the cases of every scheme of this module."""
    type_of = {"liveblocks": '"type":"storageUpdated",'}
    plain_names = ("standard-webhooks", "svix-unbranded", "openai", "anthropic", "replicate", "liveblocks", "lithic")
    for name in (*plain_names, "increase", "gitlab-signing-token", "svix", "resend", "clerk"):
        secret = "whsec_" + base64.b64encode(made_up(name, 24 if name == "svix" else 32)).decode()
        prefix = "svix" if name in {"svix", "resend", "clerk"} else "webhook"
        lead = type_of.get(name, '"type":"message.created",')
        _about_standard(book, standard(name, secret, decoded, prefix, lead))
    finch = base64.b64encode(made_up("finch")).decode()
    _about_standard(book, standard("finch", finch, decoded, lead='"type":"employment.created",'))
    polar = standard("polar", "polar_whs_MadeUp4Tests", utf8, lead='"type":"organization.updated",')
    _about_standard(book, polar)
    _keys_of_polar(book, polar)
    for name, prefix in (("svix", "webhook"), ("svix-unbranded", "svix"), ("clerk", "webhook"), ("resend", "webhook")):
        secret = "whsec_" + base64.b64encode(made_up(name, 24 if name == "svix" else 32)).decode()
        s = standard(name, secret, decoded, prefix)
        add(book, s, f"names-of-{prefix}", OPEN, s.headers(plain()), plain())
    _signed_by_sdks_of_standard(book)


def standard(name: str, secret: str, key: Callable[[Any], bytes], prefix: str = "webhook", lead: str = "") -> Scheme:
    """Return the scheme of *name*, whose HMAC key *key* makes of a secret."""
    names = [f"{prefix}-{part}" for part in ("id", "timestamp", "signature")]
    if name == "finch":
        names = ["Finch-Event-Id", "Finch-Timestamp", "Finch-Signature"]

    def mac(body: bytes, stamp: str, secret: Any) -> str:
        return base64_mac(key(secret), f"{MESSAGE}.{stamp}.".encode() + body)

    def place(stamp: str, signatures: Sequence[tuple[str, str]]) -> Headers:
        items = " ".join(f"{label},{text}" for label, text in signatures)
        return {**JSON_TYPE, **dict(zip(names, (MESSAGE, stamp, items), strict=True))}

    other = base64.b64encode(made_up(f"another {name}")).decode()
    wrong = f"whsec_{other}" if secret.startswith("whsec_") else other
    macs: dict[str, Any] = {
        "key-is-whole-secret": lambda b, t, s: base64_mac(utf8(s), f"{MESSAGE}.{t}.".encode() + b),
        "key-is-text-after-prefix": lambda b, t, s: base64_mac(
            utf8(s).removeprefix(b"whsec_"), f"{MESSAGE}.{t}.".encode() + b
        ),
        "key-is-empty": lambda b, t, _s: base64_mac(b"", f"{MESSAGE}.{t}.".encode() + b),
        "hash-sha1": lambda b, t, s: base64_mac(key(s), f"{MESSAGE}.{t}.".encode() + b, "sha1"),
        "hash-sha512": lambda b, t, s: base64_mac(key(s), f"{MESSAGE}.{t}.".encode() + b, "sha512"),
        "body-alone-signed": lambda b, _t, s: base64_mac(key(s), b),
        "no-id-signed": lambda b, t, s: base64_mac(key(s), f"{t}.".encode() + b),
        "other-order-signed": lambda b, t, s: base64_mac(key(s), f"{t}.{MESSAGE}.".encode() + b),
        "colons-signed": lambda b, t, s: base64_mac(key(s), f"{MESSAGE}:{t}:".encode() + b),
    }
    if not secret.startswith("whsec_"):
        del macs["key-is-text-after-prefix"]
    if name == "polar":
        del macs["key-is-whole-secret"]
    return Scheme(name, secret, wrong, mac, place, "base64", "v1", lead=lead, other_macs=macs, carried=tuple(names))


def decoded(secret: Any) -> bytes:
    """Return the key of a ``whsec_`` secret."""
    return base64.b64decode(str(secret).removeprefix("whsec_") + "==")


def _about_standard(book: Book, s: Scheme) -> None:
    about_bodies(book, s)
    about_signatures(book, s)
    if s.name in DELEGATING:
        return
    about_alphabet(book, s)
    about_labels(book, s, "v2")
    about_times(book, s, past_s=300, future_s=300)
    about_numbers(book, s)
    body = plain(s.lead)
    right, headers = s.sign(body), dict(s.headers(body))
    message, _, signature = s.carried
    add(book, s, "id-altered", INVALID, {**headers, message: MESSAGE + "x"}, body)
    add(book, s, "id-in-other-case", INVALID, {**headers, message: MESSAGE.upper()}, body)
    shifted = f"{MESSAGE}.{s.then[:4]}"
    add(book, s, "dot-shifted-into-id", INVALID, {**headers, message: shifted, s.carried[1]: s.then[5:]}, body)
    texts = {
        "unlabelled": (INVALID, right),
        "unlabelled-beside-labelled": (OPEN, f"{right} v1,{right}"),
        "labelled-twice": (INVALID, f"v1,v1,{right}"),
        "between-commas": (OPEN, f"v1,{right},v2"),
        "with-equals": (INVALID, f"v1={right}"),
        "separated-by-commas": (INVALID, f"v1,AAAA,v1,{right}"),
        "separated-by-two-blanks": (OPEN, f"v1,AAAA  v1,{right}"),
        "separated-by-tab": (OPEN, f"v1,AAAA\tv1,{right}"),
        "asymmetric-beside": (VALID, f"v1a,{encoded(bytes(64), 'base64')} v1,{right}"),
        "mac-as-asymmetric": (INVALID, f"v1a,{right}"),
        "label-alone": (INVALID, "v1,"),
        "comma-alone": (INVALID, ","),
        "many-wrong": (VALID, "v1,AAAA " * 50 + f"v1,{right}"),
    }
    for name, (meant, text) in texts.items():
        add(book, s, f"header-{name}", meant, {**headers, signature: text}, body)


def _keys_of_polar(book: Book, s: Scheme) -> None:
    secret = "whsec_" + base64.b64encode(made_up("polar decoded")).decode()
    body = plain(s.lead)
    for name, key, meant in (
        ("whsec-as-text", utf8, VALID),
        ("whsec-decoded", decoded, OPEN),
        ("whsec-text-after-prefix", lambda v: utf8(v).removeprefix(b"whsec_"), INVALID),
    ):
        other = same_secret(standard("polar", secret, key), lead=s.lead)
        add(book, other, f"secret-{name}", meant, other.headers(body), body)


def _signed_by_sdks_of_standard(book: Book) -> None:
    for name, module, prefix in (
        ("standard-webhooks", "standardwebhooks", "webhook"),
        ("svix", "svix.webhooks", "svix"),
    ):
        secret = "whsec_" + base64.b64encode(made_up(name, 24 if name == "svix" else 32)).decode()
        signed = (
            import_module(module)
            .Webhook(secret)
            .sign(MESSAGE, datetime.fromtimestamp(NOW - 2, UTC), compact().decode())
        )
        s = standard(name, secret, decoded, prefix)
        add(book, s, "signed-by-its-sdk", VALID, s.place(s.then, [tuple(signed.split(","))]), compact())
