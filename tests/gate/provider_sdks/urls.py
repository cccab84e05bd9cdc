"""Cases of the schemes whose signatures cover the URL and the raw body."""

from __future__ import annotations

import hashlib
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tests.gate.provider_sdks.families import (
    INVALID,
    JSON_TYPE,
    OPEN,
    VALID,
    Book,
    Headers,
    Scheme,
    about_alphabet,
    about_bodies,
    about_numbers,
    about_signatures,
    about_times,
    add,
    base64_mac,
    compact,
    hex_mac,
    made_up,
    milliseconds,
    plain,
    same_secret,
    utf8,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

COMPONENT = "-_.!~*'()"
"""What JavaScript leaves as it is in a component of a URL."""

CONTENTFUL_KEY = made_up("contentful", 32).hex()
CONTENTFUL_PATH = "/in/contentful?tenant=a&x=%20y"
CONTENTFUL_HEADERS = {
    "content-type": "application/vnd.contentful.management.v1+json",
    "x-contentful-topic": "ContentManagement.Entry.publish",
}
CONTENTFUL_SIGNED = ["content-type", "x-contentful-signed-headers", "x-contentful-timestamp", "x-contentful-topic"]


def add_all(book: Book) -> None:
    """Add the cases of every scheme of this module."""
    _square(book)
    _hubspot(book)
    _contentful(book)


def other_urls(url: str) -> dict[str, str]:
    """Return URLs that are nearly *url*, an ``https`` URL of ``relay.example.net`` with a query of ``x=%20y``."""
    path, _, query = url.partition("?")
    return {
        "http": url.replace("https://", "http://"),
        "other-host": url.replace("relay.", "relax."),
        "host-upper-case": url.replace("relay.example.net", "RELAY.example.net"),
        "default-port": url.replace("example.net/", "example.net:443/"),
        "other-port": url.replace("example.net/", "example.net:8443/"),
        "slash-at-end-of-path": f"{path}/?{query}",
        "query-missing": path,
        "query-decoded": url.replace("%20", " "),
        "query-with-plus": url.replace("%20", "+"),
        "query-reordered": f"{path}?{'&'.join(reversed(query.split('&')))}",
        "query-longer": f"{url}&z=1",
        "fragment": f"{url}#top",
    }


def _square(book: Book) -> None:
    url = "https://relay.example.net/in/square?tenant=a&x=%20y"
    header = "x-square-hmacsha256-signature"
    square = Scheme(
        "square",
        "made-up-of-square",
        "made-up-of-squarf",
        lambda b, _t, s: base64_mac(utf8(s), url.encode() + b),
        lambda _t, items: {**JSON_TYPE, "square-environment": "Sandbox", header: items[-1][1]},
        "base64",
        lead='"type":"payment.updated",',
        url=url,
        other_macs={
            "body-alone-signed": lambda b, _t, s: base64_mac(utf8(s), b),
            "hash-sha1": lambda b, _t, s: base64_mac(utf8(s), url.encode() + b, "sha1"),
            "body-first-signed": lambda b, _t, s: base64_mac(utf8(s), b + url.encode()),
        },
        carried=(header,),
    )
    about_bodies(book, square)
    about_signatures(book, square)
    about_alphabet(book, square)
    for name, other in other_urls(url).items():
        add(book, same_secret(square, url=other), f"url-{name}", INVALID, square.headers(plain()), plain())


def _hubspot(book: Book) -> None:
    secret = "made-up-of-hubspot"
    url = "https://relay.example.net/in/hubspot?portalId=1&x=%20y"
    third = Scheme(
        "hubspot-v3",
        secret,
        secret[:-1] + "#",
        lambda b, t, s: base64_mac(utf8(s), f"POST{url}".encode() + b + t.encode()),
        lambda t, items: {**JSON_TYPE, "X-HubSpot-Signature-v3": items[-1][1], "X-HubSpot-Request-Timestamp": t},
        "base64",
        stamp=milliseconds,
        url=url,
        other_macs={
            "body-alone-signed": lambda b, _t, s: base64_mac(utf8(s), b),
            "no-method-signed": lambda b, t, s: base64_mac(utf8(s), url.encode() + b + t.encode()),
            "other-method-signed": lambda b, t, s: base64_mac(utf8(s), f"PUT{url}".encode() + b + t.encode()),
            "hash-of-v2": lambda b, _t, s: hashlib.sha256(f"{s}POST{url}".encode() + b).hexdigest(),
        },
        carried=("X-HubSpot-Signature-v3", "X-HubSpot-Request-Timestamp"),
    )
    about_times(book, third, past_s=300, future_s=None)
    about_numbers(book, third)
    about_alphabet(book, third)
    signed_by = third.headers(plain())
    add(book, same_secret(third, method="PUT"), "method-differs", INVALID, signed_by, plain())

    def hashed(name: str, what: Callable[[Any], bytes]) -> Scheme:
        return Scheme(
            f"hubspot-{name}",
            secret,
            secret[:-1] + "#",
            lambda b, _t, s: hashlib.sha256(what(s) + b).hexdigest(),
            lambda _t, items: {**JSON_TYPE, "X-HubSpot-Signature": items[-1][1], "X-HubSpot-Signature-Version": name},
            url=url,
            other_macs={
                "hmac-instead": lambda b, _t, s: hex_mac(utf8(s), b),
                "body-alone-hashed": lambda b, _t, _s: hashlib.sha256(b).hexdigest(),
                "other-version": lambda b, _t, s: hashlib.sha256(
                    (utf8(s) if name == "v2" else f"{s}POST{url}".encode()) + b
                ).hexdigest(),
            },
            carried=("X-HubSpot-Signature",),
        )

    second = hashed("v2", lambda s: f"{s}POST{url}".encode())
    first = hashed("v1", utf8)
    for s in (first, second, third):
        about_bodies(book, s)
        about_signatures(book, s)
    for s in (second, third):
        for name, other in other_urls(url).items():
            add(book, same_secret(s, url=other), f"url-{name}", INVALID, s.headers(plain()), plain())
    sign = import_module("hubspot.utils.signature").Signature.get_signature
    for s in (first, second, third):
        signed = sign(secret, compact().decode(), s.name[-2:], url, "POST", s.then)
        add(book, s, "signed-by-its-sdk", VALID, s.place(s.then, [("", signed)]), compact())
    escaped = "https://relay.example.net/in/hubspot?path=%2Fa%3Ab%40c"
    data = (
        f"POST{escaped.replace('%2F', '/').replace('%3A', ':').replace('%40', '@')}".encode()
        + compact()
        + third.then.encode()
    )
    add(
        book,
        same_secret(third, url=escaped),
        "url-signed-decoded",
        OPEN,
        third.place(third.then, [("", base64_mac(utf8(secret), data))]),
        compact(),
    )


def _canonical(body: bytes, stamp: str, *, method: str = "POST", target: str = CONTENTFUL_PATH) -> bytes:
    listed = {
        **CONTENTFUL_HEADERS,
        "x-contentful-signed-headers": ",".join(CONTENTFUL_SIGNED),
        "x-contentful-timestamp": stamp,
    }
    path_of, _, query = target.partition("?")
    escaped = path_of + (f"?{quote(query, safe=COMPONENT)}" if query else "")
    target = quote(escaped, safe=COMPONENT + ";,/?:@&=+$#")
    return (
        "\n".join([method, target, ";".join(f"{n}:{listed[n]}" for n in sorted(CONTENTFUL_SIGNED)), ""]).encode() + body
    )


def _contentful_scheme() -> Scheme:
    def place(stamp: str, items: Sequence[tuple[str, str]]) -> Headers:
        return {
            **CONTENTFUL_HEADERS,
            "x-contentful-signed-headers": ",".join(CONTENTFUL_SIGNED),
            "x-contentful-timestamp": stamp,
            "x-contentful-signature": items[-1][1],
        }

    return Scheme(
        "contentful",
        CONTENTFUL_KEY,
        made_up("other", 32).hex(),
        lambda b, t, k: hex_mac(utf8(k), _canonical(b, t)),
        place,
        stamp=milliseconds,
        url=f"https://relay.example.net{CONTENTFUL_PATH}",
        other_macs={
            "body-alone-signed": lambda b, _t, k: hex_mac(utf8(k), b),
            "key-is-decoded": lambda b, t, k: hex_mac(bytes.fromhex(k), _canonical(b, t)),
            "path-alone-signed": lambda b, t, k: hex_mac(utf8(k), _canonical(b, t, target="/in/contentful")),
            "other-method-signed": lambda b, t, k: hex_mac(utf8(k), _canonical(b, t, method="PUT")),
            "hash-sha1": lambda b, t, k: hex_mac(utf8(k), _canonical(b, t), "sha1"),
        },
        carried=("x-contentful-signature", "x-contentful-timestamp", "x-contentful-signed-headers"),
    )


def _contentful(book: Book) -> None:
    s = _contentful_scheme()
    about_bodies(book, s)
    about_signatures(book, s)
    about_times(book, s, past_s=30, future_s=None)
    about_numbers(book, s)
    right = dict(s.headers(plain()))
    for name, other in other_urls(s.url or "").items():
        same_path = name in {"http", "other-host", "host-upper-case", "default-port", "other-port", "fragment"}
        otherwise = (
            INVALID if name in {"query-missing", "query-reordered", "query-longer", "slash-at-end-of-path"} else OPEN
        )
        add(book, same_secret(s, url=other), f"url-{name}", VALID if same_path else otherwise, right, plain())
    add(
        book,
        s,
        "signed-header-altered",
        INVALID,
        {**right, "x-contentful-topic": "ContentManagement.Entry.delete"},
        compact(),
    )
    fewer = {name: value for name, value in right.items() if name != "x-contentful-topic"}
    add(book, s, "signed-header-missing", INVALID, fewer, plain())
    add(book, s, "unsigned-header-added", VALID, {**right, "x-contentful-webhook-name": "made up"}, plain())
    reordered = ",".join(reversed(CONTENTFUL_SIGNED))
    add(book, s, "signed-headers-reordered", INVALID, {**right, "x-contentful-signed-headers": reordered}, plain())
    empty = {**right, "x-contentful-signed-headers": ""}
    bare = _canonical(compact(), s.then).split(b"\n")
    bare[2] = b""
    add(
        book,
        s,
        "no-header-signed",
        INVALID,
        {**empty, "x-contentful-signature": hex_mac(utf8(CONTENTFUL_KEY), b"\n".join(bare))},
        compact(),
    )
    add(book, same_secret(s, method="PUT"), "method-differs", INVALID, right, plain())
    short = same_secret(s, secret="short")
    add(
        book,
        short,
        "secret-too-short",
        OPEN,
        s.place(s.then, [("", hex_mac(b"short", _canonical(compact(), s.then)))]),
        compact(),
    )
