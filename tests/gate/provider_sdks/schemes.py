"""Cases of the schemes that sign the raw body into headers, and of which an SDK can be asked."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import unicodedata
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tests.gate.provider_sdks import keys
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
    about_prefix,
    about_signatures,
    about_times,
    add,
    base64_mac,
    compact,
    damaged,
    encoded,
    hex_mac,
    made_up,
    plain,
    pretty,
    same_secret,
    simple,
    utf8,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MESSAGE = "msg_3Zq8vN1kT"
COMPONENT = "-_.!~*'()"
"""What JavaScript leaves as it is in a component of a URL."""

DELEGATING = frozenset({"anthropic", "lithic", "increase", "gitlab-signing-token", "svix-unbranded"})
"""Senders by Standard Webhooks whose SDKs call its library and do nothing of their own."""


def milliseconds(seconds: float) -> str:
    """Return unix milliseconds."""
    return str(int(seconds * 1000))


def iso(seconds: float) -> str:
    """Return RFC 3339 with an offset."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def add_all(book: Book) -> None:
    """Add the cases of every scheme of this module."""
    for add_some in (_standard_webhooks, _in_one_header, _in_labelled_headers, _in_dated_headers, _asymmetric, _in_url):
        add_some(book)


# Standard Webhooks


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


def _standard_webhooks(book: Book) -> None:
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
    from importlib import import_module

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


# One HMAC, of the body alone, in one header


def _in_one_header(book: Book) -> None:
    github = simple(
        "github", "X-Hub-Signature-256", "a made-up secret of GitHub", prefix="sha256=", more={"X-GitHub-Event": "push"}
    )
    notion = simple("notion", "X-Notion-Signature", "secret_MadeUp4Tests", prefix="sha256=")
    shopify = simple(
        "shopify",
        "X-Shopify-Hmac-Sha256",
        "hush_made_up",
        code="base64",
        more={
            "X-Shopify-Topic": "orders/create",
            "X-Shopify-Shop-Domain": "made-up.myshopify.com",
            "X-Shopify-API-Version": "2026-10",
            "X-Shopify-Webhook-Id": "5a1d6a3e-0000-4000-8000-000000000001",
            "X-Shopify-Event-Id": "5a1d6a3e-0000-4000-8000-000000000002",
            "X-Shopify-Triggered-At": "2026-11-23T11:59:58.000000000Z",
        },
    )
    events = simple(
        "shopify-events",
        "Shopify-Hmac-Sha256",
        "hush_made_up",
        code="base64",
        more={
            "Shopify-Topic": "orders/create",
            "Shopify-Shop-Domain": "made-up.myshopify.com",
            "Shopify-API-Version": "unstable",
            "Shopify-Webhook-Id": "5a1d6a3e-0000-4000-8000-000000000003",
            "Shopify-Event-Id": "5a1d6a3e-0000-4000-8000-000000000004",
        },
    )
    gocardless = simple("gocardless", "Webhook-Signature", "made-up-endpoint-secret", lead='"events":[],"meta":{},')
    coinbase = simple(
        "coinbase-commerce",
        "X-CC-Webhook-Signature",
        "cc_made_up",
        lead='"event":{"id":"24934862-0000-4000-8000-000000000001","type":"charge:created"},',
    )
    line = simple(
        "line", "X-Line-Signature", "made-up-channel-secret", code="base64", lead='"destination":"U1","events":[],'
    )
    treasury = simple(
        "modern-treasury", "X-Signature", "mt_made_up", more={"X-Topic": "payment_order", "X-Webhook-ID": "w1"}
    )
    onfido = simple(
        "onfido",
        "X-SHA2-Signature",
        "onf_made_up",
        lead='"payload":{"resource_type":"check","action":"check.completed","object":{"id":"x","status":"complete",'
        '"href":"https://api.example.net/x","completed_at_iso8601":"2026-11-23T11:59:58Z"}},',
    )
    stream = simple("stream", "X-Signature", "stream_made_up", lead='"type":"message.new",', more={"X-Api-Key": "abc"})
    razorpay = simple("razorpay", "X-Razorpay-Signature", "rzp_made_up", more={"x-razorpay-event-id": "e1"})
    banking = simple(
        "adyen-balance-platform",
        "HmacSignature",
        made_up("adyen banking").hex().upper(),
        code="base64",
        key=lambda secret: bytes.fromhex(str(secret)),
        more={"Protocol": "HmacSHA256"},
    )
    easypost = simple("easypost", "X-Hmac-Signature", "sécret", prefix="hmac-sha256-hex=", key=_nfkd)
    easypost = same_secret(easypost, wrong="sécreu")
    for s in (
        github,
        notion,
        shopify,
        events,
        gocardless,
        coinbase,
        line,
        treasury,
        onfido,
        stream,
        razorpay,
        banking,
        easypost,
    ):
        about_bodies(book, s)
        about_signatures(book, s)
        if s.code == "base64":
            about_alphabet(book, s)
        if s.name in {"github", "notion", "easypost"}:
            about_prefix(book, s, s.carried[0], s.headers(b"")[s.carried[0]].partition("=")[0] + "=")
    _particular_to_one_header(book, github=github, stream=stream, easypost=easypost, banking=banking, shopify=shopify)


def _nfkd(secret: Any) -> bytes:
    return unicodedata.normalize("NFKD", str(secret)).encode()


def _particular_to_one_header(
    book: Book, *, github: Scheme, stream: Scheme, easypost: Scheme, banking: Scheme, shopify: Scheme
) -> None:
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
    inner = compact(stream.lead)
    packed = gzip.compress(inner, mtime=0)
    add(book, stream, "valid-gzip", VALID, {**stream.headers(inner), "Content-Encoding": "gzip"}, packed)
    add(book, stream, "valid-gzip-undeclared", OPEN, stream.headers(inner), packed)
    add(book, stream, "gzip-signed-as-sent", INVALID, {**stream.headers(packed), "Content-Encoding": "gzip"}, packed)
    add(book, stream, "gzip-broken", INVALID, {**stream.headers(inner), "Content-Encoding": "gzip"}, packed[:-9])
    unnormalised = {"X-Hmac-Signature": "hmac-sha256-hex=" + hex_mac(utf8(easypost.secret), body)}
    add(book, easypost, "secret-composed", INVALID, {**JSON_TYPE, **unnormalised}, body)
    text_key = base64_mac(utf8(banking.secret), body)
    add(book, banking, "key-is-text", INVALID, {**JSON_TYPE, "HmacSignature": text_key}, body)
    lower = same_secret(banking, secret=banking.secret.lower())
    add(book, lower, "secret-lower-case", VALID, lower.headers(body), body)
    for header in ("X-Shopify-Topic", "X-Shopify-Shop-Domain", "X-Shopify-Webhook-Id", "X-Shopify-Event-Id"):
        fewer = {name: value for name, value in shopify.headers(body).items() if name != header}
        add(book, shopify, f"without-{header.lower()}", OPEN, fewer, body)
    _signed_by_sdks_of_one_header(book, banking)


def _signed_by_sdks_of_one_header(book: Book, banking: Scheme) -> None:
    from importlib import import_module

    body = compact()
    signed = import_module("Adyen.util").generate_payload_sig(body, banking.secret).decode()
    add(book, banking, "signed-by-its-sdk", VALID, banking.place("", [("", signed)]), body)
    client = import_module("modern_treasury").ModernTreasury(api_key="made-up", organization_id="made-up")
    signed = client.webhooks.get_signature(body.decode(), key="mt_made_up")
    s = simple("modern-treasury", "X-Signature", "mt_made_up")
    add(book, s, "signed-by-its-sdk", VALID, s.place("", [("", signed)]), body)


# Time and signatures in one header: t=…,v1=…


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


def _in_labelled_headers(book: Book) -> None:
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
    from importlib import import_module

    signed = import_module("stripe").WebhookSignature.generate_signature_header(
        compact().decode(), whole.secret, NOW - 2
    )
    add(book, whole, "signed-by-its-sdk", VALID, {**JSON_TYPE, "Stripe-Signature": signed}, compact())
    thin = compact('"object":"v2.core.event",')
    add(book, whole, "valid-thin-event", VALID, whole.headers(thin), thin)


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


# A time in a header of its own


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
    from importlib import import_module

    signed = (
        import_module("slack_sdk.signature")
        .SignatureVerifier(slack.secret)
        .generate_signature(timestamp=slack.then, body=compact())
    )
    add(book, slack, "signed-by-its-sdk", VALID, {**slack.headers(compact()), "X-Slack-Signature": signed}, compact())
    _orb(book)
    _box(book)
    _linear(book)
    _pusher(book)


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


def _box(book: Book) -> None:
    secret = {"primary": "made-up-primary", "secondary": "made-up-secondary"}

    def headers(body: bytes, stamp: str, **changes: str | None) -> Headers:
        signed = {
            f"box-signature-{part}": base64_mac(utf8(secret[part]), body + stamp.encode())
            for part in ("primary", "secondary")
        }
        sent: dict[str, str | None] = {
            **JSON_TYPE,
            "box-delivery-id": "5a1d6a3e-0000-4000-8000-000000000005",
            "box-delivery-timestamp": stamp,
            "box-signature-algorithm": "HmacSHA256",
            "box-signature-version": "1",
            **signed,
            **{name.replace("_", "-"): value for name, value in changes.items()},
        }
        return {name: value for name, value in sent.items() if value is not None}

    def case(name: str, meant: str, sent: Headers, body: bytes, keys: dict[str, str | None] | None = None) -> None:
        book.add("box", name, meant, secret=keys or secret, headers=sent, body=body)

    now, body = iso(NOW - 5), compact('"type":"webhook_event",')
    wrong = base64_mac(b"made-up-other", body + now.encode())
    for name, some in (("compact-utf8", body), ("pretty-crlf-twice", pretty()), ("ascii", plain()), ("empty", b"")):
        case(f"valid-{name}", VALID, headers(some, now), some)
    case("valid-not-utf8", VALID, headers(b'{"a":"\xff"}', now), b'{"a":"\xff"}')
    case("tampered", INVALID, headers(body, now), body.replace(b"100.00", b"900.00"))
    case("tampered-last-byte", INVALID, headers(body, now), body[:-1] + b"]")
    case("newline-added", INVALID, headers(body, now), body + b"\n")
    right = headers(body, now)["box-signature-primary"]
    other = headers(body, now)["box-signature-secondary"]
    case("primary-alone", VALID, headers(body, now, box_signature_secondary=None), body)
    case("secondary-alone", VALID, headers(body, now, box_signature_primary=None), body)
    case("primary-wrong-secondary-right", VALID, headers(body, now, box_signature_primary=wrong), body)
    case("primary-right-secondary-wrong", VALID, headers(body, now, box_signature_secondary=wrong), body)
    case("both-wrong", INVALID, headers(body, now, box_signature_primary=wrong, box_signature_secondary=wrong), body)
    case("swapped", INVALID, headers(body, now, box_signature_primary=other, box_signature_secondary=right), body)
    case("both-missing", INVALID, headers(body, now, box_signature_primary=None, box_signature_secondary=None), body)
    case("both-empty", INVALID, headers(body, now, box_signature_primary="", box_signature_secondary=""), body)
    for name, (meant, text) in damaged(right, "base64").items():
        case(
            f"signature-{name}",
            meant,
            headers(body, now, box_signature_primary=text, box_signature_secondary=None),
            body,
        )
    case("algorithm-missing", INVALID, headers(body, now, box_signature_algorithm=None), body)
    case("algorithm-other", INVALID, headers(body, now, box_signature_algorithm="HmacSHA1"), body)
    case("algorithm-lower-case", INVALID, headers(body, now, box_signature_algorithm="hmacsha256"), body)
    case("version-missing", INVALID, headers(body, now, box_signature_version=None), body)
    case("version-other", INVALID, headers(body, now, box_signature_version="2"), body)
    case("stamp-missing", INVALID, headers(body, now, box_delivery_timestamp=None), body)
    case("stamp-empty", INVALID, headers(body, ""), body)
    case("stamp-altered", INVALID, headers(body, now, box_delivery_timestamp=iso(NOW - 4)), body)
    case("stamp-word", INVALID, headers(body, "yesterday"), body)
    case("stamp-unix", INVALID, headers(body, str(NOW - 5)), body)
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
        case(f"time-{name}", meant, headers(body, stamp), body)
    escaped = _escaped(body.decode())
    sent = {
        **headers(body, now),
        "box-signature-primary": base64_mac(utf8(secret["primary"]), escaped + now.encode()),
    }
    case("signed-escaped", OPEN, {**sent, "box-signature-secondary": wrong}, body)
    bmp = '{"who":"Zoë ✓"}'
    escaped = bmp.replace("ë", "\\u00eb").replace("✓", "\\u2713").encode()
    sent = {**headers(b"", now), "box-signature-primary": base64_mac(utf8(secret["primary"]), escaped + now.encode())}
    case("signed-escaped-without-astral", OPEN, {**sent, "box-signature-secondary": wrong}, bmp.encode())
    upper = bmp.replace("ë", "\\u00EB").replace("✓", "\\u2713").encode()
    sent = {**sent, "box-signature-primary": base64_mac(utf8(secret["primary"]), upper + now.encode())}
    case("signed-escaped-upper-case", OPEN, {**sent, "box-signature-secondary": wrong}, bmp.encode())
    one = {"primary": secret["primary"], "secondary": None}
    case("one-key-configured", VALID, headers(body, now), body, one)
    case("one-key-configured-secondary-sent", INVALID, headers(body, now, box_signature_primary=None), body, one)
    lower = {name.upper(): value for name, value in headers(body, now).items()}
    case("header-names-upper-case", VALID, lower, body)


def _escaped(text: str) -> bytes:
    """Return *text* as Box may have signed it: in ASCII, backslashes doubled but for those before a slash."""
    doubled = re.sub(r"\\(?!/)", r"\\\\", text)
    return json.dumps(doubled)[1:-1].replace("\\\\", "\\").replace('\\"', '"').encode()


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
        sent: dict[str, str | None] = {
            **JSON_TYPE,
            "X-Pusher-Key": secret["key"],
            "X-Pusher-Signature": hex_mac(utf8(secret["secret"]), body),
            **{name.replace("_", "-"): value for name, value in changes.items()},
        }
        headers = {name: value for name, value in sent.items() if value is not None}
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


# Signatures of a private key


def _asymmetric(book: Book) -> None:
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


# Signatures that cover the URL, too


def _in_url(book: Book) -> None:
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
    from importlib import import_module

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


def _contentful(book: Book) -> None:
    secret = made_up("contentful", 32).hex()
    path = "/in/contentful?tenant=a&x=%20y"
    url = f"https://relay.example.net{path}"
    topic = {
        "content-type": "application/vnd.contentful.management.v1+json",
        "x-contentful-topic": "ContentManagement.Entry.publish",
    }
    names = ["content-type", "x-contentful-signed-headers", "x-contentful-timestamp", "x-contentful-topic"]

    def canonical(body: bytes, stamp: str, *, method: str = "POST", target: str = path) -> bytes:
        listed = {**topic, "x-contentful-signed-headers": ",".join(names), "x-contentful-timestamp": stamp}
        path_of, _, query = target.partition("?")
        escaped = path_of + (f"?{quote(query, safe=COMPONENT)}" if query else "")
        target = quote(escaped, safe=COMPONENT + ";,/?:@&=+$#")
        return "\n".join([method, target, ";".join(f"{n}:{listed[n]}" for n in sorted(names)), ""]).encode() + body

    def place(stamp: str, items: Sequence[tuple[str, str]]) -> Headers:
        return {
            **topic,
            "x-contentful-signed-headers": ",".join(names),
            "x-contentful-timestamp": stamp,
            "x-contentful-signature": items[-1][1],
        }

    s = Scheme(
        "contentful",
        secret,
        made_up("other", 32).hex(),
        lambda b, t, k: hex_mac(utf8(k), canonical(b, t)),
        place,
        stamp=milliseconds,
        url=url,
        other_macs={
            "body-alone-signed": lambda b, _t, k: hex_mac(utf8(k), b),
            "key-is-decoded": lambda b, t, k: hex_mac(bytes.fromhex(k), canonical(b, t)),
            "path-alone-signed": lambda b, t, k: hex_mac(utf8(k), canonical(b, t, target="/in/contentful")),
            "other-method-signed": lambda b, t, k: hex_mac(utf8(k), canonical(b, t, method="PUT")),
            "hash-sha1": lambda b, t, k: hex_mac(utf8(k), canonical(b, t), "sha1"),
        },
        carried=("x-contentful-signature", "x-contentful-timestamp", "x-contentful-signed-headers"),
    )
    about_bodies(book, s)
    about_signatures(book, s)
    about_times(book, s, past_s=30, future_s=None)
    about_numbers(book, s)
    right = dict(s.headers(plain()))
    for name, other in other_urls(url).items():
        meant = (
            VALID
            if name in {"http", "other-host", "host-upper-case", "default-port", "other-port", "fragment"}
            else OPEN
        )
        meant = (
            INVALID if name in {"query-missing", "query-reordered", "query-longer", "slash-at-end-of-path"} else meant
        )
        add(book, same_secret(s, url=other), f"url-{name}", meant, right, plain())
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
    reordered = ",".join(reversed(names))
    add(book, s, "signed-headers-reordered", INVALID, {**right, "x-contentful-signed-headers": reordered}, plain())
    empty = {**right, "x-contentful-signed-headers": ""}
    bare = canonical(compact(), s.then).split(b"\n")
    bare[2] = b""
    add(
        book,
        s,
        "no-header-signed",
        INVALID,
        {**empty, "x-contentful-signature": hex_mac(utf8(secret), b"\n".join(bare))},
        compact(),
    )
    add(book, same_secret(s, method="PUT"), "method-differs", INVALID, right, plain())
    short = same_secret(s, secret="short")
    add(
        book,
        short,
        "secret-too-short",
        OPEN,
        s.place(s.then, [("", hex_mac(b"short", canonical(compact(), s.then)))]),
        compact(),
    )
