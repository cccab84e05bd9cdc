"""Cases of the schemes whose time stands in the body."""

from __future__ import annotations

from tests.gate.provider_sdks.families import (
    INVALID,
    JSON_TYPE,
    NOW,
    OPEN,
    VALID,
    Book,
    add,
    damaged,
    hex_mac,
    milliseconds,
    present,
    simple,
    utf8,
)


def add_all(book: Book) -> None:
    """Add the cases of every scheme of this module."""
    _linear(book)
    _pusher(book)


def _linear(book: Book) -> None:
    def body(stamp: str | None) -> bytes:
        member = "" if stamp is None else f',"webhookTimestamp":{stamp}'
        return f'{{"action":"create","type":"Issue","data":{{"id":"d1","title":"Zoë ✓ 100.00"}}{member}}}'.encode()

    more = {"Linear-Event": "Issue", "Linear-Delivery": "5a1d6a3e-0000-4000-8000-000000000006"}
    s = simple("linear", "Linear-Signature", "lin_wh_made_up", more=more)
    right = body(milliseconds(NOW - 2))
    add(book, s, "valid", VALID, s.headers(right), right)
    spaced = right.replace(b",", b" ,\r\n")
    add(book, s, "valid-spaced", VALID, s.headers(spaced), spaced)
    add(book, s, "tampered", INVALID, s.headers(right), right.replace(b"100.00", b"900.00"))
    add(book, s, "tampered-stamp", INVALID, s.headers(right), body(milliseconds(NOW - 1)))
    add(book, s, "newline-added", INVALID, s.headers(right), right + b"\n")
    add(book, s, "wrong-secret", INVALID, s.place("", [("", s.sign(right, secret=s.wrong))]), right)
    add(book, s, "missing-header", INVALID, {**JSON_TYPE, **more}, right)
    for name, (meant, text) in damaged(s.sign(right), "hex").items():
        add(book, s, f"signature-{name}", meant, s.place("", [("", text)]), right)
    stamps = {
        "now": (VALID, milliseconds(NOW)),
        "past-inside": (VALID, milliseconds(NOW - 59)),
        "past-at-limit": (OPEN, milliseconds(NOW - 60)),
        "past-outside": (INVALID, milliseconds(NOW - 61)),
        "past-day": (INVALID, milliseconds(NOW - 86400)),
        "future-inside": (VALID, milliseconds(NOW + 59)),
        "future-at-limit": (OPEN, milliseconds(NOW + 60)),
        "future-outside": (INVALID, milliseconds(NOW + 61)),
        "future-day": (INVALID, milliseconds(NOW + 86400)),
        "missing": (INVALID, None),
        "null": (INVALID, "null"),
        "text": (OPEN, f'"{milliseconds(NOW - 2)}"'),
        "zero": (INVALID, "0"),
        "word": (INVALID, '"yesterday"'),
        "in-seconds": (INVALID, str(NOW - 2)),
        "true": (INVALID, "true"),
        "list": (INVALID, f"[{milliseconds(NOW - 2)}]"),
        "with-fraction": (OPEN, f"{milliseconds(NOW - 2)}.5"),
        "with-exponent": (OPEN, "1.795435198e12"),
        "not-a-number": (INVALID, "NaN"),
    }
    for name, (meant, stamp) in stamps.items():
        some = body(stamp)
        add(book, s, f"stamp-{name}", meant, s.headers(some), some)
    old = {**s.headers(body(None)), "Linear-Timestamp": milliseconds(NOW - 2)}
    add(book, s, "stamp-in-header-alone", OPEN, old, body(None))
    stale = {**s.headers(right), "Linear-Timestamp": milliseconds(NOW - 86400)}
    add(book, s, "header-stale-body-fresh", OPEN, stale, right)
    fresh = body(milliseconds(NOW - 86400))
    add(
        book,
        s,
        "header-fresh-body-stale",
        INVALID,
        {**s.headers(fresh), "Linear-Timestamp": milliseconds(NOW - 2)},
        fresh,
    )
    for name, some in (("not-json", b"not json"), ("empty-body", b""), ("list-body", b"[]"), ("null-body", b"null")):
        add(book, s, name, INVALID, s.headers(some), some)


def _pusher(book: Book) -> None:
    secret = {"key": "madeupkey00000000001", "secret": "madeupsecret00000001"}

    def case(name: str, meant: str, body: bytes, **changes: str | None) -> None:
        headers = present(
            {
                **JSON_TYPE,
                "X-Pusher-Key": secret["key"],
                "X-Pusher-Signature": hex_mac(utf8(secret["secret"]), body),
                **{name.replace("_", "-"): value for name, value in changes.items()},
            }
        )
        book.add("pusher", name, meant, secret=secret, headers=headers, body=body)

    def body(stamp: str) -> bytes:
        return f'{{"time_ms":{stamp},"events":[{{"name":"channel_occupied","channel":"Zoë 100.00"}}]}}'.encode()

    right = body(milliseconds(NOW - 2))
    mac = hex_mac(utf8(secret["secret"]), right)
    case("valid", VALID, right)
    spaced = right.replace(b",", b" ,\r\n")
    case("valid-spaced", VALID, spaced)
    case("tampered", INVALID, right.replace(b"100.00", b"900.00"), X_Pusher_Signature=mac)
    case("newline-added", INVALID, right + b"\n", X_Pusher_Signature=mac)
    case("wrong-secret", INVALID, right, X_Pusher_Signature=hex_mac(b"other", right))
    case("other-key", INVALID, right, X_Pusher_Key="madeupkey00000000002")
    case("key-upper-case", INVALID, right, X_Pusher_Key=secret["key"].upper())
    case("key-missing", INVALID, right, X_Pusher_Key=None)
    case("key-empty", INVALID, right, X_Pusher_Key="")
    case("signature-missing", INVALID, right, X_Pusher_Signature=None)
    case("signature-empty", INVALID, right, X_Pusher_Signature="")
    for name, (meant, text) in damaged(mac, "hex").items():
        case(f"signature-{name}", meant, right, X_Pusher_Signature=text)
    stamps = {
        "past-inside": (VALID, milliseconds(NOW - 299)),
        "past-at-limit": (OPEN, milliseconds(NOW - 300)),
        "past-outside": (OPEN, milliseconds(NOW - 301)),
        "future-inside": (VALID, milliseconds(NOW + 299)),
        "future-outside": (OPEN, milliseconds(NOW + 301)),
        "past-day": (OPEN, milliseconds(NOW - 86400)),
        "zero": (OPEN, "0"),
        "text": (OPEN, f'"{milliseconds(NOW - 2)}"'),
        "null": (OPEN, "null"),
    }
    for name, (meant, stamp) in stamps.items():
        case(f"stamp-{name}", meant, body(stamp))
    case("stamp-missing", OPEN, b'{"events":[]}')
    case("not-json", OPEN, b"not json")
    case("empty-body", OPEN, b"")
