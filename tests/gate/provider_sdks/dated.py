"""Cases of the schemes whose time stands in a header of its own."""

from __future__ import annotations

import hashlib
import json
import re
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
    about_bodies,
    about_labels,
    about_numbers,
    about_signatures,
    about_times,
    add,
    base64_mac,
    compact,
    damaged,
    encoded,
    hex_mac,
    iso,
    milliseconds,
    plain,
    present,
    pretty,
    same_secret,
    utf8,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BOX_KEYS = {"primary": "made-up-primary", "secondary": "made-up-secondary"}


def add_all(book: Book) -> None:
    """Add the cases of every scheme of this module."""
    _in_dated_headers(book)
    _orb(book)
    _box(book)


def _dated(
    name: str,
    headers: tuple[str, str],
    secret: str,
    signed: Callable[[str], bytes],
    *,
    prefix: str = "",
    code: str = "hex",
    stamp: Callable[[float], str] = lambda seconds: str(int(seconds)),
    lead: str = "",
    more: Headers | None = None,
) -> Scheme:
    """Return a scheme whose HMAC covers what *signed* makes of the timestamp, and then the body."""
    make = hex_mac if code == "hex" else base64_mac

    def place(stamp: str, signatures: Sequence[tuple[str, str]]) -> Headers:
        return {**JSON_TYPE, **(more or {}), headers[0]: prefix + signatures[-1][1], headers[1]: stamp}

    macs: dict[str, Any] = {
        "body-alone-signed": lambda b, _t, s: make(utf8(s), b),
        "no-version-signed": lambda b, t, s: make(utf8(s), f"{t}{b.decode()}".encode() + b"."),
        "hash-sha1": lambda b, t, s: make(utf8(s), signed(t) + b, "sha1"),
        "key-is-empty": lambda b, t, _s: make(b"", signed(t) + b),
        "hash-without-key": lambda b, t, _s: encoded(hashlib.sha256(signed(t) + b).digest(), code),
    }
    return Scheme(
        name,
        secret,
        secret[:-1] + "#",
        lambda b, t, s: make(utf8(s), signed(t) + b),
        place,
        code,
        stamp=stamp,
        lead=lead,
        other_macs=macs,
        carried=headers,
    )


def _in_dated_headers(book: Book) -> None:
    slack = _dated(
        "slack",
        ("X-Slack-Signature", "X-Slack-Request-Timestamp"),
        "made up of Slack",
        lambda t: f"v0:{t}:".encode(),
        prefix="v0=",
    )
    zoom = _dated(
        "zoom",
        ("x-zm-signature", "x-zm-request-timestamp"),
        "zm_made_up",
        lambda t: f"v0:{t}:".encode(),
        prefix="v0=",
        lead='"event":"meeting.started",',
    )
    webflow = _dated(
        "webflow",
        ("x-webflow-signature", "x-webflow-timestamp"),
        "wf_made_up",
        lambda t: f"{t}:".encode(),
        stamp=milliseconds,
    )
    twitch_id = "e76c6bd4-0000-4000-8000-000000000001"
    twitch = _dated(
        "twitch-eventsub",
        ("Twitch-Eventsub-Message-Signature", "Twitch-Eventsub-Message-Timestamp"),
        "made-up-of-twitch",
        lambda t: f"{twitch_id}{t}".encode(),
        prefix="sha256=",
        stamp=lambda seconds: datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.123456789Z"),
        more={"Twitch-Eventsub-Message-Id": twitch_id, "Twitch-Eventsub-Message-Type": "notification"},
    )
    for s, past_s, future_s in ((slack, 300, 300), (zoom, None, None), (webflow, None, None), (twitch, None, None)):
        about_bodies(book, s)
        about_signatures(book, s)
        about_times(book, s, past_s=past_s, future_s=future_s)
        if s is not twitch:
            about_numbers(book, s)
        body = plain(s.lead)
        right = s.sign(body)
        prefix = s.headers(body)[s.carried[0]].removesuffix(right)
        for name, text in (
            ("label-missing", right if prefix else f"v0={right}"),
            ("label-other", f"v1={right}"),
            ("label-twice", f"{prefix}{prefix or 'v0='}{right}"),
            ("two-signatures", f"{prefix}{'0' * 64},{prefix}{right}"),
        ):
            add(book, s, name, INVALID, {**s.headers(body), s.carried[0]: text}, body)
    message = {**twitch.headers(compact()), "Twitch-Eventsub-Message-Id": twitch_id.replace("1", "2")}
    add(book, twitch, "id-altered", INVALID, message, compact())
    form = b"token=x&team_id=T1&command=%2Fmade&text=up+%26+more"
    add(
        book,
        slack,
        "valid-form",
        VALID,
        {**slack.headers(form), "Content-Type": "application/x-www-form-urlencoded"},
        form,
    )
    signed = (
        import_module("slack_sdk.signature")
        .SignatureVerifier(slack.secret)
        .generate_signature(timestamp=slack.then, body=compact())
    )
    add(book, slack, "signed-by-its-sdk", VALID, {**slack.headers(compact()), "X-Slack-Signature": signed}, compact())


def _orb(book: Book) -> None:
    def naive(seconds: float) -> str:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000000")

    s = _dated(
        "orb",
        ("X-Orb-Signature", "X-Orb-Timestamp"),
        "orb_made_up",
        lambda t: f"v1:{t}:".encode(),
        prefix="v1=",
        stamp=naive,
    )
    several = same_secret(
        s,
        label="v1",
        place=lambda t, items: {
            **JSON_TYPE,
            "X-Orb-Signature": " ".join(f"{v}={x}" for v, x in items),
            "X-Orb-Timestamp": t,
        },
    )
    about_bodies(book, s)
    about_signatures(book, s)
    about_times(book, s, past_s=300, future_s=300)
    about_labels(book, several, "v2")
    body = plain()
    stamps = {
        "with-z": (VALID, iso(NOW - 2).replace("+00:00", "Z")),
        "with-offset": (VALID, "2026-11-23T13:59:58+02:00"),
        "without-fraction": (VALID, "2026-11-23T11:59:58"),
        "with-three-digits": (VALID, "2026-11-23T11:59:58.000"),
        "with-nanoseconds": (OPEN, "2026-11-23T11:59:58.000000000"),
        "with-blank": (OPEN, "2026-11-23 11:59:58"),
        "offset-makes-it-old": (INVALID, "2026-11-23T11:59:58+02:00"),
        "date-alone": (INVALID, "2026-11-23"),
        "unix": (INVALID, str(NOW - 2)),
        "word": (INVALID, "yesterday"),
        "month-13": (INVALID, "2026-13-23T11:59:58"),
        "basic-format": (OPEN, "20261123T115958Z"),
    }
    for name, (meant, stamp) in stamps.items():
        add(book, s, f"stamp-{name}", meant, s.headers(body, stamp), body)


def _box_headers(body: bytes, stamp: str, **changes: str | None) -> Headers:
    signed = {
        f"box-signature-{part}": base64_mac(utf8(BOX_KEYS[part]), body + stamp.encode())
        for part in ("primary", "secondary")
    }
    return present(
        {
            **JSON_TYPE,
            "box-delivery-id": "5a1d6a3e-0000-4000-8000-000000000005",
            "box-delivery-timestamp": stamp,
            "box-signature-algorithm": "HmacSHA256",
            "box-signature-version": "1",
            **signed,
            **{name.replace("_", "-"): value for name, value in changes.items()},
        }
    )


def _box(book: Book) -> None:
    def case(name: str, meant: str, sent: Headers, body: bytes, keys: dict[str, str | None] | None = None) -> None:
        book.add("box", name, meant, secret=keys or BOX_KEYS, headers=sent, body=body)

    now, body = iso(NOW - 5), compact('"type":"webhook_event",')
    wrong = base64_mac(b"made-up-other", body + now.encode())
    for name, some in (("compact-utf8", body), ("pretty-crlf-twice", pretty()), ("ascii", plain()), ("empty", b"")):
        case(f"valid-{name}", VALID, _box_headers(some, now), some)
    case("valid-not-utf8", VALID, _box_headers(b'{"a":"\xff"}', now), b'{"a":"\xff"}')
    case("tampered", INVALID, _box_headers(body, now), body.replace(b"100.00", b"900.00"))
    case("tampered-last-byte", INVALID, _box_headers(body, now), body[:-1] + b"]")
    case("newline-added", INVALID, _box_headers(body, now), body + b"\n")
    right = _box_headers(body, now)["box-signature-primary"]
    other = _box_headers(body, now)["box-signature-secondary"]
    case("primary-alone", VALID, _box_headers(body, now, box_signature_secondary=None), body)
    case("secondary-alone", VALID, _box_headers(body, now, box_signature_primary=None), body)
    case("primary-wrong-secondary-right", VALID, _box_headers(body, now, box_signature_primary=wrong), body)
    case("primary-right-secondary-wrong", VALID, _box_headers(body, now, box_signature_secondary=wrong), body)
    case(
        "both-wrong", INVALID, _box_headers(body, now, box_signature_primary=wrong, box_signature_secondary=wrong), body
    )
    case("swapped", INVALID, _box_headers(body, now, box_signature_primary=other, box_signature_secondary=right), body)
    case(
        "both-missing", INVALID, _box_headers(body, now, box_signature_primary=None, box_signature_secondary=None), body
    )
    case("both-empty", INVALID, _box_headers(body, now, box_signature_primary="", box_signature_secondary=""), body)
    for name, (meant, text) in damaged(right, "base64").items():
        case(
            f"signature-{name}",
            meant,
            _box_headers(body, now, box_signature_primary=text, box_signature_secondary=None),
            body,
        )
    case("algorithm-missing", INVALID, _box_headers(body, now, box_signature_algorithm=None), body)
    case("algorithm-other", INVALID, _box_headers(body, now, box_signature_algorithm="HmacSHA1"), body)
    case("algorithm-lower-case", INVALID, _box_headers(body, now, box_signature_algorithm="hmacsha256"), body)
    case("version-missing", INVALID, _box_headers(body, now, box_signature_version=None), body)
    case("version-other", INVALID, _box_headers(body, now, box_signature_version="2"), body)
    case("stamp-missing", INVALID, _box_headers(body, now, box_delivery_timestamp=None), body)
    case("stamp-empty", INVALID, _box_headers(body, ""), body)
    case("stamp-altered", INVALID, _box_headers(body, now, box_delivery_timestamp=iso(NOW - 4)), body)
    case("stamp-word", INVALID, _box_headers(body, "yesterday"), body)
    case("stamp-unix", INVALID, _box_headers(body, str(NOW - 5)), body)
    _box_times(case, body)
    _box_escapes(case, body)
    one = {"primary": BOX_KEYS["primary"], "secondary": None}
    case("one-key-configured", VALID, _box_headers(body, now), body, one)
    case("one-key-configured-secondary-sent", INVALID, _box_headers(body, now, box_signature_primary=None), body, one)
    lower = {name.upper(): value for name, value in _box_headers(body, now).items()}
    case("header-names-upper-case", VALID, lower, body)


def _box_times(case: Callable[..., None], body: bytes) -> None:
    stamps = {
        "now": (VALID, iso(NOW)),
        "past-inside": (VALID, iso(NOW - 599)),
        "past-at-limit": (OPEN, iso(NOW - 600)),
        "past-outside": (INVALID, iso(NOW - 601)),
        "past-day": (INVALID, iso(NOW - 86400)),
        "future-second": (INVALID, iso(NOW + 1)),
        "future-hour": (INVALID, iso(NOW + 3600)),
        "other-offset": (VALID, "2026-11-23T04:59:55-07:00"),
        "offset-makes-it-old": (INVALID, "2026-11-23T11:59:55+07:00"),
        "with-z": (VALID, "2026-11-23T11:59:55Z"),
        "without-offset": (OPEN, "2026-11-23T11:59:55"),
        "with-fraction": (OPEN, "2026-11-23T11:59:55.123+00:00"),
    }
    for name, (meant, stamp) in stamps.items():
        case(f"time-{name}", meant, _box_headers(body, stamp), body)


def _box_escapes(case: Callable[..., None], body: bytes) -> None:
    now = iso(NOW - 5)
    wrong = base64_mac(b"made-up-other", body + now.encode())
    escaped = _escaped(body.decode())
    sent = {
        **_box_headers(body, now),
        "box-signature-primary": base64_mac(utf8(BOX_KEYS["primary"]), escaped + now.encode()),
    }
    case("signed-escaped", OPEN, {**sent, "box-signature-secondary": wrong}, body)
    bmp = '{"who":"Zoë ✓"}'
    escaped = bmp.replace("ë", "\\u00eb").replace("✓", "\\u2713").encode()
    sent = {
        **_box_headers(b"", now),
        "box-signature-primary": base64_mac(utf8(BOX_KEYS["primary"]), escaped + now.encode()),
    }
    case("signed-escaped-without-astral", OPEN, {**sent, "box-signature-secondary": wrong}, bmp.encode())
    upper = bmp.replace("ë", "\\u00EB").replace("✓", "\\u2713").encode()
    sent = {**sent, "box-signature-primary": base64_mac(utf8(BOX_KEYS["primary"]), upper + now.encode())}
    case("signed-escaped-upper-case", OPEN, {**sent, "box-signature-secondary": wrong}, bmp.encode())


def _escaped(text: str) -> bytes:
    """Return *text* as Box may have signed it: in ASCII, backslashes doubled but for those before a slash."""
    doubled = re.sub(r"\\(?!/)", r"\\\\", text)
    return json.dumps(doubled)[1:-1].replace("\\\\", "\\").replace('\\"', '"').encode()
