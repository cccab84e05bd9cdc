"""Cases of the schemes of a time and signatures in one header: ``t=…,v1=…``."""

from __future__ import annotations

import base64
import hashlib
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
    about_bodies,
    about_labels,
    about_numbers,
    about_signatures,
    about_times,
    add,
    base64_mac,
    compact,
    encoded,
    hex_mac,
    made_up,
    milliseconds,
    plain,
    utf8,
)
from tests.gate.provider_sdks.standard import decoded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def add_all(book: Book) -> None:
    """Add the cases of every scheme of this module."""
    limits: list[tuple[Scheme, str, int | None, int | None]] = [
        (_labelled("stripe", "Stripe-Signature", "whsec_made_up_4_tests", lead='"object":"event",'), "v0", 300, None),
        (_labelled("mux", "Mux-Signature", "mux made up"), "v0", 300, None),
        (_labelled("elevenlabs", "ElevenLabs-Signature", "wsec_made_up", label="v0"), "v1", 1800, None),
        (_labelled("workos", "WorkOS-Signature", "wos_made_up", between=", ", stamp=milliseconds), "v0", 180, 180),
        (
            _labelled("sanity", "sanity-webhook-signature", "made-up", code="base64url", stamp=milliseconds),
            "v0",
            None,
            None,
        ),
        (
            _labelled("paddle", "Paddle-Signature", "pdl_ntfset_made_up", label="h1", mark="ts", between=";", dot=":"),
            "h2",
            5,
            5,
        ),
    ]
    for s, other, past_s, future_s in limits:
        about_bodies(book, s)
        about_signatures(book, s)
        about_labels(book, s, other)
        about_times(book, s, past_s=past_s, future_s=future_s)
        about_numbers(book, s)
        _about_items(book, s)
    whole = _labelled("stripe", "Stripe-Signature", "whsec_" + base64.b64encode(made_up("stripe")).decode())
    data = f"{whole.then}.".encode() + compact()
    add(book, whole, "secret-looks-like-base64", VALID, whole.headers(plain()), plain())
    add(
        book,
        whole,
        "key-is-decoded",
        INVALID,
        whole.place(whole.then, [("v1", hex_mac(decoded(whole.secret), data))]),
        compact(),
    )
    signed = import_module("stripe").WebhookSignature.generate_signature_header(
        compact().decode(), whole.secret, NOW - 2
    )
    add(book, whole, "signed-by-its-sdk", VALID, {**JSON_TYPE, "Stripe-Signature": signed}, compact())
    thin = compact('"object":"v2.core.event",')
    add(book, whole, "valid-thin-event", VALID, whole.headers(thin), thin)


def _labelled(
    name: str,
    header: str,
    secret: str,
    *,
    label: str = "v1",
    mark: str = "t",
    between: str = ",",
    dot: str = ".",
    code: str = "hex",
    stamp: Callable[[float], str] = lambda seconds: str(int(seconds)),
    lead: str = "",
) -> Scheme:
    def make(key: bytes, data: bytes, algorithm: str = "sha256") -> str:
        return (
            hex_mac(key, data, algorithm)
            if code == "hex"
            else base64_mac(key, data, algorithm).rstrip("=").translate(str.maketrans("+/", "-_"))
        )

    def place(stamp: str, signatures: Sequence[tuple[str, str]]) -> Headers:
        items = [f"{mark}={stamp}", *(f"{name}={text}" for name, text in signatures)]
        return {**JSON_TYPE, header: between.join(items)}

    macs: dict[str, Any] = {
        "body-alone-signed": lambda b, _t, s: make(utf8(s), b),
        "other-separator-signed": lambda b, t, s: make(utf8(s), t.encode() + b"|" + b),
        "nothing-between-signed": lambda b, t, s: make(utf8(s), t.encode() + b),
        "hash-sha1": lambda b, t, s: make(utf8(s), f"{t}{dot}".encode() + b, "sha1"),
        "hash-sha512": lambda b, t, s: make(utf8(s), f"{t}{dot}".encode() + b, "sha512"),
        "key-is-empty": lambda b, t, _s: make(b"", f"{t}{dot}".encode() + b),
        "hash-without-key": lambda b, t, _s: encoded(hashlib.sha256(f"{t}{dot}".encode() + b).digest(), code),
    }
    return Scheme(
        name,
        secret,
        secret[:-1] + "#",
        lambda b, t, s: make(utf8(s), f"{t}{dot}".encode() + b),
        place,
        code,
        label,
        stamp,
        lead,
        other_macs=macs,
        carried=(header,),
    )


def _about_items(book: Book, s: Scheme) -> None:
    """Add headers whose items are missing, doubled, in another order or with other separators."""
    (header,) = s.carried
    body = plain(s.lead)
    right, then = s.sign(body), s.then
    text = s.headers(body)[header]
    time_item, mac_item = text.split(";" if ";" in text else ",")
    mac_item = mac_item.strip()
    between = ";" if ";" in text else ", " if ", " in text else ","
    mark = time_item.partition("=")[0]
    texts = {
        "time-missing": (INVALID, mac_item),
        "signature-missing": (INVALID, time_item),
        "reversed": (OPEN, between.join([mac_item, time_item])),
        "no-blank-between": (OPEN, between.strip().join([time_item, mac_item])),
        "blank-between": (OPEN, (between.strip() + " ").join([time_item, mac_item])),
        "other-separator": (INVALID, ("," if between == ";" else ";").join([time_item, mac_item])),
        "time-twice-last-right": (OPEN, between.join([f"{mark}={int(then) - 1}", time_item, mac_item])),
        "time-twice-first-right": (OPEN, between.join([time_item, f"{mark}={int(then) - 1}", mac_item])),
        "trailing-separator": (OPEN, text + between),
        "leading-separator": (OPEN, between + text),
        "unknown-item": (OPEN, between.join([text, "x=1"])),
        "item-without-equals": (OPEN, between.join([text, "x"])),
        "equals-twice": (OPEN, text.replace("=", "==", 1)),
        "names-upper-case": (
            INVALID,
            text.replace(time_item, time_item.upper()).replace(f"{s.label}=", f"{s.label.upper()}="),
        ),
        "value-with-equals": (OPEN, f"{text}=more"),
        "bare-signature": (INVALID, right),
        "separators-alone": (INVALID, between * 5),
        "time-empty": (INVALID, between.join([f"{mark}=", mac_item])),
    }
    for name, (meant, value) in texts.items():
        add(book, s, f"items-{name}", meant, {**JSON_TYPE, header: value}, body)
