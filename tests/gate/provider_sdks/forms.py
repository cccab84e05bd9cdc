"""Cases of the schemes that sign a URL and the fields of a form."""

from __future__ import annotations

import hashlib
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode

from tests.gate.provider_sdks.families import (
    FORM_TYPE,
    INVALID,
    JSON_TYPE,
    OPEN,
    VALID,
    Book,
    base64_mac,
    compact,
    damaged,
    present,
    utf8,
)
from tests.gate.provider_sdks.urls import other_urls

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TWILIO_KEY = "made-up-auth-token"
TWILIO_URL = "https://relay.example.net/in/twilio?foo=1&x=%20y"
TWILIO_FORM = b"To=%2B18005550100&From=%2B14155550100&Digits=1234&Body=Zo%C3%AB+%26+more&CallSid=CA01"

PLIVO_KEY, PLIVO_NONCE = "made-up-of-plivo", "05429567804466091622"
PLIVO_BASE = "https://relay.example.net/in/plivo"
PLIVO_URL = f"{PLIVO_BASE}?B=b%20c&A=1"
PLIVO_FORM = b"CallUUID=97ceeb52&From=%2B1+555&To=Zo%C3%AB"


def add_all(book: Book) -> None:
    """Add the cases of every scheme of this module."""
    for add_some in (_twilio, _twilio_shared_key, _plivo_v2, _plivo_v3, _mandrill):
        add_some(book)


def _fields(form: bytes) -> str:
    """Return the fields as Twilio signs them: sorted by name, values once each and sorted, nothing between."""
    fields = parse_qs(form.decode(), keep_blank_values=True)
    return "".join(name + value for name in sorted(fields) for value in sorted(set(fields[name])))


def _twilio_mac(target: str, fields: str, key: str = TWILIO_KEY, algorithm: str = "sha1") -> str:
    return base64_mac(utf8(key), f"{target}{fields}".encode(), algorithm)


def _twilio(book: Book) -> None:
    def case(
        name: str,
        meant: str,
        signature: str | None,
        *,
        body: bytes = TWILIO_FORM,
        target: str = TWILIO_URL,
        method: str = "POST",
        kind: Mapping[str, str] = FORM_TYPE,
    ) -> None:
        headers = present({**kind, "X-Twilio-Signature": signature})
        book.add("twilio", name, meant, secret=TWILIO_KEY, headers=headers, body=body, method=method, url=target)

    right = _twilio_mac(TWILIO_URL, _fields(TWILIO_FORM))
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
        case(f"valid-{name}", VALID, _twilio_mac(TWILIO_URL, _fields(some)), body=some)
    reordered = b"&".join(reversed(TWILIO_FORM.split(b"&")))
    case("fields-reordered", VALID, right, body=reordered)
    case("charset-declared", VALID, right, kind={"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"})
    case("tampered-field", INVALID, right, body=TWILIO_FORM.replace(b"1234", b"1235"))
    case("field-added", INVALID, right, body=TWILIO_FORM + b"&Extra=1")
    case("field-removed", INVALID, right, body=TWILIO_FORM.replace(b"Digits=1234&", b""))
    case("field-split-elsewhere", OPEN, right, body=TWILIO_FORM.replace(b"Digits=1234", b"Digits1=234"))
    case(
        "repeated-field-not-deduplicated",
        INVALID,
        _twilio_mac(TWILIO_URL, "MediaUrlaMediaUrlbMediaUrlbTo1"),
        body=forms["repeated-field"],
    )
    case("empty-field-dropped", INVALID, _twilio_mac(TWILIO_URL, "From2To1"), body=forms["empty-field"])
    case("wrong-secret", INVALID, _twilio_mac(TWILIO_URL, _fields(TWILIO_FORM), "another"))
    case("hash-sha256", INVALID, _twilio_mac(TWILIO_URL, _fields(TWILIO_FORM), algorithm="sha256"))
    case("fields-not-signed", INVALID, _twilio_mac(TWILIO_URL, ""))
    case("body-signed-as-sent", INVALID, _twilio_mac(TWILIO_URL, TWILIO_FORM.decode()))
    case("missing-signature", INVALID, None)
    case("empty-signature", INVALID, "")
    for name, (meant, text) in damaged(right, "base64").items():
        case(f"signature-{name}", meant, text)
    _twilio_urls(case, right)
    _twilio_queries(case)
    _twilio_json(case)
    case("form-declared-as-json", INVALID, right, kind=JSON_TYPE)
    published = "https://mycompany.com/myapp.php?foo=1&bar=2"
    example = b"CallSid=CA1234567890ABCDE&Caller=%2B12349013030&Digits=1234&From=%2B12349013030&To=%2B18005551212"
    signed = (
        import_module("twilio.request_validator")
        .RequestValidator(TWILIO_KEY)
        .compute_signature(published, {name: values[0] for name, values in parse_qs(example.decode()).items()})
    )
    case("signed-by-its-sdk", VALID, signed, body=example, target=published)


def _twilio_urls(case: Callable[..., None], right: str) -> None:
    for name, other in other_urls(TWILIO_URL).items():
        meant = VALID if name == "default-port" else INVALID
        case(f"url-{name}", meant, right, target=other)
    ported = TWILIO_URL.replace("example.net/", "example.net:443/")
    case("signed-with-default-port", VALID, _twilio_mac(ported, _fields(TWILIO_FORM)))
    case(
        "signed-with-port-80",
        INVALID,
        _twilio_mac(TWILIO_URL.replace("example.net/", "example.net:80/"), _fields(TWILIO_FORM)),
    )
    high = TWILIO_URL.replace("example.net/", "example.net:8443/")
    case("valid-other-port", VALID, _twilio_mac(high, _fields(TWILIO_FORM)), target=high)
    case("other-port-signed-without", OPEN, right, target=high)
    plain_http = TWILIO_URL.replace("https://", "http://")
    case("valid-http", VALID, _twilio_mac(plain_http, _fields(TWILIO_FORM)), target=plain_http)
    case(
        "http-signed-with-port-80",
        VALID,
        _twilio_mac(plain_http.replace("net/", "net:80/"), _fields(TWILIO_FORM)),
        target=plain_http,
    )
    user = TWILIO_URL.replace("https://", "https://user:pass@")
    case("valid-user-in-url", OPEN, _twilio_mac(user, _fields(TWILIO_FORM)), target=user)
    case(
        "user-in-url-signed-with-port",
        OPEN,
        _twilio_mac(user.replace("net/", "net:443/"), _fields(TWILIO_FORM)),
        target=user,
    )


def _twilio_queries(case: Callable[..., None]) -> None:
    query = f"{TWILIO_URL}&CallSid=CA01&Digits=1234"
    case("valid-get", VALID, _twilio_mac(query, ""), method="GET", body=b"", target=query)
    case(
        "get-query-altered",
        INVALID,
        _twilio_mac(query, ""),
        method="GET",
        body=b"",
        target=query.replace("1234", "1235"),
    )


def _twilio_json(case: Callable[..., None]) -> None:
    """Add bodies of which the URL holds the sum."""
    body = compact()
    summed = f"{TWILIO_URL}&bodySHA256={hashlib.sha256(body).hexdigest()}"
    case("valid-json", VALID, _twilio_mac(summed, ""), body=body, target=summed, kind=JSON_TYPE)
    case(
        "json-tampered",
        INVALID,
        _twilio_mac(summed, ""),
        body=body.replace(b"100.00", b"900.00"),
        target=summed,
        kind=JSON_TYPE,
    )
    case(
        "json-sum-altered",
        INVALID,
        _twilio_mac(summed, ""),
        body=body,
        target=summed[:-1] + ("0" if summed[-1] != "0" else "1"),
        kind=JSON_TYPE,
    )
    case("json-without-sum", INVALID, _twilio_mac(TWILIO_URL, ""), body=body, kind=JSON_TYPE)
    upper = f"{TWILIO_URL}&bodySHA256={hashlib.sha256(body).hexdigest().upper()}"
    case("json-sum-upper-case", OPEN, _twilio_mac(upper, ""), body=body, target=upper, kind=JSON_TYPE)
    twice = f"{summed}&bodySHA256={'0' * 64}"
    case("json-sum-twice-first-right", OPEN, _twilio_mac(twice, ""), body=body, target=twice, kind=JSON_TYPE)
    twice = f"{TWILIO_URL}&bodySHA256={'0' * 64}&bodySHA256={hashlib.sha256(body).hexdigest()}"
    case("json-sum-twice-last-right", OPEN, _twilio_mac(twice, ""), body=body, target=twice, kind=JSON_TYPE)
    empty = f"{TWILIO_URL}&bodySHA256={hashlib.sha256(b'').hexdigest()}"
    case("json-empty-body", OPEN, _twilio_mac(empty, ""), body=b"", target=empty, kind=JSON_TYPE)
    blank = f"{TWILIO_URL}&bodySHA256="
    case("json-sum-empty", INVALID, _twilio_mac(blank, ""), body=body, target=blank, kind=JSON_TYPE)
    both = f"{TWILIO_URL}&bodySHA256={hashlib.sha256(TWILIO_FORM).hexdigest()}"
    case("form-with-sum", OPEN, _twilio_mac(both, _fields(TWILIO_FORM)), target=both)
    case("form-with-sum-fields-unsigned", INVALID, _twilio_mac(both, ""), target=both)
    case("form-declared-as-json-with-sum", OPEN, _twilio_mac(both, ""), target=both, kind=JSON_TYPE)


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


def _add_plivo(
    book: Book,
    version: int,
    name: str,
    meant: str,
    data: str,
    sent: Mapping[str, str | None] | None = None,
    **more: Any,
) -> None:
    signature = base64_mac(utf8(more.pop("key", PLIVO_KEY)), data.encode(), more.pop("algorithm", "sha256"))
    header = f"X-Plivo-Signature-V{version}"
    headers = present({**FORM_TYPE, header: signature, f"{header}-Nonce": PLIVO_NONCE, **(sent or {})})
    usual = {"body": PLIVO_FORM, "url": PLIVO_URL}
    book.add(f"plivo-v{version}", name, meant, secret=PLIVO_KEY, headers=headers, **{**usual, **more})


def _plivo_v2(book: Book) -> None:
    case = partial(_add_plivo, book, 2)
    case("valid", VALID, PLIVO_BASE + PLIVO_NONCE)
    case("valid-other-body", VALID, PLIVO_BASE + PLIVO_NONCE, body=b"CallUUID=other")
    case("valid-get", VALID, PLIVO_BASE + PLIVO_NONCE, method="GET", body=b"")
    case("query-signed", INVALID, PLIVO_URL + PLIVO_NONCE)
    case("other-query", VALID, PLIVO_BASE + PLIVO_NONCE, url=f"{PLIVO_BASE}?other=1")
    case("other-path", INVALID, PLIVO_BASE + PLIVO_NONCE, url=f"{PLIVO_BASE}/x?A=1")
    case("other-host", INVALID, PLIVO_BASE + PLIVO_NONCE, url=PLIVO_URL.replace("relay.", "relax."))
    case("http", INVALID, PLIVO_BASE + PLIVO_NONCE, url=PLIVO_URL.replace("https:", "http:"))
    case("default-port", INVALID, PLIVO_BASE + PLIVO_NONCE, url=PLIVO_URL.replace(".net/", ".net:443/"))
    case("wrong-secret", INVALID, PLIVO_BASE + PLIVO_NONCE, key="another")
    case("hash-sha1", INVALID, PLIVO_BASE + PLIVO_NONCE, algorithm="sha1")
    case("nonce-altered", INVALID, PLIVO_BASE + PLIVO_NONCE, {"X-Plivo-Signature-V2-Nonce": PLIVO_NONCE + "1"})
    case("nonce-missing", INVALID, PLIVO_BASE + PLIVO_NONCE, {"X-Plivo-Signature-V2-Nonce": None})
    case("signature-missing", INVALID, PLIVO_BASE + PLIVO_NONCE, {"X-Plivo-Signature-V2": None})
    case("signature-empty", INVALID, PLIVO_BASE + PLIVO_NONCE, {"X-Plivo-Signature-V2": ""})
    v2 = base64_mac(utf8(PLIVO_KEY), (PLIVO_BASE + PLIVO_NONCE).encode())
    for name, (meant, text) in damaged(v2, "base64").items():
        case(f"signature-{name}", meant, "", {"X-Plivo-Signature-V2": text})
    case("two-signatures", OPEN, "", {"X-Plivo-Signature-V2": f"AAAA,{v2}"})


def _plivo_v3(book: Book) -> None:
    case = partial(_add_plivo, book, 3)
    query = "A=1&B=b c"
    data = f"{PLIVO_BASE}?{query}.CallUUID97ceeb52From+1 555ToZoë.{PLIVO_NONCE}"
    case("valid-post", VALID, data)
    case(
        "valid-post-without-query",
        VALID,
        f"{PLIVO_BASE}?CallUUID97ceeb52From+1 555ToZoë.{PLIVO_NONCE}",
        url=PLIVO_BASE,
    )
    case(
        "post-without-query-with-dot",
        OPEN,
        f"{PLIVO_BASE}.CallUUID97ceeb52From+1 555ToZoë.{PLIVO_NONCE}",
        url=PLIVO_BASE,
    )
    case("valid-post-without-fields", VALID, f"{PLIVO_BASE}?{query}.{PLIVO_NONCE}", body=b"")
    case("valid-post-bare", VALID, f"{PLIVO_BASE}.{PLIVO_NONCE}", body=b"", url=PLIVO_BASE)
    case("valid-get", VALID, f"{PLIVO_BASE}?{query}.{PLIVO_NONCE}", body=b"", method="GET")
    case("valid-get-bare", VALID, f"{PLIVO_BASE}.{PLIVO_NONCE}", body=b"", url=PLIVO_BASE, method="GET")
    case("repeated-field", VALID, f"{PLIVO_BASE}?{query}.a1a2b3.{PLIVO_NONCE}", body=b"b=3&a=2&a=1")
    case("empty-field", VALID, f"{PLIVO_BASE}?{query}.ab3.{PLIVO_NONCE}", body=b"b=3&a=")
    case("repeated-in-query", VALID, f"{PLIVO_BASE}?A=1&A=2.x1.{PLIVO_NONCE}", body=b"x=1", url=f"{PLIVO_BASE}?A=2&A=1")
    case("tampered-field", INVALID, data, body=PLIVO_FORM.replace(b"97ceeb52", b"97ceeb53"))
    case("field-added", INVALID, data, body=PLIVO_FORM + b"&x=1")
    case("query-altered", INVALID, data, url=PLIVO_URL.replace("A=1", "A=2"))
    case("query-reordered", VALID, data, url=f"{PLIVO_BASE}?A=1&B=b%20c")
    case("query-not-decoded", INVALID, data.replace("b c", "b%20c"))
    case("nonce-altered", INVALID, data, {"X-Plivo-Signature-V3-Nonce": PLIVO_NONCE + "1"})
    case("nonce-missing", INVALID, data, {"X-Plivo-Signature-V3-Nonce": None})
    case("signature-missing", INVALID, data, {"X-Plivo-Signature-V3": None})
    case("signature-empty", INVALID, data, {"X-Plivo-Signature-V3": ""})
    case("wrong-secret", INVALID, data, key="another")
    case("hash-sha1", INVALID, data, algorithm="sha1")
    case("method-differs", INVALID, data, method="GET")
    case("get-signed-as-post", INVALID, f"{PLIVO_BASE}?{query}..{PLIVO_NONCE}", body=b"", method="GET")
    v3 = base64_mac(utf8(PLIVO_KEY), data.encode())
    case("several-first", VALID, "", {"X-Plivo-Signature-V3": f"{v3},AAAA"})
    case("several-last", VALID, "", {"X-Plivo-Signature-V3": f"AAAA,{v3}"})
    case("several-after-blank", OPEN, "", {"X-Plivo-Signature-V3": f"AAAA, {v3}"})
    case("several-none", INVALID, "", {"X-Plivo-Signature-V3": "AAAA,BBBB"})
    for name, (meant, text) in damaged(v3, "base64").items():
        case(f"signature-{name}", meant, "", {"X-Plivo-Signature-V3": text})
    for name in ("http", "other-host", "default-port", "slash-at-end-of-path", "query-missing"):
        case(
            f"url-{name}",
            INVALID,
            data,
            url=other_urls(PLIVO_URL.replace("b%20c", "%20y"))[name].replace("%20y", "b%20c"),
        )
    case("url-fragment", OPEN, data, url=f"{PLIVO_URL}#top")


def _mandrill(book: Book) -> None:
    secret, url = "made-up-of-mandrill", "https://relay.example.net/in/mandrill?x=%20y"
    events = '[{"event":"send","ts":1795435198,"_id":"example","msg":{"subject":"Zoë & more"}}]'
    form = urlencode({"mandrill_events": events}).encode()

    def case(name: str, meant: str, data: str, **more: Any) -> None:
        signature = more.pop(
            "signature", base64_mac(utf8(more.pop("key", secret)), data.encode(), more.pop("hash", "sha1"))
        )
        headers = present({**FORM_TYPE, "X-Mandrill-Signature": signature})
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
