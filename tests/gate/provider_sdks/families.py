"""What a case is, and what every scheme of a family is tried with: bodies, damaged signatures, times, labels.

A case is one request to one receiver: what the receiver is configured with, what arrives, and the time.  ``meant`` says
what its author had in mind: ``valid``, ``invalid``, or ``open`` where a careful receiver may do either.  Whether a
request *is* authentic is for the provider's SDK to say.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

NOW = 1795435200
"""The time at which every case arrives, in seconds since 1970."""

VALID, INVALID, OPEN = "valid", "invalid", "open"
JSON_TYPE = {"Content-Type": "application/json"}
FORM_TYPE = {"Content-Type": "application/x-www-form-urlencoded"}

Headers = Mapping[str, str]
Mac = Callable[[bytes, str, Any], str]


THOROUGH = frozenset({"standard-webhooks", "github", "stripe", "slack", "twilio", "qstash"})
"""Schemes that get their family's rare cases, too: one of each kind of verifier."""

RARE = re.compile(
    r"valid-ascii|header-names-.*|tampered-(pretty-crlf-twice|ascii)|empty-(?!.*sig).*|body-alone-signed|body-reserialised-compact|newline-stripped|byte-order-mark-added"
    r"|signature-(last-character-lost|unpadded|padded|in-alphabet-for-urls|half|byte-lost|all-zero|null|with-0x|quoted|swapped-case|first-byte-changed|twice-over|as-.*)"
    r"|blanks?-.*|empty-key|key-with-newline|key-is-empty|hash-of-key-and-body|stronger-hash"
    r"|hash-sha512|hash-without-key|colons-signed|other-order-signed|no-id-signed|number-(?!word|in-other-unit).*"
    r"|labels-(second|twice|under-longer|under-empty|same-label|before|other-label|under-upper|under-other-label-b).*"
    r"|time-(past|future)-(hour|year)|time-now|url-(query-with-plus|host-upper-case|fragment|query-longer)|id-in-other-case|dot-shifted-into-id"
    r"|items-(other|trailing|leading|item|equals|value|bare|separators|no-blank|unknown|time-empty|time-twice-f).*"
    r"|header-(labelled|between|with-equals|separated|label|comma|many|unlabelled-).*"
    r"|token-(four-parts|padded|dots|newline|not-ascii|signature-dot|signature-trunc|claims-changed|type|critical|unenc)"
    r".*|token-(key-|exp-|expires-|issued-|algorithm-(None|lower|missing|none-with)).*"
)
"""Names of cases that one scheme of each kind is enough for."""


class Book:
    """All cases, by id."""

    def __init__(self) -> None:
        self.cases: dict[str, dict[str, Any]] = {}

    def add(
        self,
        scheme: str,
        name: str,
        meant: str,
        *,
        secret: Any,
        headers: Headers,
        body: bytes,
        method: str = "POST",
        url: str | None = None,
    ) -> None:
        """Write down a case whose id must be new, unless it is a rare one of a scheme that needs no such care."""
        if scheme not in THOROUGH and RARE.fullmatch(name):
            return
        case = f"{scheme}/{name}"
        if case in self.cases:
            raise ValueError(f"{case} is there twice")
        self.cases[case] = {
            "id": case,
            "scheme": scheme,
            "secret": secret,
            "method": method,
            "url": url or f"https://relay.example.net/in/{scheme}",
            "headers": dict(headers),
            "body": base64.b64encode(body).decode(),
            "now": NOW,
            "meant": meant,
        }


# Bodies, each of which a JSON parser and writer would not give back as it was


def compact(lead: str = "") -> bytes:
    """Return JSON that breaks when it is written again; *lead* are members of the scheme, with a comma at the end."""
    return (
        "{" + lead + '"id":"evt_51","who":"Zoë ✓ 🚀","path":"a\\/b","escaped":"\\u00e9\\u2028",'
        '"price":100.00,"count":1e3,"big":12345678901234567890,"minus":-0.0,"nothing":null}'
    ).encode()


def pretty(lead: str = "") -> bytes:
    """Return JSON with CRLF, blanks before colons and a member twice."""
    return (
        "{\r\n  " + lead + '\r\n  "id" : "evt_52",\r\n  "sum" : [ 100.00, "a&b=<c>" ],\r\n'
        '  "twice": 1,\r\n  "twice": 2\r\n}\r\n'
    ).encode()


def plain(lead: str = "") -> bytes:
    """Return JSON of ASCII that many writers would leave as it is."""
    return ("{" + lead + '"id":"evt_53","price":"100.00"}').encode()


def bodies(lead: str = "") -> dict[str, bytes]:
    """Return the bodies that every scheme over a raw body is tried with, by name."""
    return {
        "compact-utf8": compact(lead),
        "pretty-crlf-twice": pretty(lead),
        "ascii": plain(lead),
        "trailing-newline": plain(lead) + b"\n",
        "empty": b"",
        "not-utf8": plain(lead)[:-2] + b'\xff\xfe"}',
    }


# Codes and keys


def hex_mac(key: bytes, data: bytes, algorithm: str = "sha256") -> str:
    """Return the HMAC in hexadecimal."""
    return hmac.new(key, data, algorithm).hexdigest()


def base64_mac(key: bytes, data: bytes, algorithm: str = "sha256") -> str:
    """Return the HMAC in base64."""
    return base64.b64encode(hmac.new(key, data, algorithm).digest()).decode()


def present(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return *fields* without those that are ``None``."""
    return {name: value for name, value in fields.items() if value is not None}


def milliseconds(seconds: float) -> str:
    """Return unix milliseconds."""
    return str(int(seconds * 1000))


def iso(seconds: float) -> str:
    """Return RFC 3339 with an offset."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def made_up(seed: str, length: int = 32) -> bytes:
    """Return bytes that look random and are always the same for a *seed*."""
    return hashlib.shake_256(seed.encode()).digest(length)


def utf8(secret: Any) -> bytes:
    """Return a secret that is used as its text."""
    return str(secret).encode()


@dataclass(frozen=True)
class Scheme:
    """How one scheme signs, in the words of its documentation.

    ``mac`` makes the signature of a body, a timestamp and a secret; ``place`` makes the headers of a timestamp and a
    list of labelled signatures (a scheme with one unlabelled signature takes the last, and ignores the label).
    """

    name: str
    secret: Any
    wrong: Any
    mac: Mac
    place: Callable[[str, Sequence[tuple[str, str]]], Headers]
    code: str = "hex"
    label: str = ""
    stamp: Callable[[float], str] = lambda seconds: str(int(seconds))
    lead: str = ""
    method: str = "POST"
    url: str | None = None
    other_macs: Mapping[str, Mac] | None = None
    carried: Sequence[str] = ()
    """Headers that carry something signed; each is left out and emptied in turn."""

    @property
    def then(self) -> str:
        """A timestamp of two seconds ago."""
        return self.stamp(NOW - 2)

    def sign(self, body: bytes, stamp: str | None = None, secret: Any = None) -> str:
        """Return the right signature, or the one of another *stamp* or *secret*."""
        return self.mac(body, self.then if stamp is None else stamp, self.secret if secret is None else secret)

    def headers(self, body: bytes, stamp: str | None = None) -> Headers:
        """Return the headers of an authentic request."""
        stamp = self.then if stamp is None else stamp
        return self.place(stamp, [(self.label, self.sign(body, stamp))])


def add(book: Book, s: Scheme, name: str, meant: str, headers: Headers, body: bytes) -> None:
    """Write down a case of *s*."""
    book.add(s.name, name, meant, secret=s.secret, headers=headers, body=body, method=s.method, url=s.url)


def about_bodies(book: Book, s: Scheme) -> None:
    """Add bodies as they were signed, and bodies that were changed on the way."""
    for name, body in bodies(s.lead).items():
        add(book, s, f"valid-{name}", VALID, s.headers(body), body)
    for name in ("compact-utf8", "pretty-crlf-twice", "ascii"):
        body = bodies(s.lead)[name]
        add(book, s, f"tampered-{name}", INVALID, s.headers(body), body.replace(b"100.00", b"900.00"))
    body = compact(s.lead)
    written = {
        "body-reserialised": json.dumps(json.loads(body)),
        "body-reserialised-compact": json.dumps(json.loads(body), separators=(",", ":"), ensure_ascii=False),
    }
    for name, text in written.items():
        add(book, s, name, INVALID, s.headers(body), text.encode())
    short = plain(s.lead)
    changed = {
        "tampered-last-byte": short[:-1] + b"]",
        "newline-added": short + b"\n",
        "byte-order-mark-added": b"\xef\xbb\xbf" + short,
        "body-emptied": b"",
    }
    for name, other in changed.items():
        add(book, s, name, INVALID, s.headers(short), other)
    add(book, s, "newline-stripped", INVALID, s.headers(plain(s.lead) + b"\n"), plain(s.lead))


def about_signatures(book: Book, s: Scheme) -> None:
    """Add signatures that are wrong, damaged, in another code, or not there."""
    body = plain(s.lead)
    right = s.sign(body)
    for name, (meant, text) in damaged(right, s.code).items():
        add(book, s, f"signature-{name}", meant, s.place(s.then, [(s.label, text)]), body)
    macs = {"wrong-secret": s.sign(body, secret=s.wrong)}
    macs |= {name: mac(body, s.then, s.secret) for name, mac in (s.other_macs or {}).items()}
    for name, text in macs.items():
        add(book, s, name, INVALID, s.place(s.then, [(s.label, text)]), body)
    headers = s.headers(body)
    add(book, s, "header-names-lower-case", VALID, {k.lower(): v for k, v in headers.items()}, body)
    add(book, s, "header-names-upper-case", VALID, {k.upper(): v for k, v in headers.items()}, body)
    for header in s.carried:
        short = header.lower()
        add(book, s, f"missing-{short}", INVALID, {k: v for k, v in headers.items() if k != header}, body)
        add(book, s, f"empty-{short}", INVALID, {**headers, header: ""}, body)
        add(book, s, f"blank-{short}", INVALID, {**headers, header: " "}, body)
        add(book, s, f"blanks-around-{short}", OPEN, {**headers, header: f" {headers[header]} "}, body)


def damaged(right: str, code: str) -> dict[str, tuple[str, str]]:
    """Return the signature *right* in ways that are no longer it, or are no longer clearly it."""
    raw = bytes.fromhex(right) if code == "hex" else base64.urlsafe_b64decode(right + "==")
    if code != "hex" and ("+" in right or "/" in right):
        raw = base64.b64decode(right + "==")
    texts = {
        "first-byte-changed": (INVALID, encoded(bytes([raw[0] ^ 128]) + raw[1:], code)),
        "last-byte-changed": (INVALID, encoded(raw[:-1] + bytes([raw[-1] ^ 1]), code)),
        "last-character-lost": (INVALID, right.rstrip("=")[:-1]),
        "half": (INVALID, right[: len(right) // 2]),
        "with-more": (INVALID, right + ("00" if code == "hex" else "AAAA")),
        "twice-over": (INVALID, right + right),
        "byte-lost": (INVALID, encoded(raw[:-1], code)),
        "not-encoded": (INVALID, "z" * len(right) if code == "hex" else "!" * len(right)),
        "not-ascii": (INVALID, "é" + right[1:]),
        "quoted": (INVALID, f'"{right}"'),
        "all-zero": (INVALID, encoded(bytes(len(raw)), code)),
        "null": (INVALID, "null"),
    }
    if code == "hex":
        texts["upper-case"] = (OPEN, right.upper())
        texts["as-base64"] = (INVALID, base64.b64encode(raw).decode())
        texts["with-0x"] = (INVALID, "0x" + right)
    else:
        texts["as-hex"] = (INVALID, raw.hex())
        texts["swapped-case"] = (INVALID, right.swapcase())
        texts["unpadded" if right.endswith("=") else "padded"] = (
            OPEN,
            right.rstrip("=") if right.endswith("=") else right + "=" * (-len(right) % 4),
        )
    return texts


def encoded(raw: bytes, code: str) -> str:
    """Return *raw* in hexadecimal, base64, or base64 for URLs without padding."""
    if code == "hex":
        return raw.hex()
    return base64.b64encode(raw).decode() if code == "base64" else base64.urlsafe_b64encode(raw).decode().rstrip("=")


def about_alphabet(book: Book, s: Scheme) -> None:
    """Add a signature in base64's alphabet for URLs, of a body whose signature differs in it."""
    tries = (plain(s.lead) + b" " * blanks for blanks in range(64))
    body = next(body for body in tries if "+" in s.sign(body) and "/" in s.sign(body))
    text = s.sign(body).replace("+", "-").replace("/", "_")
    add(book, s, "signature-in-alphabet-for-urls", OPEN, s.place(s.then, [(s.label, text)]), body)


def about_labels(book: Book, s: Scheme, other: str) -> None:
    """Add headers with several signatures, of which one, or none, is the one; *other* is a label of no meaning now."""
    body = plain(s.lead)
    right = s.sign(body)
    false = [
        s.sign(body, secret=f"{s.wrong}{n}" if isinstance(s.wrong, str) and s.code == "hex" else s.wrong) for n in "12"
    ]
    v, wrong, wronger = s.label, (s.label, false[0]), (s.label, false[1])
    texts = {
        "first-of-three": (VALID, [(v, right), wrong, wronger]),
        "second-of-three": (VALID, [wrong, (v, right), wronger]),
        "last-of-three": (VALID, [wrong, wronger, (v, right)]),
        "none-of-three": (INVALID, [wrong, wronger, wrong]),
        "twice": (VALID, [(v, right), (v, right)]),
        "after-other-label": (VALID, [(other, false[0]), (v, right)]),
        "before-other-label": (VALID, [(v, right), (other, false[0])]),
        "under-other-label": (INVALID, [(other, right)]),
        "under-other-label-beside-wrong": (INVALID, [(other, right), wrong]),
        "under-upper-case-label": (INVALID, [(v.upper(), right)]),
        "under-longer-label": (INVALID, [(v + "0", right)]),
        "under-empty-label": (INVALID, [("", right)]),
        "other-label-of-no-code": (OPEN, [(other, "%%%"), (v, right)]),
        "same-label-of-no-code": (OPEN, [(v, "%%%"), (v, right)]),
        "same-label-empty": (OPEN, [(v, ""), (v, right)]),
    }
    for name, (meant, signatures) in texts.items():
        add(book, s, f"labels-{name}", meant, s.place(s.then, signatures), body)


def about_times(book: Book, s: Scheme, *, past_s: int | None, future_s: int | None) -> None:
    """Add requests of other times, signed for them; a limit of ``None`` is one that the scheme does not set."""
    body = plain(s.lead)

    def at(name: str, meant: str, stamp: str) -> None:
        add(book, s, f"time-{name}", meant, s.headers(body, stamp), body)

    at("now", VALID, s.stamp(NOW))
    for side, limit, sign in (("past", past_s, -1), ("future", future_s, 1)):
        if limit:
            at(f"{side}-inside", VALID, s.stamp(NOW + sign * (limit - 1)))
            at(f"{side}-at-limit", OPEN, s.stamp(NOW + sign * limit))
            at(f"{side}-outside", INVALID, s.stamp(NOW + sign * (limit + 1)))
        for name, seconds in (("hour", 3600), ("day", 86400), ("year", 31536000)):
            beyond = INVALID if limit and limit < seconds else OPEN
            at(f"{side}-{name}", beyond, s.stamp(NOW + sign * seconds))
    add(book, s, "time-altered", INVALID, s.place(s.stamp(NOW - 1), [(s.label, s.sign(body))]), body)


def about_numbers(book: Book, s: Scheme) -> None:
    """Add timestamps that are no plain number, or the number in other ways, each signed as it stands."""
    body = plain(s.lead)
    stamp = s.then
    texts = {
        "word": (INVALID, "yesterday"),
        "empty": (INVALID, ""),
        "zero": (INVALID, "0"),
        "negative": (INVALID, f"-{stamp}"),
        "with-plus": (OPEN, f"+{stamp}"),
        "with-zero": (OPEN, f"0{stamp}"),
        "with-fraction": (OPEN, f"{stamp}.0"),
        "with-exponent": (OPEN, f"{stamp[0]}.{stamp[1:]}e{len(stamp) - 1}"),
        "with-word": (INVALID, f"{stamp}abc"),
        "with-underscore": (OPEN, f"{stamp[0]}_{stamp[1:]}"),
        "in-full-width": (OPEN, "".join(chr(ord(digit) + 0xFEE0) for digit in stamp)),
        "hexadecimal": (INVALID, hex(int(stamp))),
        "in-other-unit": (INVALID, stamp[:-3] if len(stamp) > 10 else stamp + "000"),
        "endless": (INVALID, "9" * 400),
        "not-a-number": (INVALID, "NaN"),
        "infinite": (INVALID, "Infinity"),
    }
    for name, (meant, text) in texts.items():
        add(book, s, f"number-{name}", meant, s.headers(body, text), body)


def simple(
    name: str,
    header: str,
    secret: str,
    *,
    prefix: str = "",
    code: str = "hex",
    algorithm: str = "sha256",
    lead: str = "",
    more: Headers | None = None,
    key: Callable[[Any], bytes] = utf8,
) -> Scheme:
    """Return a scheme of one HMAC over the raw body in one header."""
    make = hex_mac if code == "hex" else base64_mac

    def mac(body: bytes, _stamp: str, secret: Any) -> str:
        return make(key(secret), body, algorithm)

    def place(_stamp: str, signatures: Sequence[tuple[str, str]]) -> Headers:
        return {**JSON_TYPE, **(more or {}), header: prefix + signatures[-1][1]}

    weaker = "sha1" if algorithm == "sha256" else "md5"
    others: dict[str, Mac] = {
        "hash-without-key": lambda body, _stamp, _secret: encoded(hashlib.new(algorithm, body).digest(), code),
        "weaker-hash": lambda body, _stamp, secret: make(key(secret), body, weaker),
        "stronger-hash": lambda body, _stamp, secret: make(key(secret), body, "sha512"),
        "empty-key": lambda body, _stamp, _secret: make(b"", body, algorithm),
        "key-with-newline": lambda body, _stamp, secret: make(key(secret) + b"\n", body, algorithm),
        "hash-of-key-and-body": lambda body, _stamp, secret: encoded(
            hashlib.new(algorithm, key(secret) + body).digest(), code
        ),
    }
    return Scheme(
        name,
        secret,
        secret[:-1] + "#" if key is utf8 else secret[::-1],
        mac,
        place,
        code,
        lead=lead,
        other_macs=others,
        carried=(header,),
    )


def about_prefix(book: Book, s: Scheme, header: str, prefix: str) -> None:
    """Add headers whose label is missing, another, or alone."""
    body = plain(s.lead)
    right = s.sign(body)
    sha1 = hex_mac(utf8(s.secret), body, "sha1")
    texts = {
        "missing": (INVALID, right),
        "of-sha1": (INVALID, "sha1=" + sha1),
        "of-sha1-right-mac": (INVALID, "sha1=" + right),
        "right-sha1-mac": (INVALID, prefix + sha1),
        "alone": (INVALID, prefix),
        "upper-case": (INVALID, prefix.upper() + right),
        "twice": (INVALID, prefix + prefix + right),
        "after-blank": (INVALID, prefix + " " + right),
        "of-none": (INVALID, "none=" + right),
        "two-values": (OPEN, f"{prefix}{right},{prefix}{right}"),
        "two-values-second-right": (INVALID, f"{prefix}{'0' * len(right)}, {prefix}{right}"),
    }
    for name, (meant, text) in texts.items():
        add(book, s, f"prefix-{name}", meant, {**s.headers(body), header: text}, body)


def same_secret(s: Scheme, **changes: Any) -> Scheme:
    """Return *s* with some of its fields changed."""
    return replace(s, **changes)
