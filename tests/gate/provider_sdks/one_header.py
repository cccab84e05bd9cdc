"""Cases of the schemes of one HMAC, of the body alone, in one header."""

from __future__ import annotations

import gzip
import unicodedata
from importlib import import_module
from typing import Any

from tests.gate.provider_sdks.families import (
    INVALID,
    JSON_TYPE,
    OPEN,
    VALID,
    Book,
    Scheme,
    about_alphabet,
    about_bodies,
    about_prefix,
    about_signatures,
    add,
    base64_mac,
    compact,
    hex_mac,
    made_up,
    same_secret,
    simple,
    utf8,
)

SHOPIFY_HEADERS = {
    "X-Shopify-Topic": "orders/create",
    "X-Shopify-Shop-Domain": "made-up.myshopify.com",
    "X-Shopify-API-Version": "2026-10",
    "X-Shopify-Webhook-Id": "5a1d6a3e-0000-4000-8000-000000000001",
    "X-Shopify-Event-Id": "5a1d6a3e-0000-4000-8000-000000000002",
    "X-Shopify-Triggered-At": "2026-11-23T11:59:58.000000000Z",
}
SHOPIFY_EVENTS_HEADERS = {
    "Shopify-Topic": "orders/create",
    "Shopify-Shop-Domain": "made-up.myshopify.com",
    "Shopify-API-Version": "unstable",
    "Shopify-Webhook-Id": "5a1d6a3e-0000-4000-8000-000000000003",
    "Shopify-Event-Id": "5a1d6a3e-0000-4000-8000-000000000004",
}


def add_all(book: Book) -> None:
    """Add the cases of every scheme of this module."""
    schemes = {s.name: s for s in _schemes()}
    for s in schemes.values():
        about_bodies(book, s)
        about_signatures(book, s)
        if s.code == "base64":
            about_alphabet(book, s)
        if s.name in {"github", "notion", "easypost"}:
            about_prefix(book, s, s.carried[0], s.headers(b"")[s.carried[0]].partition("=")[0] + "=")
    _about_github(book, schemes["github"])
    _about_gzip(book, schemes["stream"])
    _about_keys(book, schemes["easypost"], schemes["adyen-balance-platform"])
    _about_shopify(book, schemes["shopify"])
    _signed_by_sdks_of_one_header(book, schemes["adyen-balance-platform"])


def _schemes() -> list[Scheme]:
    return [
        simple(
            "github",
            "X-Hub-Signature-256",
            "a made-up secret of GitHub",
            prefix="sha256=",
            more={"X-GitHub-Event": "push"},
        ),
        simple("notion", "X-Notion-Signature", "secret_MadeUp4Tests", prefix="sha256="),
        simple("shopify", "X-Shopify-Hmac-Sha256", "hush_made_up", code="base64", more=SHOPIFY_HEADERS),
        simple("shopify-events", "Shopify-Hmac-Sha256", "hush_made_up", code="base64", more=SHOPIFY_EVENTS_HEADERS),
        simple("gocardless", "Webhook-Signature", "made-up-endpoint-secret", lead='"events":[],"meta":{},'),
        simple(
            "coinbase-commerce",
            "X-CC-Webhook-Signature",
            "cc_made_up",
            lead='"event":{"id":"24934862-0000-4000-8000-000000000001","type":"charge:created"},',
        ),
        simple(
            "line", "X-Line-Signature", "made-up-channel-secret", code="base64", lead='"destination":"U1","events":[],'
        ),
        simple("modern-treasury", "X-Signature", "mt_made_up", more={"X-Topic": "payment_order", "X-Webhook-ID": "w1"}),
        simple(
            "onfido",
            "X-SHA2-Signature",
            "onf_made_up",
            lead='"payload":{"resource_type":"check","action":"check.completed","object":{"id":"x","status":"complete",'
            '"href":"https://api.example.net/x","completed_at_iso8601":"2026-11-23T11:59:58Z"}},',
        ),
        simple("stream", "X-Signature", "stream_made_up", lead='"type":"message.new",', more={"X-Api-Key": "abc"}),
        simple("razorpay", "X-Razorpay-Signature", "rzp_made_up", more={"x-razorpay-event-id": "e1"}),
        simple(
            "adyen-balance-platform",
            "HmacSignature",
            made_up("adyen banking").hex().upper(),
            code="base64",
            key=lambda secret: bytes.fromhex(str(secret)),
            more={"Protocol": "HmacSHA256"},
        ),
        same_secret(
            simple("easypost", "X-Hmac-Signature", "sécret", prefix="hmac-sha256-hex=", key=_nfkd), wrong="sécreu"
        ),
    ]


def _nfkd(secret: Any) -> bytes:
    return unicodedata.normalize("NFKD", str(secret)).encode()


def _about_github(book: Book, github: Scheme) -> None:
    published = simple("github", "X-Hub-Signature-256", "It's a Secret to Everybody", prefix="sha256=")
    hello = b"Hello, World!"
    add(book, published, "published-example", VALID, published.headers(hello), hello)
    large = b'{"filler":"' + b"0123456789abcdef" * 6400 + b'"}'
    add(book, github, "valid-100-kilobytes", VALID, github.headers(large), large)
    body = compact()
    sha1 = "sha1=" + hex_mac(utf8(github.secret), body, "sha1")
    legacy = {**JSON_TYPE, "X-Hub-Signature": sha1}
    add(book, github, "legacy-header-alone", INVALID, legacy, body)
    add(
        book,
        github,
        "legacy-right-sha256-wrong",
        INVALID,
        {**legacy, "X-Hub-Signature-256": "sha256=" + "0" * 64},
        body,
    )
    add(
        book,
        github,
        "legacy-wrong-sha256-right",
        VALID,
        {**github.headers(body), "X-Hub-Signature": "sha1=" + "0" * 40},
        body,
    )
    form = b"payload=%7B%22a%22%3A1%7D"
    add(
        book,
        github,
        "valid-form",
        VALID,
        {**github.headers(form), "Content-Type": "application/x-www-form-urlencoded"},
        form,
    )


def _about_gzip(book: Book, stream: Scheme) -> None:
    inner = compact(stream.lead)
    packed = gzip.compress(inner, mtime=0)
    add(book, stream, "valid-gzip", VALID, {**stream.headers(inner), "Content-Encoding": "gzip"}, packed)
    add(book, stream, "valid-gzip-undeclared", OPEN, stream.headers(inner), packed)
    add(book, stream, "gzip-signed-as-sent", INVALID, {**stream.headers(packed), "Content-Encoding": "gzip"}, packed)
    add(book, stream, "gzip-broken", INVALID, {**stream.headers(inner), "Content-Encoding": "gzip"}, packed[:-9])


def _about_keys(book: Book, easypost: Scheme, banking: Scheme) -> None:
    body = compact()
    unnormalised = {"X-Hmac-Signature": "hmac-sha256-hex=" + hex_mac(utf8(easypost.secret), body)}
    add(book, easypost, "secret-composed", INVALID, {**JSON_TYPE, **unnormalised}, body)
    text_key = base64_mac(utf8(banking.secret), body)
    add(book, banking, "key-is-text", INVALID, {**JSON_TYPE, "HmacSignature": text_key}, body)
    lower = same_secret(banking, secret=banking.secret.lower())
    add(book, lower, "secret-lower-case", VALID, lower.headers(body), body)


def _about_shopify(book: Book, shopify: Scheme) -> None:
    body = compact()
    for header in ("X-Shopify-Topic", "X-Shopify-Shop-Domain", "X-Shopify-Webhook-Id", "X-Shopify-Event-Id"):
        fewer = {name: value for name, value in shopify.headers(body).items() if name != header}
        add(book, shopify, f"without-{header.lower()}", OPEN, fewer, body)


def _signed_by_sdks_of_one_header(book: Book, banking: Scheme) -> None:
    body = compact()
    signed = import_module("Adyen.util").generate_payload_sig(body, banking.secret).decode()
    add(book, banking, "signed-by-its-sdk", VALID, banking.place("", [("", signed)]), body)
    client = import_module("modern_treasury").ModernTreasury(api_key="made-up", organization_id="made-up")
    signed = client.webhooks.get_signature(body.decode(), key="mt_made_up")
    s = simple("modern-treasury", "X-Signature", "mt_made_up")
    add(book, s, "signed-by-its-sdk", VALID, s.place("", [("", signed)]), body)
