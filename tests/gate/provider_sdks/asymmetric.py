"""Cases of the schemes whose signatures are of a private key."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from tests.gate.provider_sdks import keys
from tests.gate.provider_sdks.families import (
    INVALID,
    JSON_TYPE,
    OPEN,
    VALID,
    Book,
    Scheme,
    about_bodies,
    about_numbers,
    about_signatures,
    about_times,
    add,
    base64_mac,
    compact,
    encoded,
    hex_mac,
    plain,
    same_secret,
    utf8,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def add_all(book: Book) -> None:
    """Add the cases of every scheme of this module."""
    discord = _ed25519(
        "discord",
        ("X-Signature-Ed25519", "X-Signature-Timestamp"),
        keys.ed25519_public("discord").hex(),
        lambda t: t.encode(),
        code="hex",
        lead='"type":1,',
    )
    telnyx = _ed25519(
        "telnyx",
        ("telnyx-signature-ed25519", "telnyx-timestamp"),
        base64.b64encode(keys.ed25519_public("telnyx")).decode(),
        lambda t: t.encode() + b"|",
        code="base64",
    )
    sendgrid_headers = tuple(f"X-Twilio-Email-Event-Webhook-{part}" for part in ("Signature", "Timestamp"))
    sendgrid = Scheme(
        "sendgrid",
        keys.p256_public("sendgrid"),
        None,
        lambda b, t, _s: base64.b64encode(keys.p256_sign("sendgrid", t.encode() + b)).decode(),
        lambda t, items: {**JSON_TYPE, sendgrid_headers[0]: items[-1][1], sendgrid_headers[1]: t},
        "base64",
        other_macs={
            "other-key": lambda b, t, _s: base64.b64encode(keys.p256_sign("other", t.encode() + b)).decode(),
            "hash-sha1": lambda b, t, _s: base64.b64encode(keys.p256_sign("sendgrid", t.encode() + b, "SHA1")).decode(),
            "body-alone-signed": lambda b, _t, _s: base64.b64encode(keys.p256_sign("sendgrid", b)).decode(),
            "not-der": lambda b, t, _s: base64.b64encode(keys.p256_sign_raw("sendgrid", t.encode() + b)).decode(),
            "hmac-of-public-key": lambda b, t, s: base64_mac(utf8(s), t.encode() + b),
        },
        carried=sendgrid_headers,
    )
    for s, limit in ((discord, None), (telnyx, 300), (sendgrid, None)):
        same = same_secret(s, wrong=s.secret, other_macs=s.other_macs)
        about_bodies(book, same)
        about_signatures(book, _without_wrong(same))
        about_times(book, s, past_s=limit, future_s=limit)
        about_numbers(book, s)
    batch = b'[{"email":"a@example.net","event":"processed"},\r\n{"email":"b@example.net","event":"open"}]\r\n'
    add(book, sendgrid, "valid-batch-with-crlf", VALID, sendgrid.headers(batch), batch)
    add(book, sendgrid, "batch-without-last-crlf", INVALID, sendgrid.headers(batch), batch[:-2])
    upper = same_secret(discord, secret=discord.secret.upper())
    add(book, upper, "public-key-upper-case", VALID, upper.headers(plain()), plain())
    raw = bytes.fromhex(discord.sign(compact()))
    order = 2**252 + 27742317777372353535851937790883648493
    stretched = raw[:32] + (int.from_bytes(raw[32:], "little") + order).to_bytes(32, "little")
    add(book, discord, "signature-malleable", INVALID, discord.place(discord.then, [("", stretched.hex())]), compact())
    weak = (b"\x01" + bytes(31) + bytes(32)).hex()
    add(book, discord, "signature-of-small-order", INVALID, discord.place(discord.then, [("", weak)]), compact())
    spaced = discord.sign(compact())
    add(
        book,
        discord,
        "signature-hex-with-blanks",
        OPEN,
        discord.place(discord.then, [("", " ".join(spaced[i : i + 2] for i in range(0, 128, 2)))]),
        compact(),
    )


def _without_wrong(s: Scheme) -> Scheme:
    """Return *s* with another private key in the place of a wrong secret."""
    other = (s.other_macs or {})["other-key"]
    return same_secret(
        s, wrong="other", mac=lambda b, t, secret: other(b, t, secret) if secret == "other" else s.mac(b, t, secret)
    )


def _ed25519(
    name: str, headers: tuple[str, str], public: str, signed: Callable[[str], bytes], *, code: str, lead: str = ""
) -> Scheme:
    return Scheme(
        name,
        public,
        None,
        lambda b, t, _s: encoded(keys.ed25519(name).sign(signed(t) + b), code),
        lambda t, items: {**JSON_TYPE, headers[0]: items[-1][1], headers[1]: t},
        code,
        lead=lead,
        other_macs={
            "other-key": lambda b, t, _s: encoded(keys.ed25519("other").sign(signed(t) + b), code),
            "body-alone-signed": lambda b, _t, _s: encoded(keys.ed25519(name).sign(b), code),
            "hmac-of-public-key": lambda b, t, s: encoded(bytes.fromhex(hex_mac(utf8(s), signed(t) + b)), code),
            "other-separator-signed": lambda b, t, _s: encoded(keys.ed25519(name).sign(t.encode() + b"." + b), code),
        },
        carried=headers,
    )
