"""Cases of the schemes that are like no other: forms, signatures within the body, certificates, JSON Web Tokens."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from tests.gate.provider_sdks import keys
from tests.gate.provider_sdks.families import (
    FORM_TYPE,
    INVALID,
    JSON_TYPE,
    NOW,
    OPEN,
    VALID,
    Book,
    base64_mac,
    bodies,
    compact,
    damaged,
    hex_mac,
    made_up,
    plain,
    utf8,
)
from tests.gate.provider_sdks.schemes import other_urls

if TYPE_CHECKING:
    from collections.abc import Mapping


Changes = dict[str, tuple[str, dict[str, Any]]]
"""What a case of a token is meant to be, and the claims that make it so, by name."""


def add_all(book: Book) -> None:
    """Add the cases of every scheme of this module."""
    for add_some in (_twilio, _twilio_shared_key, _plivo, _mandrill, _adyen, _mailgun, _dropbox_sign, _braintree):
        add_some(book)
    for add_some in (_sns, _paypal, _livekit, _messagebird, _qstash, _vonage, _plaid, _atlassian):
        add_some(book)


# Forms


def _fields(form: bytes) -> str:
    """Return the fields as Twilio signs them: sorted by name, values once each and sorted, nothing between."""
    fields = parse_qs(form.decode(), keep_blank_values=True)
    return "".join(name + value for name in sorted(fields) for value in sorted(set(fields[name])))


def _twilio(book: Book) -> None:
    secret, header = "made-up-auth-token", "X-Twilio-Signature"
    url = "https://relay.example.net/in/twilio?foo=1&x=%20y"
    form = b"To=%2B18005550100&From=%2B14155550100&Digits=1234&Body=Zo%C3%AB+%26+more&CallSid=CA01"

    def sign(target: str, fields: str, key: str = secret, algorithm: str = "sha1") -> str:
        return base64_mac(utf8(key), f"{target}{fields}".encode(), algorithm)

    def case(
        name: str,
        meant: str,
        signature: str | None,
        *,
        body: bytes = form,
        target: str = url,
        method: str = "POST",
        kind: Mapping[str, str] = FORM_TYPE,
    ) -> None:
        headers = {**kind, **({} if signature is None else {header: signature})}
        book.add("twilio", name, meant, secret=secret, headers=headers, body=body, method=method, url=target)

    right = sign(url, _fields(form))
    case("valid-form", VALID, right)
    forms = {
        "repeated-field": b"To=1&MediaUrl=b&MediaUrl=a&MediaUrl=b",
        "empty-field": b"To=1&Body=&From=2",
        "field-without-equals": b"To=1&Body&From=2",
        "names-in-both-cases": b"b=1&B=2&a=3&A=4",
        "encoded-names": b"a%5B0%5D=1&a.b=2&a%20c=3",
        "plus-and-percent": b"Body=a+b%20c%2Bd",
        "newlines": b"Body=a%0D%0Ab",
        "emoji": b"Body=%F0%9F%9A%80+%E2%9C%93",
        "empty-form": b"",
        "semicolon": b"Body=a;b&To=1",
    }
    for name, some in forms.items():
        case(f"valid-{name}", VALID, sign(url, _fields(some)), body=some)
    reordered = b"&".join(reversed(form.split(b"&")))
    case("fields-reordered", VALID, right, body=reordered)
    case("charset-declared", VALID, right, kind={"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"})
    case("tampered-field", INVALID, right, body=form.replace(b"1234", b"1235"))
    case("field-added", INVALID, right, body=form + b"&Extra=1")
    case("field-removed", INVALID, right, body=form.replace(b"Digits=1234&", b""))
    case("field-split-elsewhere", OPEN, right, body=form.replace(b"Digits=1234", b"Digits1=234"))
    case(
        "repeated-field-not-deduplicated",
        INVALID,
        sign(url, "MediaUrlaMediaUrlbMediaUrlbTo1"),
        body=forms["repeated-field"],
    )
    case("empty-field-dropped", INVALID, sign(url, "From2To1"), body=forms["empty-field"])
    case("wrong-secret", INVALID, sign(url, _fields(form), "another"))
    case("hash-sha256", INVALID, sign(url, _fields(form), algorithm="sha256"))
    case("fields-not-signed", INVALID, sign(url, ""))
    case("body-signed-as-sent", INVALID, sign(url, form.decode()))
    case("missing-signature", INVALID, None)
    case("empty-signature", INVALID, "")
    for name, (meant, text) in damaged(right, "base64").items():
        case(f"signature-{name}", meant, text)
    for name, other in other_urls(url).items():
        meant = VALID if name == "default-port" else INVALID
        case(f"url-{name}", meant, right, target=other)
    ported = url.replace("example.net/", "example.net:443/")
    case("signed-with-default-port", VALID, sign(ported, _fields(form)))
    case("signed-with-port-80", INVALID, sign(url.replace("example.net/", "example.net:80/"), _fields(form)))
    high = url.replace("example.net/", "example.net:8443/")
    case("valid-other-port", VALID, sign(high, _fields(form)), target=high)
    case("other-port-signed-without", OPEN, right, target=high)
    plain_http = url.replace("https://", "http://")
    case("valid-http", VALID, sign(plain_http, _fields(form)), target=plain_http)
    case(
        "http-signed-with-port-80", VALID, sign(plain_http.replace("net/", "net:80/"), _fields(form)), target=plain_http
    )
    user = url.replace("https://", "https://user:pass@")
    case("valid-user-in-url", OPEN, sign(user, _fields(form)), target=user)
    case("user-in-url-signed-with-port", OPEN, sign(user.replace("net/", "net:443/"), _fields(form)), target=user)
    get = {"Content-Type": "application/x-www-form-urlencoded"}
    query = f"{url}&CallSid=CA01&Digits=1234"
    case("valid-get", VALID, sign(query, ""), method="GET", body=b"", target=query)
    case(
        "get-query-altered",
        INVALID,
        sign(query, ""),
        method="GET",
        body=b"",
        target=query.replace("1234", "1235"),
        kind=get,
    )
    body = compact()
    summed = f"{url}&bodySHA256={hashlib.sha256(body).hexdigest()}"
    case("valid-json", VALID, sign(summed, ""), body=body, target=summed, kind=JSON_TYPE)
    case(
        "json-tampered",
        INVALID,
        sign(summed, ""),
        body=body.replace(b"100.00", b"900.00"),
        target=summed,
        kind=JSON_TYPE,
    )
    case(
        "json-sum-altered",
        INVALID,
        sign(summed, ""),
        body=body,
        target=summed[:-1] + ("0" if summed[-1] != "0" else "1"),
        kind=JSON_TYPE,
    )
    case("json-without-sum", INVALID, sign(url, ""), body=body, kind=JSON_TYPE)
    upper = f"{url}&bodySHA256={hashlib.sha256(body).hexdigest().upper()}"
    case("json-sum-upper-case", OPEN, sign(upper, ""), body=body, target=upper, kind=JSON_TYPE)
    twice = f"{summed}&bodySHA256={'0' * 64}"
    case("json-sum-twice-first-right", OPEN, sign(twice, ""), body=body, target=twice, kind=JSON_TYPE)
    twice = f"{url}&bodySHA256={'0' * 64}&bodySHA256={hashlib.sha256(body).hexdigest()}"
    case("json-sum-twice-last-right", OPEN, sign(twice, ""), body=body, target=twice, kind=JSON_TYPE)
    empty = f"{url}&bodySHA256={hashlib.sha256(b'').hexdigest()}"
    case("json-empty-body", OPEN, sign(empty, ""), body=b"", target=empty, kind=JSON_TYPE)
    blank = f"{url}&bodySHA256="
    case("json-sum-empty", INVALID, sign(blank, ""), body=body, target=blank, kind=JSON_TYPE)
    both = f"{url}&bodySHA256={hashlib.sha256(form).hexdigest()}"
    case("form-with-sum", OPEN, sign(both, _fields(form)), target=both)
    case("form-with-sum-fields-unsigned", INVALID, sign(both, ""), target=both)
    case("form-declared-as-json-with-sum", OPEN, sign(both, ""), target=both, kind=JSON_TYPE)
    case("form-declared-as-json", INVALID, right, kind=JSON_TYPE)
    published = "https://mycompany.com/myapp.php?foo=1&bar=2"
    example = b"CallSid=CA1234567890ABCDE&Caller=%2B12349013030&Digits=1234&From=%2B12349013030&To=%2B18005551212"
    signed = (
        import_module("twilio.request_validator")
        .RequestValidator(secret)
        .compute_signature(published, {name: values[0] for name, values in parse_qs(example.decode()).items()})
    )
    case("signed-by-its-sdk", VALID, signed, body=example, target=published)


def _twilio_shared_key(book: Book) -> None:
    secret, url = "made-up-shared-key", "https://relay.example.net/in/twilio?foo=1"
    form = b"To=%2B18005550100&Digits=1234"

    def case(
        name: str, meant: str, algorithm: str, settings: str | None, body: bytes = form, key: str = secret
    ) -> None:
        signature = base64_mac(utf8(key), f"{url}{_fields(form)}".encode(), algorithm)
        headers = {**FORM_TYPE, "X-Twilio-Signature": signature}
        if settings is not None:
            headers["X-Twilio-Webhooks-Signature-Settings"] = settings
        book.add("twilio-shared-key", name, meant, secret=secret, headers=headers, body=body, url=url)

    name = "key=webhooks_sharedkey_01made"
    case("valid-sha256", VALID, "sha256", f"{name},algorithm=HMAC_SHA256")
    case("tampered", INVALID, "sha256", f"{name},algorithm=HMAC_SHA256", form.replace(b"1234", b"1235"))
    case("wrong-secret", INVALID, "sha256", f"{name},algorithm=HMAC_SHA256", key="another")
    case("valid-sha1", OPEN, "sha1", f"{name},algorithm=HMAC_SHA1")
    case("settings-missing-sha1", OPEN, "sha1", None)
    case("settings-missing-sha256", INVALID, "sha256", None)
    case("settings-say-sha1-mac-is-sha256", INVALID, "sha256", f"{name},algorithm=HMAC_SHA1")
    case("settings-say-sha256-mac-is-sha1", INVALID, "sha1", f"{name},algorithm=HMAC_SHA256")
    case("algorithm-missing", OPEN, "sha1", name)
    case("algorithm-empty", OPEN, "sha1", f"{name},algorithm=")
    case("algorithm-lower-case", OPEN, "sha256", f"{name},algorithm=hmac_sha256")
    case("algorithm-with-blanks", OPEN, "sha256", f"{name}, algorithm = HMAC_SHA256 ")
    case("algorithm-first", VALID, "sha256", f"algorithm=HMAC_SHA256,{name}")
    case("algorithm-twice", OPEN, "sha256", f"algorithm=HMAC_SHA256,{name},algorithm=HMAC_SHA1")
    case("algorithm-unknown", INVALID, "sha512", f"{name},algorithm=HMAC_SHA512")
    case("algorithm-none", INVALID, "sha256", f"{name},algorithm=NONE")


def _plivo(book: Book) -> None:
    secret, nonce = "made-up-of-plivo", "05429567804466091622"
    url = "https://relay.example.net/in/plivo?B=b%20c&A=1"
    base = "https://relay.example.net/in/plivo"
    form = b"CallUUID=97ceeb52&From=%2B1+555&To=Zo%C3%AB"

    def second(name: str, meant: str, data: str, sent: Mapping[str, str | None] | None = None, **more: Any) -> None:
        signature = base64_mac(utf8(more.pop("key", secret)), data.encode(), more.pop("algorithm", "sha256"))
        names = {"X-Plivo-Signature-V2": signature, "X-Plivo-Signature-V2-Nonce": nonce, **(sent or {})}
        headers = {**FORM_TYPE, **{name: value for name, value in names.items() if value is not None}}
        book.add("plivo-v2", name, meant, secret=secret, headers=headers, **{"body": form, "url": url, **more})

    second("valid", VALID, base + nonce)
    second("valid-other-body", VALID, base + nonce, body=b"CallUUID=other")
    second("valid-get", VALID, base + nonce, method="GET", body=b"")
    second("query-signed", INVALID, url + nonce)
    second("other-query", VALID, base + nonce, url=f"{base}?other=1")
    second("other-path", INVALID, base + nonce, url=f"{base}/x?A=1")
    second("other-host", INVALID, base + nonce, url=url.replace("relay.", "relax."))
    second("http", INVALID, base + nonce, url=url.replace("https:", "http:"))
    second("default-port", INVALID, base + nonce, url=url.replace(".net/", ".net:443/"))
    second("wrong-secret", INVALID, base + nonce, key="another")
    second("hash-sha1", INVALID, base + nonce, algorithm="sha1")
    second("nonce-altered", INVALID, base + nonce, {"X-Plivo-Signature-V2-Nonce": nonce + "1"})
    second("nonce-missing", INVALID, base + nonce, {"X-Plivo-Signature-V2-Nonce": None})
    second("signature-missing", INVALID, base + nonce, {"X-Plivo-Signature-V2": None})
    second("signature-empty", INVALID, base + nonce, {"X-Plivo-Signature-V2": ""})
    v2 = base64_mac(utf8(secret), (base + nonce).encode())
    for name, (meant, text) in damaged(v2, "base64").items():
        second(f"signature-{name}", meant, "", {"X-Plivo-Signature-V2": text})
    second("two-signatures", OPEN, "", {"X-Plivo-Signature-V2": f"AAAA,{v2}"})

    def third(name: str, meant: str, data: str, sent: Mapping[str, str | None] | None = None, **more: Any) -> None:
        signature = base64_mac(utf8(more.pop("key", secret)), data.encode(), more.pop("algorithm", "sha256"))
        names = {"X-Plivo-Signature-V3": signature, "X-Plivo-Signature-V3-Nonce": nonce, **(sent or {})}
        headers = {**FORM_TYPE, **{name: value for name, value in names.items() if value is not None}}
        book.add("plivo-v3", name, meant, secret=secret, headers=headers, **{"body": form, "url": url, **more})

    query = "A=1&B=b c"
    data = f"{base}?{query}.CallUUID97ceeb52From+1 555ToZoë.{nonce}"
    third("valid-post", VALID, data)
    third(
        "valid-post-without-query",
        VALID,
        f"{base}?.CallUUID97ceeb52From+1 555ToZoë.{nonce}".replace("?.", "?"),
        url=base,
    )
    third("post-without-query-with-dot", OPEN, f"{base}.CallUUID97ceeb52From+1 555ToZoë.{nonce}", url=base)
    third("valid-post-without-fields", VALID, f"{base}?{query}.{nonce}", body=b"")
    third("valid-post-bare", VALID, f"{base}.{nonce}", body=b"", url=base)
    third("valid-get", VALID, f"{base}?{query}.{nonce}", body=b"", method="GET")
    third("valid-get-bare", VALID, f"{base}.{nonce}", body=b"", url=base, method="GET")
    third("repeated-field", VALID, f"{base}?{query}.a1a2b3.{nonce}", body=b"b=3&a=2&a=1")
    third("empty-field", VALID, f"{base}?{query}.ab3.{nonce}", body=b"b=3&a=")
    third("repeated-in-query", VALID, f"{base}?A=1&A=2.x1.{nonce}", body=b"x=1", url=f"{base}?A=2&A=1")
    third("tampered-field", INVALID, data, body=form.replace(b"97ceeb52", b"97ceeb53"))
    third("field-added", INVALID, data, body=form + b"&x=1")
    third("query-altered", INVALID, data, url=url.replace("A=1", "A=2"))
    third("query-reordered", VALID, data, url=f"{base}?A=1&B=b%20c")
    third("query-not-decoded", INVALID, data.replace("b c", "b%20c"))
    third("nonce-altered", INVALID, data, {"X-Plivo-Signature-V3-Nonce": nonce + "1"})
    third("nonce-missing", INVALID, data, {"X-Plivo-Signature-V3-Nonce": None})
    third("signature-missing", INVALID, data, {"X-Plivo-Signature-V3": None})
    third("signature-empty", INVALID, data, {"X-Plivo-Signature-V3": ""})
    third("wrong-secret", INVALID, data, key="another")
    third("hash-sha1", INVALID, data, algorithm="sha1")
    third("method-differs", INVALID, data, method="GET")
    third("get-signed-as-post", INVALID, f"{base}?{query}..{nonce}", body=b"", method="GET")
    v3 = base64_mac(utf8(secret), data.encode())
    third("several-first", VALID, "", {"X-Plivo-Signature-V3": f"{v3},AAAA"})
    third("several-last", VALID, "", {"X-Plivo-Signature-V3": f"AAAA,{v3}"})
    third("several-after-blank", OPEN, "", {"X-Plivo-Signature-V3": f"AAAA, {v3}"})
    third("several-none", INVALID, "", {"X-Plivo-Signature-V3": "AAAA,BBBB"})
    for name, (meant, text) in damaged(v3, "base64").items():
        third(f"signature-{name}", meant, "", {"X-Plivo-Signature-V3": text})
    for name in ("http", "other-host", "default-port", "slash-at-end-of-path", "query-missing"):
        third(f"url-{name}", INVALID, data, url=other_urls(url.replace("b%20c", "%20y"))[name].replace("%20y", "b%20c"))
    third("url-fragment", OPEN, data, url=f"{url}#top")


def _mandrill(book: Book) -> None:
    secret, url = "made-up-of-mandrill", "https://relay.example.net/in/mandrill?x=%20y"
    events = '[{"event":"send","ts":1795435198,"_id":"example","msg":{"subject":"Zoë & more"}}]'
    form = urlencode({"mandrill_events": events}).encode()

    def case(name: str, meant: str, data: str, **more: Any) -> None:
        signature = more.pop(
            "signature", base64_mac(utf8(more.pop("key", secret)), data.encode(), more.pop("hash", "sha1"))
        )
        headers = {**FORM_TYPE, **({} if signature is None else {"X-Mandrill-Signature": signature})}
        book.add("mandrill", name, meant, secret=secret, headers=headers, **{"body": form, "url": url, **more})

    right = f"{url}mandrill_events{events}"
    case("valid", VALID, right)
    case("valid-two-fields", VALID, f"{url}a1mandrill_events{events}", body=form + b"&a=1")
    case("valid-empty-array", VALID, f"{url}mandrill_events[]", body=b"mandrill_events=%5B%5D")
    case("empty-form", OPEN, url, body=b"")
    case("tampered", INVALID, right, body=form.replace(b"example", b"examplf"))
    case("field-added", INVALID, right, body=form + b"&a=1")
    case("wrong-secret", INVALID, right, key="another")
    case("hash-sha256", INVALID, right, hash="sha256")
    case("url-not-signed", INVALID, f"mandrill_events{events}")
    case("missing-signature", INVALID, right, signature=None)
    case("empty-signature", INVALID, right, signature="")
    for name, (meant, text) in damaged(base64_mac(utf8(secret), right.encode(), "sha1"), "base64").items():
        case(f"signature-{name}", meant, right, signature=text)
    for name, other in other_urls(url).items():
        case(f"url-{name}", INVALID, right, url=other)


# Signatures within the body


def _adyen(book: Book) -> None:
    secret = made_up("adyen").hex().upper()
    usual = {
        "pspReference": "7914073381342284",
        "originalReference": "",
        "merchantAccountCode": "MadeUpMerchant",
        "merchantReference": "order-1",
        "amount": {"value": 1130, "currency": "EUR"},
        "eventCode": "AUTHORISATION",
        "success": "true",
        "eventDate": "2026-11-23T11:59:58+00:00",
        "paymentMethod": "visa",
    }

    def data(item: Mapping[str, Any]) -> str:
        amount = item.get("amount", {})
        names = ("pspReference", "originalReference", "merchantAccountCode", "merchantReference")
        before = [item.get(name) or "" for name in names]
        after = [item.get(name) or "" for name in ("eventCode", "success")]
        return ":".join(map(str, [*before, amount.get("value", ""), amount.get("currency", ""), *after]))

    def signed(item: Mapping[str, Any], key: str = secret, text: str | None = None) -> dict[str, Any]:
        signature = base64_mac(bytes.fromhex(key), (data(item) if text is None else text).encode())
        return {**item, "additionalData": {"hmacSignature": signature}}

    def case(name: str, meant: str, *items: Mapping[str, Any], body: bytes | None = None, key: str = secret) -> None:
        whole = {"live": "false", "notificationItems": [{"NotificationRequestItem": item} for item in items]}
        sent = json.dumps(whole, ensure_ascii=False).encode() if body is None else body
        book.add("adyen", name, meant, secret=key, headers=JSON_TYPE, body=sent)

    case("valid", VALID, signed(usual))
    case("valid-more-additional-data", VALID, {**signed(usual), "reason": "x"})
    case("valid-original-reference", VALID, signed({**usual, "originalReference": "8814073381342285"}))
    case("valid-utf8-reference", VALID, signed({**usual, "merchantReference": "Zoë ✓"}))
    case("valid-colon-in-reference", VALID, signed({**usual, "merchantReference": "a:b\\c"}))
    case("valid-zero", VALID, signed({**usual, "amount": {"value": 0, "currency": "EUR"}}))
    case("valid-negative", VALID, signed({**usual, "amount": {"value": -5, "currency": "EUR"}}))
    without = {name: value for name, value in usual.items() if name != "originalReference"}
    case("valid-field-missing", VALID, signed(without))
    case("field-null", OPEN, signed({**usual, "originalReference": None}))
    case("success-as-boolean", OPEN, signed({**usual, "success": True}, text=data({**usual, "success": "true"})))
    case("value-as-text", VALID, signed({**usual, "amount": {"value": "1130", "currency": "EUR"}}))
    fraction = json.dumps({"notificationItems": [{"NotificationRequestItem": signed(usual)}]}).replace("1130", "1130.0")
    case("value-with-fraction", OPEN, body=fraction.encode())
    case("unsigned-field-altered", VALID, {**signed(usual), "paymentMethod": "mc"})
    case("lower-case-key", VALID, signed(usual), key=secret.lower())
    for name, value in (
        ("pspReference", "1"),
        ("merchantReference", "order-2"),
        ("eventCode", "CAPTURE"),
        ("success", "false"),
    ):
        case(f"tampered-{name.lower()}", INVALID, {**signed(usual), name: value})
    case("tampered-amount", INVALID, {**signed(usual), "amount": {"value": 9130, "currency": "EUR"}})
    case("tampered-currency", INVALID, {**signed(usual), "amount": {"value": 1130, "currency": "USD"}})
    case("wrong-key", INVALID, signed(usual, key=made_up("other").hex()))
    text_key = base64_mac(utf8(secret), data(usual).encode())
    case("key-is-text", INVALID, {**usual, "additionalData": {"hmacSignature": text_key}})
    case(
        "colon-shifted",
        OPEN,
        {**signed(usual, text=data({**usual, "merchantReference": "order-1:x"})), "merchantReference": "order-1:x"},
    )
    shifted = {**usual, "merchantAccountCode": "MadeUpMerchant:order-1", "merchantReference": ""}
    case(
        "colons-confused",
        INVALID,
        {**signed(usual), **{n: shifted[n] for n in ("merchantAccountCode", "merchantReference")}},
    )
    case("no-additional-data", INVALID, usual)
    case("signature-missing", INVALID, {**usual, "additionalData": {}})
    case("signature-json-null", INVALID, {**usual, "additionalData": {"hmacSignature": None}})
    case("signature-number", INVALID, {**usual, "additionalData": {"hmacSignature": 1}})
    case("signature-empty", INVALID, {**usual, "additionalData": {"hmacSignature": ""}})
    for name, (meant, text) in damaged(base64_mac(bytes.fromhex(secret), data(usual).encode()), "base64").items():
        case(f"signature-{name}", meant, {**usual, "additionalData": {"hmacSignature": text}})
    case("two-items", VALID, signed(usual), signed({**usual, "pspReference": "2"}))
    case("two-items-first-forged", INVALID, {**signed(usual), "success": "false"}, signed(usual))
    case("two-items-second-forged", INVALID, signed(usual), {**signed(usual), "success": "false"})
    case("two-items-second-unsigned", INVALID, signed(usual), usual)
    case("no-items", INVALID)
    case("not-json", INVALID, body=b"not json")
    case("empty-body", INVALID, body=b"")
    case("list", INVALID, body=b"[]")
    case("amount-missing", OPEN, signed({name: value for name, value in usual.items() if name != "amount"}))
    made = import_module("Adyen.util").generate_notification_sig(usual, secret).decode()
    case("signed-by-its-sdk", VALID, {**usual, "additionalData": {"hmacSignature": made}})


def _mailgun(book: Book) -> None:
    secret, token = "key-made-up", made_up("mailgun", 25).hex()

    def case(
        name: str, meant: str, changes: Mapping[str, Any] | None = None, stamp: str = str(NOW - 5), **how: str
    ) -> None:
        signature = hex_mac(utf8(how.get("key", secret)), f"{stamp}{token}".encode(), how.get("hash", "sha256"))
        signed = {"timestamp": stamp, "token": token, "signature": signature, **(changes or {})}
        signed = {name: value for name, value in signed.items() if value is not None}
        event = {"id": "CPg", "event": "delivered", "recipient": "zoe@example.net", "price": "100.00"}
        body = json.dumps({"signature": signed, "event-data": event}).encode()
        book.add("mailgun", name, meant, secret=secret, headers=JSON_TYPE, body=body)
        fields = {"recipient": "zoe@example.net", "subject": "Zoë", **signed}
        form = urlencode(fields).encode()
        book.add("mailgun-inbound-form", name, meant, secret=secret, headers=FORM_TYPE, body=form)

    case("valid", VALID)
    case("wrong-secret", INVALID, key="another")
    case("hash-sha1", INVALID, hash="sha1")
    case("hash-sha512", INVALID, hash="sha512")
    case("token-altered", INVALID, {"token": token[:-1] + "x"})
    case("stamp-altered", INVALID, {"timestamp": str(NOW - 4)})
    for name in ("timestamp", "token", "signature"):
        case(f"{name}-missing", INVALID, {name: None})
        case(f"{name}-empty", INVALID, {name: ""})
    joined = f"{NOW - 5}{token}"
    case("boundary-shifted", OPEN, {"timestamp": joined[:9], "token": joined[9:]})
    right = hex_mac(utf8(secret), joined.encode())
    for name, (meant, text) in damaged(right, "hex").items():
        case(f"signature-{name}", meant, {"signature": text})
    stamps = {
        "now": (VALID, NOW),
        "past-inside": (VALID, NOW - 899),
        "past-at-limit": (OPEN, NOW - 900),
        "past-outside": (INVALID, NOW - 901),
        "past-day": (INVALID, NOW - 86400),
        "future-inside": (VALID, NOW + 899),
        "future-outside": (INVALID, NOW + 901),
        "future-day": (INVALID, NOW + 86400),
        "zero": (INVALID, 0),
        "milliseconds": (INVALID, NOW * 1000),
        "word": (INVALID, "yesterday"),
        "with-fraction": (OPEN, f"{NOW - 5}.0"),
        "endless": (INVALID, "9" * 400),
        "with-plus": (OPEN, f"+{NOW - 5}"),
    }
    for name, (meant, stamp) in stamps.items():
        case(f"time-{name}", meant, stamp=str(stamp))
    signed = {"timestamp": NOW - 5, "token": token, "signature": right}
    whole = {"event-data": {"event": "delivered"}}

    def json_case(name: str, meant: str, body: Any) -> None:
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        book.add("mailgun", name, meant, secret=secret, headers=JSON_TYPE, body=sent)

    json_case("timestamp-is-number", OPEN, {"signature": signed, **whole})
    json_case(
        "event-data-altered",
        VALID,
        {"signature": {**signed, "timestamp": str(NOW - 5)}, "event-data": {"event": "failed"}},
    )
    json_case("token-is-number", INVALID, {"signature": {**signed, "token": 1}, **whole})
    json_case("signature-is-list", INVALID, {"signature": [right], **whole})
    json_case("signature-block-missing", INVALID, whole)
    json_case("not-json", INVALID, b"not json")
    json_case("empty-body", INVALID, b"")
    json_case("not-utf8", INVALID, b'{"signature":"\xff"}')
    form = urlencode({"timestamp": str(NOW - 5), "token": token, "signature": right})

    def form_case(name: str, meant: str, body: bytes, kind: Mapping[str, str] = FORM_TYPE) -> None:
        book.add("mailgun-inbound-form", name, meant, secret=secret, headers=kind, body=body)

    form_case("fields-twice-last-right", OPEN, f"signature=0&{form}".encode())
    form_case("fields-twice-first-right", OPEN, f"{form}&signature=0".encode())
    form_case("empty-body", INVALID, b"")
    parts = "".join(
        f'--made-up\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in (("subject", "Zoë"), ("timestamp", str(NOW - 5)), ("token", token), ("signature", right))
    )
    multipart = {"Content-Type": "multipart/form-data; boundary=made-up"}
    form_case("valid-multipart", VALID, f"{parts}--made-up--\r\n".encode(), multipart)
    file = '--made-up\r\nContent-Disposition: form-data; name="attachment-1"; filename="a.txt"\r\n\r\ntoken\r\n'
    form_case("valid-multipart-with-file", VALID, f"{file}{parts}--made-up--\r\n".encode(), multipart)
    broken = parts.replace(right, right[:-1] + ("0" if right[-1] != "0" else "1"))
    form_case("multipart-signature-changed", INVALID, f"{broken}--made-up--\r\n".encode(), multipart)


def _dropbox_sign(book: Book) -> None:
    secret = made_up("dropbox sign").hex()
    boundary = "----made-up"

    def form(text: str, name: str = "json") -> bytes:
        part = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n--{boundary}--\r\n'
        return part.encode()

    def event(changes: Mapping[str, Any] | None = None, **how: str) -> dict[str, Any]:
        kind, stamp = "signature_request_sent", str(NOW - 5)
        right = hex_mac(utf8(how.get("key", secret)), f"{stamp}{kind}".encode(), how.get("hash", "sha256"))
        usual: dict[str, Any] = {"event_type": kind, "event_time": stamp, "event_hash": right}
        usual |= {"event_metadata": {"related_signature_id": None, "event_message": None}}
        found = {**usual, **(changes or {})}
        return {"event": {name: value for name, value in found.items() if value is not None}}

    def case(name: str, meant: str, body: bytes, kind: Mapping[str, str] | None = None) -> None:
        headers = kind or {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        book.add("dropbox-sign", name, meant, secret=secret, headers=headers, body=body)

    case("valid", VALID, form(json.dumps(event())))
    case("valid-not-ascii", VALID, form(json.dumps({**event(), "title": "Zoë"}, ensure_ascii=False)))
    case(
        "valid-old",
        OPEN,
        form(json.dumps(event({"event_time": "1", "event_hash": hex_mac(utf8(secret), b"1signature_request_sent")}))),
    )
    case("other-fields-altered", OPEN, form(json.dumps({**event(), "signature_request": {"title": "other"}})))
    case("time-altered", INVALID, form(json.dumps(event({"event_time": str(NOW - 4)}))))
    case("type-altered", INVALID, form(json.dumps(event({"event_type": "signature_request_signed"}))))
    case("wrong-secret", INVALID, form(json.dumps(event(key="another"))))
    case("hash-sha1", INVALID, form(json.dumps(event(hash="sha1"))))
    for name in ("event_type", "event_time", "event_hash"):
        case(f"{name.replace('_', '-')}-missing", INVALID, form(json.dumps(event({name: None}))))
        case(f"{name.replace('_', '-')}-empty", INVALID, form(json.dumps(event({name: ""}))))
    for name, (meant, text) in damaged(event()["event"]["event_hash"], "hex").items():
        case(f"hash-{name}", meant, form(json.dumps(event({"event_hash": text}))))
    case("time-is-number", OPEN, form(json.dumps(event({"event_time": NOW - 5}))))
    case("hash-is-null", INVALID, form('{"event":{"event_type":"a","event_time":"1","event_hash":null}}'))
    case("other-field-name", INVALID, form(json.dumps(event()), "data"))
    case("not-json", INVALID, form("not json"))
    case("empty-body", INVALID, b"")
    case("json-body", OPEN, json.dumps(event()).encode(), JSON_TYPE)
    case("urlencoded", OPEN, urlencode({"json": json.dumps(event())}).encode(), FORM_TYPE)
    case(
        "boundary-quoted",
        VALID,
        form(json.dumps(event())),
        {"Content-Type": f'multipart/form-data; boundary="{boundary}"'},
    )
    case("boundary-other", INVALID, form(json.dumps(event())), {"Content-Type": "multipart/form-data; boundary=other"})


def _braintree(book: Book) -> None:
    secret = {"merchant_id": "made_up_merchant", "public_key": "made_up_public", "private_key": "made_up_private"}
    xml = (
        '<notification><timestamp type="datetime">2026-11-23T11:59:58Z</timestamp><kind>check</kind>'
        '<subject><check type="boolean">true</check></subject></notification>'
    )
    payload = base64.encodebytes(xml.encode()).decode()

    def sign(text: str, private_key: str = secret["private_key"], algorithm: str = "sha1") -> str:
        return hex_mac(hashlib.new(algorithm, utf8(private_key)).digest(), text.encode(), "sha1")

    def case(name: str, meant: str, signature: str | None, text: str | None = payload) -> None:
        fields = {"bt_signature": signature, "bt_payload": text}
        body = urlencode({name: value for name, value in fields.items() if value is not None}).encode()
        book.add("braintree", name, meant, secret=secret, headers=FORM_TYPE, body=body)

    public, right = secret["public_key"], sign(payload)
    case("valid", VALID, f"{public}|{right}")
    case("newline-stripped-from-payload", OPEN, f"{public}|{right}", payload.rstrip("\n"))
    case("signed-without-newline", VALID, f"{public}|{sign(payload.rstrip())}", payload.rstrip("\n"))
    case("newline-added-to-payload", INVALID, f"{public}|{right}", payload + "\n")
    case("valid-one-line", VALID, f"{public}|{sign(payload.replace(chr(10), ''))}", payload.replace("\n", ""))
    case("payload-tampered", INVALID, f"{public}|{right}", payload.replace("P", "Q", 1))
    case("payload-with-crlf", INVALID, f"{public}|{right}", payload.replace("\n", "\r\n"))
    crlf = payload.replace("\n", "\r\n")
    case("signed-with-crlf", OPEN, f"{public}|{sign(crlf)}", crlf)
    odd = payload + "<"
    case("signed-with-other-characters", INVALID, f"{public}|{sign(odd)}", odd)
    case("payload-empty-signed", INVALID, f"{public}|{sign('')}", "")
    case("payload-missing", INVALID, f"{public}|{right}", None)
    case("signature-missing", INVALID, None)
    case("signature-empty", INVALID, "")
    case("wrong-private-key", INVALID, f"{public}|{sign(payload, 'another')}")
    case("key-not-hashed", INVALID, f"{public}|{hex_mac(utf8(secret['private_key']), payload.encode(), 'sha1')}")
    case("key-hashed-by-sha256", INVALID, f"{public}|{sign(payload, algorithm='sha256')}")
    key = hashlib.new("sha1", utf8(secret["private_key"])).digest()  # noqa: S324 - Braintree's choice
    case("mac-sha256", INVALID, f"{public}|{hex_mac(key, payload.encode())}")
    case("other-public-key", INVALID, f"other_public|{right}")
    case("public-key-upper-case", INVALID, f"{public.upper()}|{right}")
    case("pairs-second-ours", VALID, f"other_public|{'0' * 40}&{public}|{right}")
    case("pairs-first-ours", VALID, f"{public}|{right}&other_public|{'0' * 40}")
    case("pairs-ours-twice-first-right", OPEN, f"{public}|{right}&{public}|{'0' * 40}")
    case("pairs-ours-twice-last-right", OPEN, f"{public}|{'0' * 40}&{public}|{right}")
    case("pairs-with-broken", OPEN, f"broken&{public}|{right}")
    case("pairs-three-parts", OPEN, f"{public}|{right}|x")
    case("bare-signature", INVALID, right)
    for name, (meant, text) in damaged(right, "hex").items():
        case(f"signature-{name}", meant, f"{public}|{text}")

    def challenge(name: str, meant: str, text: str) -> None:
        url = f"https://relay.example.net/in/braintree?bt_challenge={quote(text)}"
        book.add("braintree", name, meant, secret=secret, headers={}, body=b"", method="GET", url=url)

    challenge("challenge", VALID, made_up("challenge", 16).hex())
    challenge("challenge-of-20", VALID, made_up("challenge", 10).hex())
    challenge("challenge-too-short", INVALID, made_up("challenge", 9).hex())
    challenge("challenge-too-long", INVALID, made_up("challenge", 17).hex())
    challenge("challenge-upper-case", INVALID, made_up("challenge", 16).hex().upper())
    challenge("challenge-other-characters", INVALID, "goodgoodgoodgoodgood")
    challenge("challenge-with-newline", OPEN, made_up("challenge", 16).hex() + "\n")


# Certificates


def _sns(book: Book) -> None:
    host, path = "sns.us-east-1.amazonaws.com", "/SimpleNotificationService-0000000000000000000000.pem"
    good = f"https://{host}{path}"
    secret = {"signing_cert_pem": keys.certificate(keys.RSA_PEM, "sns.amazonaws.com"), "signing_cert_url": good}
    topic = "arn:aws:sns:us-east-1:123456789012:MadeUp"
    usual = {
        "Type": "Notification",
        "MessageId": "22b80b92-0000-4000-8000-000000000001",
        "TopicArn": topic,
        "Message": 'Zoë ✓\n"100.00"',
        "Timestamp": "2026-11-23T11:59:58.000Z",
        "SigningCertURL": good,
        "UnsubscribeURL": f"https://{host}/?Action=Unsubscribe",
    }
    confirmation = {
        "Type": "SubscriptionConfirmation",
        "MessageId": "22b80b92-0000-4000-8000-000000000002",
        "Token": made_up("sns token", 40).hex(),
        "TopicArn": topic,
        "Message": "You have chosen to subscribe.",
        "SubscribeURL": f"https://{host}/?Action=ConfirmSubscription&Token=x",
        "Timestamp": "2026-11-23T11:59:58.000Z",
        "SigningCertURL": good,
    }
    confirming = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
    notifying = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")

    def signed(
        message: Mapping[str, Any], version: str = "1", pem: str = keys.RSA_PEM, digest: str | None = None
    ) -> dict[str, Any]:
        names = notifying if message["Type"] == "Notification" else confirming
        text = "".join(f"{name}\n{message[name]}\n" for name in names if message.get(name) is not None)
        made = keys.rsa_sign(pem, text.encode(), digest or {"1": "SHA1", "2": "SHA256"}.get(version, "SHA256"))
        return {**message, "SignatureVersion": version, "Signature": made}

    def case(name: str, meant: str, message: Any) -> None:
        body = message if isinstance(message, bytes) else json.dumps(message, indent=2).encode()
        kind = message.get("Type", "") if isinstance(message, dict) else "Notification"
        headers = {
            "Content-Type": "text/plain; charset=UTF-8",
            "x-amz-sns-message-type": str(kind),
            "x-amz-sns-topic-arn": topic,
        }
        book.add("aws-sns", name, meant, secret=secret, headers=headers, body=body)

    for version in ("1", "2"):
        case(f"valid-notification-v{version}", VALID, signed(usual, version))
        case(f"valid-subject-v{version}", VALID, signed({**usual, "Subject": "Made up"}, version))
        case(f"valid-subscription-v{version}", VALID, signed(confirmation, version))
        case(
            f"valid-unsubscription-v{version}",
            VALID,
            signed({**confirmation, "Type": "UnsubscribeConfirmation"}, version),
        )
        case(f"other-key-v{version}", INVALID, signed(usual, version, pem=keys.OTHER_RSA_PEM))
        for name in ("Message", "MessageId", "Timestamp", "TopicArn"):
            case(f"tampered-{name.lower()}-v{version}", INVALID, {**signed(usual, version), name: usual[name] + "x"})
        case(f"subject-added-v{version}", INVALID, {**signed(usual, version), "Subject": "x"})
        case(f"empty-subject-signed-v{version}", OPEN, signed({**usual, "Subject": ""}, version))
        removed = {
            name: value for name, value in signed({**usual, "Subject": "x"}, version).items() if name != "Subject"
        }
        case(f"subject-removed-v{version}", INVALID, removed)
    case("valid-ascii-json", VALID, json.dumps(signed(usual), ensure_ascii=False).encode())
    case("subject-null", OPEN, {**signed(usual), "Subject": None})
    case("token-altered", INVALID, {**signed(confirmation), "Token": "x"})
    case("subscribe-url-altered", INVALID, {**signed(confirmation), "SubscribeURL": "https://evil.example/"})
    case("unsigned-field-altered", VALID, {**signed(usual), "UnsubscribeURL": "https://other.example/"})
    case("version-1-labelled-2", INVALID, {**signed(usual, "1"), "SignatureVersion": "2"})
    case("version-2-labelled-1", INVALID, {**signed(usual, "2"), "SignatureVersion": "1"})
    case("version-3", INVALID, signed(usual, "3"))
    case("version-number", OPEN, {**signed(usual), "SignatureVersion": 1})
    case(
        "version-missing", INVALID, {name: value for name, value in signed(usual).items() if name != "SignatureVersion"}
    )
    case("type-other", INVALID, {**signed(usual), "Type": "Other"})
    case("type-missing", INVALID, {name: value for name, value in signed(usual).items() if name != "Type"})
    case("type-confirmation-of-notification", INVALID, {**signed(usual), "Type": "SubscriptionConfirmation"})
    case("signature-missing", INVALID, {name: value for name, value in signed(usual).items() if name != "Signature"})
    case("signature-empty", INVALID, {**signed(usual), "Signature": ""})
    case("signature-not-base64", INVALID, {**signed(usual), "Signature": "!!!"})
    case("signature-number", INVALID, {**signed(usual), "Signature": 1})
    right = signed(usual)["Signature"]
    case("signature-truncated", INVALID, {**signed(usual), "Signature": right[:-8]})
    case(
        "signature-last-byte-changed",
        INVALID,
        {**signed(usual), "Signature": right[:-4] + ("AA==" if right[-4:] != "AA==" else "BB==")},
    )
    case("fields-missing", INVALID, {name: value for name, value in signed(usual).items() if name != "MessageId"})
    case("message-empty", VALID, signed({**usual, "Message": ""}))
    case(
        "newlines-confused",
        INVALID,
        {**signed(usual), "Message": usual["Message"] + "\nMessageId\n" + usual["MessageId"]},
    )
    case("not-json", INVALID, b"not json")
    case("empty-body", INVALID, b"")
    case("list", INVALID, b"[]")
    urls = {
        "http": (INVALID, good.replace("https:", "http:")),
        "other-host": (INVALID, f"https://evil.example{path}"),
        "host-with-suffix": (INVALID, f"https://{host}.evil.example{path}"),
        "host-with-prefix": (INVALID, f"https://evil{host}{path}"),
        "host-in-path": (INVALID, f"https://evil.example/{host}{path}"),
        "host-in-query": (INVALID, f"https://evil.example{path}?{host}"),
        "user": (INVALID, f"https://{host}@evil.example{path}"),
        "user-of-good-host": (INVALID, f"https://user@{host}{path}"),
        "user-with-slash": (INVALID, f"https://evil.example\\@{host}{path}"),
        "backslash": (INVALID, f"https://evil.example\\.{host}{path}"),
        "hash": (INVALID, f"https://evil.example#{host}{path}"),
        "other-port": (INVALID, f"https://{host}:8443{path}"),
        "default-port": (OPEN, f"https://{host}:443{path}"),
        "other-path": (INVALID, f"https://{host}/cert.txt"),
        "path-parent": (OPEN, f"https://{host}/x/..{path}"),
        "bucket-host": (INVALID, f"https://sns.s3.amazonaws.com{path}"),
        "other-service": (INVALID, f"https://s3.us-east-1.amazonaws.com{path}"),
        "other-region": (VALID, f"https://sns.eu-central-1.amazonaws.com{path}"),
        "china": (VALID, f"https://sns.cn-north-1.amazonaws.com.cn{path}"),
        "government": (VALID, f"https://sns.us-gov-west-1.amazonaws.com{path}"),
        "no-region": (INVALID, f"https://sns.amazonaws.com{path}"),
        "two-regions": (INVALID, f"https://sns.evil.us-east-1.amazonaws.com{path}"),
        "upper-case-host": (OPEN, f"https://{host.upper()}{path}"),
        "upper-case-ending": (OPEN, f"https://{host}{path.replace('.pem', '.PEM')}"),
        "query": (OPEN, f"{good}?x=1"),
        "trailing-dot": (OPEN, f"https://{host}.{path}"),
        "newline": (INVALID, f"{good}\n"),
        "leading-blank": (INVALID, f" {good}"),
        "no-scheme": (INVALID, f"//{host}{path}"),
        "file": (INVALID, f"file://{host}{path}"),
        "empty": (INVALID, ""),
        "number": (INVALID, 1),
        "null": (INVALID, None),
    }
    for name, (meant, url) in urls.items():
        case(f"cert-url-{name}", meant, {**signed(usual), "SigningCertURL": url})
    case(
        "cert-url-missing", INVALID, {name: value for name, value in signed(usual).items() if name != "SigningCertURL"}
    )
    lambda_message = {name.replace("URL", "Url"): value for name, value in signed(usual).items()}
    case("field-names-of-lambda", OPEN, lambda_message)


def _paypal(book: Book) -> None:
    good = "https://api.paypal.com/v1/notifications/certs/CERT-360caa42-made-up"
    usual = {
        "PAYPAL-TRANSMISSION-ID": "69cd13f0-0000-4000-8000-000000000001",
        "PAYPAL-TRANSMISSION-TIME": "2026-11-23T11:59:58Z",
        "PAYPAL-CERT-URL": good,
        "PAYPAL-AUTH-ALGO": "SHA256withRSA",
    }
    name_of_paypal = "messageverificationcerts.paypal.com"
    secret = {"webhook_id": "1JE4MADEUP", "cert_pem": keys.certificate(keys.RSA_PEM, name_of_paypal)}

    def case(
        name: str,
        meant: str,
        body: bytes,
        changes: Mapping[str, str | None] | None = None,
        *,
        signed_body: bytes | None = None,
        pem: str = keys.RSA_PEM,
        webhook: str = secret["webhook_id"],
        digest: str = "SHA256",
        cert: str | None = None,
        signed_sum: str | None = None,
        signed_time: str = usual["PAYPAL-TRANSMISSION-TIME"],
    ) -> None:
        sum_of = signed_sum or binascii.crc32(body if signed_body is None else signed_body)
        data = f"{usual['PAYPAL-TRANSMISSION-ID']}|{signed_time}|{webhook}|{sum_of}"
        made = keys.rsa_sign(pem, data.encode(), digest)
        sent = {**JSON_TYPE, **usual, "PAYPAL-TRANSMISSION-SIG": made, **(changes or {})}
        headers = {name: value for name, value in sent.items() if value is not None}
        book.add(
            "paypal", name, meant, secret={**secret, "cert_pem": cert or secret["cert_pem"]}, headers=headers, body=body
        )

    body = plain()
    for name, some in bodies().items():
        case(f"valid-{name}", VALID, some)
    case("tampered", INVALID, body.replace(b"100.00", b"900.00"), signed_body=body)
    case("newline-added", INVALID, body + b"\n", signed_body=body)
    case("other-key", INVALID, body, pem=keys.OTHER_RSA_PEM)
    case("other-webhook-id", INVALID, body, webhook="2JE4MADEUP")
    case("id-altered", INVALID, body, {"PAYPAL-TRANSMISSION-ID": "69cd13f0-0000-4000-8000-000000000002"})
    case("time-altered", INVALID, body, {"PAYPAL-TRANSMISSION-TIME": "2026-11-23T11:59:59Z"})
    old = "2020-01-01T00:00:00Z"
    case("time-old", OPEN, body, {"PAYPAL-TRANSMISSION-TIME": old}, signed_time=old)
    case("sum-in-hex", INVALID, body, signed_sum=f"{binascii.crc32(body):x}")
    negative = next(plain() + b" " * n for n in range(64) if binascii.crc32(plain() + b" " * n) >= 2**31)
    case("valid-large-sum", VALID, negative)
    case("sum-signed-as-negative", INVALID, negative, signed_sum=str(binascii.crc32(negative) - 2**32))
    case("hash-sha1", INVALID, body, digest="SHA1")
    case("hash-sha1-declared", OPEN, body, {"PAYPAL-AUTH-ALGO": "SHA1withRSA"}, digest="SHA1")
    case("algorithm-unknown", INVALID, body, {"PAYPAL-AUTH-ALGO": "none"})
    case("algorithm-lower-case", OPEN, body, {"PAYPAL-AUTH-ALGO": "sha256withrsa"})
    case("algorithm-missing", OPEN, body, {"PAYPAL-AUTH-ALGO": None})
    for name in ("TRANSMISSION-ID", "TRANSMISSION-TIME", "TRANSMISSION-SIG"):
        case(f"{name.lower()}-missing", INVALID, body, {f"PAYPAL-{name}": None})
        case(f"{name.lower()}-empty", INVALID, body, {f"PAYPAL-{name}": ""})
    case("signature-not-base64", INVALID, body, {"PAYPAL-TRANSMISSION-SIG": "!!!"})
    case("signature-of-zeros", INVALID, body, {"PAYPAL-TRANSMISSION-SIG": base64.b64encode(bytes(256)).decode()})
    case(
        "cert-expired",
        INVALID,
        body,
        cert=keys.certificate(keys.RSA_PEM, name_of_paypal, first_year=2020, last_year=2025),
    )
    case("cert-of-other-name", INVALID, body, cert=keys.certificate(keys.RSA_PEM, "paypal.com.evil.example"))
    case("cert-of-suffix-name", INVALID, body, cert=keys.certificate(keys.RSA_PEM, "evilpaypal.com"))
    case("cert-of-bare-name", OPEN, body, cert=keys.certificate(keys.RSA_PEM, "paypal.com"))
    case("cert-not-a-cert", INVALID, body, cert="-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    urls = {
        "sandbox": (VALID, good.replace("api.", "api.sandbox.")),
        "http": (INVALID, good.replace("https:", "http:")),
        "other-host": (INVALID, "https://evil.example/v1/notifications/certs/CERT-1"),
        "host-with-suffix": (INVALID, "https://api.paypal.com.evil.example/v1/notifications/certs/CERT-1"),
        "host-with-prefix": (INVALID, "https://evilpaypal.com/v1/notifications/certs/CERT-1"),
        "user": (INVALID, "https://api.paypal.com@evil.example/v1/notifications/certs/CERT-1"),
        "other-port": (INVALID, "https://api.paypal.com:8443/v1/notifications/certs/CERT-1"),
        "other-path": (INVALID, "https://api.paypal.com/redirect?to=https://evil.example/"),
        "other-paypal-host": (OPEN, "https://www.paypal.com/v1/notifications/certs/CERT-1"),
        "missing": (INVALID, None),
    }
    for name, (meant, url) in urls.items():
        case(f"cert-url-{name}", meant, body, {"PAYPAL-CERT-URL": url})


# JSON Web Tokens


def _part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def jwt(
    claims: Mapping[str, Any], key: str | bytes, algorithm: str = "HS256", head: Mapping[str, Any] | None = None
) -> str:
    """Return a token, by whatever algorithm and of whatever claims."""
    header = {"alg": algorithm, "typ": "JWT", **(head or {})}
    signed = f"{_part(json.dumps(header).encode())}.{_part(json.dumps(claims).encode())}"
    if algorithm == "none":
        return f"{signed}."
    if algorithm == "ES256":
        return f"{signed}.{_part(keys.p256_sign_raw(str(key), signed.encode()))}"
    secret = key.encode() if isinstance(key, str) else key
    digest = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}[algorithm]
    return f"{signed}.{_part(base64.b64decode(base64_mac(secret, signed.encode(), digest)))}"


def damaged_tokens(token: str) -> dict[str, tuple[str, str]]:
    """Return *token* in ways that are no longer it."""
    head, claims, signature = token.split(".")
    other = "A" if signature[0] != "A" else "B"
    return {
        "signature-changed": (INVALID, f"{head}.{claims}.{other}{signature[1:]}"),
        "signature-missing": (INVALID, f"{head}.{claims}."),
        "signature-dot-missing": (INVALID, f"{head}.{claims}"),
        "signature-truncated": (INVALID, f"{head}.{claims}.{signature[:-4]}"),
        "claims-changed": (INVALID, f"{head}.{claims[:-4]}AAAA.{signature}"),
        "four-parts": (INVALID, f"{token}.AAAA"),
        "padded": (OPEN, f"{token}="),
        "not-a-token": (INVALID, "not a token"),
        "not-ascii": (INVALID, f"é{token}"),
        "dots-alone": (INVALID, ".."),
        "empty": (INVALID, ""),
        "newline-after": (OPEN, f"{token}\n"),
    }


def _about_keys(claims: Mapping[str, Any], key: str) -> dict[str, tuple[str, str]]:
    """Return tokens of other keys and algorithms."""
    return {
        "wrong-secret": (INVALID, jwt(claims, "made-up-other-secret-long-enough-0123456789")),
        "algorithm-none": (INVALID, jwt(claims, key, "none")),
        "algorithm-none-with-mac": (INVALID, f"{jwt(claims, key, 'none')}{jwt(claims, key).rpartition('.')[2]}"),
        "algorithm-None": (INVALID, jwt(claims, key, head={"alg": "None"})),
        "algorithm-lower-case": (INVALID, jwt(claims, key, head={"alg": "hs256"})),
        "algorithm-es256": (INVALID, jwt(claims, "made up", "ES256")),
        "algorithm-missing": (INVALID, jwt(claims, key, head={"alg": None})),
        "type-missing": (OPEN, jwt(claims, key, head={"typ": None})),
        "critical-header": (INVALID, jwt(claims, key, head={"crit": ["made-up"], "made-up": 1})),
        "unencoded-header": (INVALID, jwt(claims, key, head={"b64": False})),
        "key-in-header": (INVALID, jwt(claims, "attacker", head={"jwk": {"kty": "oct", "k": _part(b"attacker")}})),
        "key-with-newline": (INVALID, jwt(claims, key + "\n")),
        "key-empty": (INVALID, jwt(claims, "")),
    }


def _times(claims: Mapping[str, Any], key: str, leeway_s: int) -> dict[str, tuple[str, str]]:
    """Return tokens of other times: of ``exp`` and ``nbf``, missing, of other types, and at the ends of *leeway_s*."""
    changed: dict[str, tuple[str, dict[str, Any]]] = {
        "expired-inside-leeway": (OPEN, {"exp": NOW - max(leeway_s - 1, 0)}),
        "expired-at-leeway": (OPEN, {"exp": NOW - leeway_s}),
        "expired-beyond-leeway": (INVALID, {"exp": NOW - leeway_s - 6}),
        "expired-hour": (INVALID, {"exp": NOW - 3600}),
        "expires-now": (OPEN, {"exp": NOW}),
        "expires-next": (VALID, {"exp": NOW + 1}),
        "expires-in-a-century": (OPEN, {"exp": NOW + 3153600000}),
        "exp-missing": (OPEN, {"exp": ...}),
        "exp-text": (OPEN, {"exp": str(NOW + 300)}),
        "exp-word": (INVALID, {"exp": "later"}),
        "exp-null": (INVALID, {"exp": None}),
        "exp-list": (INVALID, {"exp": [NOW + 300]}),
        "exp-fraction": (OPEN, {"exp": NOW + 300.5}),
        "not-before-inside-leeway": (OPEN, {"nbf": NOW + max(leeway_s - 1, 0)}),
        "not-before-beyond-leeway": (INVALID, {"nbf": NOW + leeway_s + 6}),
        "not-before-hour": (INVALID, {"nbf": NOW + 3600}),
        "not-before-missing": (OPEN, {"nbf": ...}),
        "not-before-word": (INVALID, {"nbf": "earlier"}),
        "issued-in-an-hour": (OPEN, {"iat": NOW + 3600}),
        "issued-word": (OPEN, {"iat": "earlier"}),
        "issued-missing": (OPEN, {"iat": ...}),
    }
    return {name: (meant, jwt(_changed(claims, change), key)) for name, (meant, change) in changed.items()}


def _changed(claims: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the claims with *changes*, of which ``...`` takes a claim away."""
    return {name: value for name, value in {**claims, **changes}.items() if value is not ...}


def _claim_cases(claims: Mapping[str, Any], key: str, changes: Changes) -> dict[str, tuple[str, str]]:
    return {name: (meant, jwt(_changed(claims, change), key)) for name, (meant, change) in changes.items()}


def _livekit(book: Book) -> None:
    secret = {"api_key": "madeupkey", "api_secret": "made-up-secret-of-livekit-long-enough-01234"}
    key = secret["api_secret"]

    def claims_of(body: bytes) -> dict[str, Any]:
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        return {"iss": secret["api_key"], "sha256": digest, "exp": NOW + 300, "nbf": NOW - 10}

    def case(name: str, meant: str, token: str | None, body: bytes) -> None:
        headers = {"Content-Type": "application/webhook+json", **({} if token is None else {"Authorization": token})}
        book.add("livekit", name, meant, secret=secret, headers=headers, body=body)

    body = '{"event":"room_started","room":{"sid":"RM_x","name":"Zoë 100.00"},"id":"EV_1","createdAt":"1"}'.encode()
    claims = claims_of(body)
    right = jwt(claims, key)
    case("valid", VALID, right, body)
    spaced = body.replace(b",", b" ,\r\n")
    case("valid-spaced", VALID, jwt(claims_of(spaced), key), spaced)
    unknown = b'{"event":"made_up","unknown":1}'
    case("valid-unknown-member", VALID, jwt(claims_of(unknown), key), unknown)
    case("tampered", INVALID, right, body.replace(b"100.00", b"900.00"))
    case("newline-added", INVALID, right, body + b"\n")
    case("body-emptied", INVALID, right, b"")
    case("missing-authorization", INVALID, None, body)
    case("bearer", OPEN, f"Bearer {right}", body)
    hashes: Changes = {
        "hash-missing": (INVALID, {"sha256": ...}),
        "hash-empty": (INVALID, {"sha256": ""}),
        "hash-null": (INVALID, {"sha256": None}),
        "hash-number": (INVALID, {"sha256": 1}),
        "hash-in-hex": (INVALID, {"sha256": hashlib.sha256(body).hexdigest()}),
        "hash-unpadded": (OPEN, {"sha256": claims["sha256"].rstrip("=")}),
        "hash-of-other": (INVALID, {"sha256": claims_of(b"other")["sha256"]}),
        "issuer-other": (INVALID, {"iss": "other"}),
        "issuer-missing": (INVALID, {"iss": ...}),
        "issuer-upper-case": (INVALID, {"iss": "MADEUPKEY"}),
        "audience": (OPEN, {"aud": "made-up"}),
    }
    tokens = (
        damaged_tokens(right) | _about_keys(claims, key) | _times(claims, key, 60) | _claim_cases(claims, key, hashes)
    )
    tokens["algorithm-hs512"] = (INVALID, jwt(claims, key, "HS512"))
    for name, (meant, token) in tokens.items():
        case(f"token-{name}", meant, token, body)


def _messagebird(book: Book) -> None:
    key = "made-up-secret-of-messagebird-long-enough-012"
    url = "https://relay.example.net/in/messagebird?foo=1&x=%20y"

    def claims_of(body: bytes, target: str = url) -> dict[str, Any]:
        claims = {
            "iss": "MessageBird",
            "nbf": NOW - 5,
            "exp": NOW + 60,
            "jti": "ff9dd2a3",
            "url_hash": hashlib.sha256(target.encode()).hexdigest(),
        }
        return {**claims, "payload_hash": hashlib.sha256(body).hexdigest()} if body else claims

    def case(name: str, meant: str, token: str | None, body: bytes, method: str = "POST", target: str = url) -> None:
        headers = {**JSON_TYPE, **({} if token is None else {"MessageBird-Signature-JWT": token})}
        book.add("messagebird", name, meant, secret=key, headers=headers, body=body, method=method, url=target)

    body = plain()
    claims = claims_of(body)
    right = jwt(claims, key)
    for name, some in bodies().items():
        case(f"valid-{name}", VALID, jwt(claims_of(some), key), some)
    case("valid-get", VALID, jwt(claims_of(b""), key), b"", "GET")
    case("hs512", OPEN, jwt(claims, key, "HS512"), body)
    case("hs384", OPEN, jwt(claims, key, "HS384"), body)
    case("tampered", INVALID, right, body.replace(b"100.00", b"900.00"))
    case("newline-added", INVALID, right, body + b"\n")
    case("body-emptied", INVALID, right, b"")
    case("body-added", INVALID, jwt(claims_of(b""), key), body)
    case("missing-header", INVALID, None, body)
    for name, other in other_urls(url).items():
        case(f"url-{name}", INVALID, right, body, target=other)
    changes: Changes = {
        "issuer-other": (INVALID, {"iss": "Evil"}),
        "issuer-missing": (INVALID, {"iss": ...}),
        "issuer-lower-case": (INVALID, {"iss": "messagebird"}),
        "url-hash-missing": (INVALID, {"url_hash": ...}),
        "url-hash-empty": (INVALID, {"url_hash": ""}),
        "url-hash-null": (INVALID, {"url_hash": None}),
        "url-hash-upper-case": (OPEN, {"url_hash": claims["url_hash"].upper()}),
        "payload-hash-missing": (INVALID, {"payload_hash": ...}),
        "payload-hash-empty": (INVALID, {"payload_hash": ""}),
        "payload-hash-null": (INVALID, {"payload_hash": None}),
        "payload-hash-number": (INVALID, {"payload_hash": 1}),
        "payload-hash-upper-case": (OPEN, {"payload_hash": claims["payload_hash"].upper()}),
        "audience": (OPEN, {"aud": "made-up"}),
    }
    tokens = (
        damaged_tokens(right) | _about_keys(claims, key) | _times(claims, key, 1) | _claim_cases(claims, key, changes)
    )
    for name, (meant, token) in tokens.items():
        case(f"token-{name}", meant, token, body)
    empty_hash = {**claims_of(b""), "payload_hash": hashlib.sha256(b"").hexdigest()}
    case("empty-body-with-hash", OPEN, jwt(empty_hash, key), b"")


def _qstash(book: Book) -> None:
    secret = {
        "current": "sig_made_up_current_long_enough_0123456789",
        "next": "sig_made_up_next_long_enough_0123456789",
    }
    url = "https://relay.example.net/in/qstash?x=%20y&foo=1"
    key = secret["current"]

    def claims_of(body: bytes) -> dict[str, Any]:
        digest = base64.urlsafe_b64encode(hashlib.sha256(body).digest()).decode()
        return {
            "iss": "Upstash",
            "sub": url,
            "exp": NOW + 300,
            "nbf": NOW - 5,
            "iat": NOW - 5,
            "jti": "j1",
            "body": digest,
        }

    def case(name: str, meant: str, token: str | None, body: bytes, target: str = url) -> None:
        headers = {**JSON_TYPE, **({} if token is None else {"Upstash-Signature": token})}
        book.add("qstash", name, meant, secret=secret, headers=headers, body=body, url=target)

    body = plain()
    claims = claims_of(body)
    right = jwt(claims, key)
    for name, some in bodies().items():
        case(f"valid-{name}", VALID, jwt(claims_of(some), key), some)
    case("valid-next-key", VALID, jwt(claims, secret["next"]), body)
    case("tampered", INVALID, right, body.replace(b"100.00", b"900.00"))
    case("newline-added", INVALID, right, body + b"\n")
    case("body-emptied", INVALID, right, b"")
    case("missing-header", INVALID, None, body)
    for name, other in other_urls(url).items():
        case(f"url-{name}", INVALID, right, body, other)
    changes: Changes = {
        "issuer-other": (INVALID, {"iss": "Evil"}),
        "issuer-missing": (INVALID, {"iss": ...}),
        "issuer-list": (INVALID, {"iss": ["Upstash"]}),
        "subject-missing": (INVALID, {"sub": ...}),
        "subject-number": (INVALID, {"sub": 1}),
        "subject-null": (INVALID, {"sub": None}),
        "body-missing": (INVALID, {"body": ...}),
        "body-unpadded": (VALID, {"body": claims["body"].rstrip("=")}),
        "body-in-hex": (INVALID, {"body": hashlib.sha256(body).hexdigest()}),
        "body-number": (INVALID, {"body": 1}),
        "body-null": (INVALID, {"body": None}),
        "body-in-other-alphabet": (OPEN, {"body": base64.b64encode(hashlib.sha256(body).digest()).decode()}),
        "audience": (OPEN, {"aud": "made-up"}),
    }
    tokens = (
        damaged_tokens(right) | _about_keys(claims, key) | _times(claims, key, 0) | _claim_cases(claims, key, changes)
    )
    tokens["algorithm-hs512"] = (INVALID, jwt(claims, key, "HS512"))
    for name, (meant, token) in tokens.items():
        case(f"token-{name}", meant, token, body)
    case("bearer", INVALID, f"Bearer {right}", body)


def _vonage(book: Book) -> None:
    key = "made-up-secret-of-vonage-long-enough-0123456789"

    def claims_of(body: bytes) -> dict[str, Any]:
        digest = hashlib.sha256(body).hexdigest()
        return {"iat": NOW - 3, "jti": "c5ba8f24", "iss": "Vonage", "payload_hash": digest, "api_key": "a1b2c3d"}

    def case(name: str, meant: str, authorization: str | None, body: bytes) -> None:
        headers = {**JSON_TYPE, **({} if authorization is None else {"Authorization": authorization})}
        book.add("vonage", name, meant, secret=key, headers=headers, body=body)

    body = plain()
    claims = claims_of(body)
    right = jwt(claims, key)
    for name, some in bodies().items():
        case(f"valid-{name}", VALID, f"Bearer {jwt(claims_of(some), key)}", some)
    case("tampered", INVALID, f"Bearer {right}", body.replace(b"100.00", b"900.00"))
    case("body-emptied", INVALID, f"Bearer {right}", b"")
    case("missing-header", INVALID, None, body)
    case("scheme-lower-case", OPEN, f"bearer {right}", body)
    case("scheme-missing", OPEN, right, body)
    case("scheme-basic", INVALID, f"Basic {right}", body)
    case("scheme-alone", INVALID, "Bearer ", body)
    changes: Changes = {
        "payload-hash-missing": (INVALID, {"payload_hash": ...}),
        "payload-hash-null": (INVALID, {"payload_hash": None}),
        "payload-hash-empty": (INVALID, {"payload_hash": ""}),
        "payload-hash-number": (INVALID, {"payload_hash": 1}),
        "payload-hash-upper-case": (OPEN, {"payload_hash": claims["payload_hash"].upper()}),
        "expired": (INVALID, {"exp": NOW - 3600}),
        "expires-later": (VALID, {"exp": NOW + 3600}),
        "not-before-hour": (INVALID, {"nbf": NOW + 3600}),
        "issued-day-ago": (OPEN, {"iat": NOW - 86400}),
        "issued-in-an-hour": (OPEN, {"iat": NOW + 3600}),
        "issued-missing": (OPEN, {"iat": ...}),
        "issuer-other": (OPEN, {"iss": "Evil"}),
        "issuer-missing": (OPEN, {"iss": ...}),
        "audience": (OPEN, {"aud": "made-up"}),
    }
    tokens = damaged_tokens(right) | _about_keys(claims, key) | _claim_cases(claims, key, changes)
    tokens["algorithm-hs512"] = (INVALID, jwt(claims, key, "HS512"))
    for name, (meant, token) in tokens.items():
        case(f"token-{name}", meant, f"Bearer {token}", body)


def _plaid(book: Book) -> None:
    kid = "bfbd5111-0000-4000-8000-000000000001"
    secret = {"jwk": keys.p256_jwk("plaid", kid)}

    def claims_of(body: bytes) -> dict[str, Any]:
        return {"iat": NOW - 3, "request_body_sha256": hashlib.sha256(body).hexdigest()}

    def token(claims: Mapping[str, Any], head: Mapping[str, Any] | None = None, seed: str = "plaid") -> str:
        return jwt(claims, seed, "ES256", {"kid": kid, **(head or {})})

    def case(name: str, meant: str, text: str | None, body: bytes, keyed: Mapping[str, Any] | None = None) -> None:
        headers = {**JSON_TYPE, **({} if text is None else {"Plaid-Verification": text})}
        book.add("plaid", name, meant, secret=keyed or secret, headers=headers, body=body)

    body = plain()
    claims = claims_of(body)
    right = token(claims)
    for name, some in bodies().items():
        case(f"valid-{name}", VALID, token(claims_of(some)), some)
    case("tampered", INVALID, right, body.replace(b"100.00", b"900.00"))
    case("newline-added", INVALID, right, body + b"\n")
    case("missing-header", INVALID, None, body)
    case("other-key", INVALID, token(claims, seed="other"), body)
    case("other-kid", INVALID, token(claims, {"kid": "other"}), body)
    case("kid-missing", INVALID, token(claims, {"kid": None}), body)
    case("key-expired", INVALID, right, body, {"jwk": {**secret["jwk"], "expired_at": NOW - 60}})
    hs = jwt(claims, keys.p256_public("plaid"), "HS256", {"kid": kid})
    case("algorithm-hs256-of-public-key", INVALID, hs, body)
    case("algorithm-none", INVALID, jwt(claims, "", "none", {"kid": kid}), body)
    der = right.rpartition(".")[0]
    case("signature-der", INVALID, f"{der}.{_part(keys.p256_sign('plaid', der.encode()))}", body)
    case("signature-zeros", INVALID, f"{der}.{_part(bytes(64))}", body)
    for name, (meant, text) in damaged_tokens(right).items():
        case(f"token-{name}", meant, text, body)
    changes: Changes = {
        "issued-now": (VALID, {"iat": NOW}),
        "issued-inside": (VALID, {"iat": NOW - 299}),
        "issued-at-limit": (OPEN, {"iat": NOW - 300}),
        "issued-outside": (INVALID, {"iat": NOW - 301}),
        "issued-day-ago": (INVALID, {"iat": NOW - 86400}),
        "issued-in-an-hour": (OPEN, {"iat": NOW + 3600}),
        "issued-missing": (INVALID, {"iat": ...}),
        "issued-word": (INVALID, {"iat": "now"}),
        "issued-null": (INVALID, {"iat": None}),
        "hash-missing": (INVALID, {"request_body_sha256": ...}),
        "hash-null": (INVALID, {"request_body_sha256": None}),
        "hash-upper-case": (OPEN, {"request_body_sha256": claims["request_body_sha256"].upper()}),
        "expired": (INVALID, {"exp": NOW - 3600}),
    }
    for name, (meant, change) in changes.items():
        case(f"claims-{name}", meant, token(_changed(claims, change)), body)


def _atlassian(book: Book) -> None:
    secret = {"client_key": "jira:made-up", "shared_secret": "made-up-secret-of-atlassian-long-enough-012345"}
    key = secret["shared_secret"]
    host = "https://relay.example.net"
    target = "/in/atlassian?user=admin&b=2&a=1"

    def hashed(method: str, relative: str) -> str:
        """Hash the method, the path and the query, sorted and escaped, without the token itself."""
        parts = urlsplit(relative)
        fields = {n: v for n, v in parse_qs(parts.query, keep_blank_values=True).items() if n != "jwt"}
        query = "&".join(
            f"{quote(n, '~')}={','.join(quote(v, '~') for v in sorted(fields[n]))}" for n in sorted(fields)
        )
        return hashlib.sha256(f"{method}&{parts.path.rstrip('/') or '/'}&{query}".encode()).hexdigest()

    def claims_of(relative: str = target, method: str = "POST") -> dict[str, Any]:
        return {"iss": secret["client_key"], "iat": NOW - 5, "exp": NOW + 175, "qsh": hashed(method, relative)}

    body = b'{"webhookEvent":"jira:issue_updated","timestamp":1795435198000}'

    def case(name: str, meant: str, authorization: str | None, relative: str = target, **more: Any) -> None:
        headers = {**JSON_TYPE, **({} if authorization is None else {"Authorization": authorization})}
        book.add(
            "atlassian-connect",
            name,
            meant,
            secret=secret,
            headers=headers,
            url=host + relative,
            **{"body": body, **more},
        )

    claims = claims_of()
    right = jwt(claims, key)
    case("valid", VALID, f"JWT {right}")
    case("valid-get", VALID, f"JWT {jwt(claims_of(method='GET'), key)}", method="GET", body=b"")
    case("other-body", OPEN, f"JWT {right}", body=b"{}")
    case("scheme-lower-case", OPEN, f"jwt {right}")
    case("scheme-bearer", INVALID, f"Bearer {right}")
    case("scheme-missing", INVALID, right)
    case("missing-header", INVALID, None)
    case("token-in-query", OPEN, None, f"{target}&jwt={right}")
    case("token-in-both", OPEN, f"JWT {right}", f"{target}&jwt=other")
    targets = {
        "no-query": "/in/atlassian",
        "slash-at-end": "/in/atlassian/?a=1",
        "root": "/?a=1",
        "repeated": "/in/atlassian?a=2&a=1&b=3",
        "empty-value": "/in/atlassian?a=&b=1",
        "no-equals": "/in/atlassian?a&b=1",
        "escapes": "/in/atlassian?a=%20%2A~%2B&b=x+y",
        "utf8": f"/in/atlassian?a={quote('Zoë')}",
        "upper-and-lower": "/in/atlassian?b=1&B=2&a=3",
        "dots": "/in/a.b/atlassian?a.b=1",
        "comma": "/in/atlassian?a=1%2C2",
    }
    for name, other in targets.items():
        case(f"valid-url-{name}", VALID, f"JWT {jwt(claims_of(other), key)}", other)
    case("query-reordered", VALID, f"JWT {right}", "/in/atlassian?a=1&b=2&user=admin")
    case("query-altered", INVALID, f"JWT {right}", target.replace("a=1", "a=2"))
    case("query-longer", INVALID, f"JWT {right}", f"{target}&c=1")
    case("path-differs", INVALID, f"JWT {right}", target.replace("atlassian", "other"))
    case("method-differs", INVALID, f"JWT {right}", method="PUT")
    case("context-free", OPEN, f"JWT {jwt({**claims, 'qsh': 'context-qsh'}, key)}")
    changes: Changes = {
        "qsh-missing": (INVALID, {"qsh": ...}),
        "qsh-empty": (INVALID, {"qsh": ""}),
        "qsh-null": (INVALID, {"qsh": None}),
        "qsh-upper-case": (OPEN, {"qsh": claims["qsh"].upper()}),
        "issuer-other": (INVALID, {"iss": "jira:other"}),
        "issuer-missing": (INVALID, {"iss": ...}),
        "audience-ours": (OPEN, {"aud": secret["client_key"]}),
        "audience-other": (OPEN, {"aud": "made-up"}),
        "audience-list": (OPEN, {"aud": ["a", "b"]}),
    }
    tokens = (
        damaged_tokens(right) | _about_keys(claims, key) | _times(claims, key, 90) | _claim_cases(claims, key, changes)
    )
    tokens["algorithm-hs512"] = (INVALID, jwt(claims, key, "HS512"))
    for name, (meant, text) in tokens.items():
        case(f"token-{name}", meant, f"JWT {text}")
    module = import_module("atlassian_jwt")
    made = module.encode_token(
        "POST", target, secret["client_key"], key, payload_kwargs={"iat": NOW - 5, "exp": NOW + 175}
    )
    case("signed-by-its-sdk", OPEN, f"JWT {made}")
