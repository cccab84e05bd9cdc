"""Cases of the schemes whose signature stands within the body."""

from __future__ import annotations

import base64
import hashlib
import json
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from tests.gate.provider_sdks.families import (
    FORM_TYPE,
    INVALID,
    JSON_TYPE,
    NOW,
    OPEN,
    VALID,
    Book,
    base64_mac,
    damaged,
    hex_mac,
    made_up,
    present,
    utf8,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ADYEN_KEY = made_up("adyen").hex().upper()
ADYEN_ITEM: dict[str, Any] = {
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

MAILGUN_KEY, MAILGUN_TOKEN = "key-made-up", made_up("mailgun", 25).hex()


def add_all(book: Book) -> None:
    """Add the cases of every scheme of this module."""
    for add_some in (_adyen, _mailgun, _dropbox_sign, _braintree):
        add_some(book)


def _adyen_data(item: Mapping[str, Any]) -> str:
    amount = item.get("amount", {})
    names = ("pspReference", "originalReference", "merchantAccountCode", "merchantReference")
    before = [item.get(name) or "" for name in names]
    after = [item.get(name) or "" for name in ("eventCode", "success")]
    return ":".join(map(str, [*before, amount.get("value", ""), amount.get("currency", ""), *after]))


def _adyen_signed(item: Mapping[str, Any], key: str = ADYEN_KEY, text: str | None = None) -> dict[str, Any]:
    signature = base64_mac(bytes.fromhex(key), (_adyen_data(item) if text is None else text).encode())
    return {**item, "additionalData": {"hmacSignature": signature}}


def _adyen(book: Book) -> None:
    def case(name: str, meant: str, *items: Mapping[str, Any], body: bytes | None = None, key: str = ADYEN_KEY) -> None:
        whole = {"live": "false", "notificationItems": [{"NotificationRequestItem": item} for item in items]}
        sent = json.dumps(whole, ensure_ascii=False).encode() if body is None else body
        book.add("adyen", name, meant, secret=key, headers=JSON_TYPE, body=sent)

    case("valid", VALID, _adyen_signed(ADYEN_ITEM))
    case("valid-more-additional-data", VALID, {**_adyen_signed(ADYEN_ITEM), "reason": "x"})
    case("valid-original-reference", VALID, _adyen_signed({**ADYEN_ITEM, "originalReference": "8814073381342285"}))
    case("valid-utf8-reference", VALID, _adyen_signed({**ADYEN_ITEM, "merchantReference": "Zoë ✓"}))
    case("valid-colon-in-reference", VALID, _adyen_signed({**ADYEN_ITEM, "merchantReference": "a:b\\c"}))
    case("valid-zero", VALID, _adyen_signed({**ADYEN_ITEM, "amount": {"value": 0, "currency": "EUR"}}))
    case("valid-negative", VALID, _adyen_signed({**ADYEN_ITEM, "amount": {"value": -5, "currency": "EUR"}}))
    without = {name: value for name, value in ADYEN_ITEM.items() if name != "originalReference"}
    case("valid-field-missing", VALID, _adyen_signed(without))
    case("field-null", OPEN, _adyen_signed({**ADYEN_ITEM, "originalReference": None}))
    case(
        "success-as-boolean",
        OPEN,
        _adyen_signed({**ADYEN_ITEM, "success": True}, text=_adyen_data({**ADYEN_ITEM, "success": "true"})),
    )
    case("value-as-text", VALID, _adyen_signed({**ADYEN_ITEM, "amount": {"value": "1130", "currency": "EUR"}}))
    fraction = json.dumps({"notificationItems": [{"NotificationRequestItem": _adyen_signed(ADYEN_ITEM)}]}).replace(
        "1130", "1130.0"
    )
    case("value-with-fraction", OPEN, body=fraction.encode())
    case("unsigned-field-altered", VALID, {**_adyen_signed(ADYEN_ITEM), "paymentMethod": "mc"})
    case("lower-case-key", VALID, _adyen_signed(ADYEN_ITEM), key=ADYEN_KEY.lower())
    _adyen_tampered(case)
    _adyen_signatures(case)
    case("two-items", VALID, _adyen_signed(ADYEN_ITEM), _adyen_signed({**ADYEN_ITEM, "pspReference": "2"}))
    case(
        "two-items-first-forged", INVALID, {**_adyen_signed(ADYEN_ITEM), "success": "false"}, _adyen_signed(ADYEN_ITEM)
    )
    case(
        "two-items-second-forged", INVALID, _adyen_signed(ADYEN_ITEM), {**_adyen_signed(ADYEN_ITEM), "success": "false"}
    )
    case("two-items-second-unsigned", INVALID, _adyen_signed(ADYEN_ITEM), ADYEN_ITEM)
    case("no-items", INVALID)
    case("not-json", INVALID, body=b"not json")
    case("empty-body", INVALID, body=b"")
    case("list", INVALID, body=b"[]")
    case("amount-missing", OPEN, _adyen_signed({name: value for name, value in ADYEN_ITEM.items() if name != "amount"}))
    made = import_module("Adyen.util").generate_notification_sig(ADYEN_ITEM, ADYEN_KEY).decode()
    case("signed-by-its-sdk", VALID, {**ADYEN_ITEM, "additionalData": {"hmacSignature": made}})


def _adyen_tampered(case: Callable[..., None]) -> None:
    for name, value in (
        ("pspReference", "1"),
        ("merchantReference", "order-2"),
        ("eventCode", "CAPTURE"),
        ("success", "false"),
    ):
        case(f"tampered-{name.lower()}", INVALID, {**_adyen_signed(ADYEN_ITEM), name: value})
    case("tampered-amount", INVALID, {**_adyen_signed(ADYEN_ITEM), "amount": {"value": 9130, "currency": "EUR"}})
    case("tampered-currency", INVALID, {**_adyen_signed(ADYEN_ITEM), "amount": {"value": 1130, "currency": "USD"}})
    case("wrong-key", INVALID, _adyen_signed(ADYEN_ITEM, key=made_up("other").hex()))
    text_key = base64_mac(utf8(ADYEN_KEY), _adyen_data(ADYEN_ITEM).encode())
    case("key-is-text", INVALID, {**ADYEN_ITEM, "additionalData": {"hmacSignature": text_key}})
    case(
        "colon-shifted",
        OPEN,
        {
            **_adyen_signed(ADYEN_ITEM, text=_adyen_data({**ADYEN_ITEM, "merchantReference": "order-1:x"})),
            "merchantReference": "order-1:x",
        },
    )
    shifted = {**ADYEN_ITEM, "merchantAccountCode": "MadeUpMerchant:order-1", "merchantReference": ""}
    case(
        "colons-confused",
        INVALID,
        {**_adyen_signed(ADYEN_ITEM), **{n: shifted[n] for n in ("merchantAccountCode", "merchantReference")}},
    )


def _adyen_signatures(case: Callable[..., None]) -> None:
    case("no-additional-data", INVALID, ADYEN_ITEM)
    case("signature-missing", INVALID, {**ADYEN_ITEM, "additionalData": {}})
    case("signature-json-null", INVALID, {**ADYEN_ITEM, "additionalData": {"hmacSignature": None}})
    case("signature-number", INVALID, {**ADYEN_ITEM, "additionalData": {"hmacSignature": 1}})
    case("signature-empty", INVALID, {**ADYEN_ITEM, "additionalData": {"hmacSignature": ""}})
    right = _adyen_signed(ADYEN_ITEM)["additionalData"]["hmacSignature"]
    for name, (meant, text) in damaged(right, "base64").items():
        case(f"signature-{name}", meant, {**ADYEN_ITEM, "additionalData": {"hmacSignature": text}})


def _mailgun(book: Book) -> None:
    def case(
        name: str, meant: str, changes: Mapping[str, Any] | None = None, stamp: str = str(NOW - 5), **how: str
    ) -> None:
        signature = hex_mac(
            utf8(how.get("key", MAILGUN_KEY)), f"{stamp}{MAILGUN_TOKEN}".encode(), how.get("hash", "sha256")
        )
        signed = present({"timestamp": stamp, "token": MAILGUN_TOKEN, "signature": signature, **(changes or {})})
        event = {"id": "CPg", "event": "delivered", "recipient": "zoe@example.net", "price": "100.00"}
        body = json.dumps({"signature": signed, "event-data": event}).encode()
        book.add("mailgun", name, meant, secret=MAILGUN_KEY, headers=JSON_TYPE, body=body)
        fields = {"recipient": "zoe@example.net", "subject": "Zoë", **signed}
        form = urlencode(fields).encode()
        book.add("mailgun-inbound-form", name, meant, secret=MAILGUN_KEY, headers=FORM_TYPE, body=form)

    case("valid", VALID)
    case("wrong-secret", INVALID, key="another")
    case("hash-sha1", INVALID, hash="sha1")
    case("hash-sha512", INVALID, hash="sha512")
    case("token-altered", INVALID, {"token": MAILGUN_TOKEN[:-1] + "x"})
    case("stamp-altered", INVALID, {"timestamp": str(NOW - 4)})
    for name in ("timestamp", "token", "signature"):
        case(f"{name}-missing", INVALID, {name: None})
        case(f"{name}-empty", INVALID, {name: ""})
    joined = f"{NOW - 5}{MAILGUN_TOKEN}"
    case("boundary-shifted", OPEN, {"timestamp": joined[:9], "token": joined[9:]})
    right = hex_mac(utf8(MAILGUN_KEY), joined.encode())
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
    _mailgun_json(book, right)
    _mailgun_form(book, right)


def _mailgun_json(book: Book, right: str) -> None:
    signed = {"timestamp": NOW - 5, "token": MAILGUN_TOKEN, "signature": right}
    whole = {"event-data": {"event": "delivered"}}

    def case(name: str, meant: str, body: Any) -> None:
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        book.add("mailgun", name, meant, secret=MAILGUN_KEY, headers=JSON_TYPE, body=sent)

    case("timestamp-is-number", OPEN, {"signature": signed, **whole})
    case(
        "event-data-altered",
        VALID,
        {"signature": {**signed, "timestamp": str(NOW - 5)}, "event-data": {"event": "failed"}},
    )
    case("token-is-number", INVALID, {"signature": {**signed, "token": 1}, **whole})
    case("signature-is-list", INVALID, {"signature": [right], **whole})
    case("signature-block-missing", INVALID, whole)
    case("not-json", INVALID, b"not json")
    case("empty-body", INVALID, b"")
    case("not-utf8", INVALID, b'{"signature":"\xff"}')


def _mailgun_form(book: Book, right: str) -> None:
    form = urlencode({"timestamp": str(NOW - 5), "token": MAILGUN_TOKEN, "signature": right})

    def case(name: str, meant: str, body: bytes, kind: Mapping[str, str] = FORM_TYPE) -> None:
        book.add("mailgun-inbound-form", name, meant, secret=MAILGUN_KEY, headers=kind, body=body)

    case("fields-twice-last-right", OPEN, f"signature=0&{form}".encode())
    case("fields-twice-first-right", OPEN, f"{form}&signature=0".encode())
    case("empty-body", INVALID, b"")
    parts = "".join(
        f'--made-up\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in (
            ("subject", "Zoë"),
            ("timestamp", str(NOW - 5)),
            ("token", MAILGUN_TOKEN),
            ("signature", right),
        )
    )
    multipart = {"Content-Type": "multipart/form-data; boundary=made-up"}
    case("valid-multipart", VALID, f"{parts}--made-up--\r\n".encode(), multipart)
    file = '--made-up\r\nContent-Disposition: form-data; name="attachment-1"; filename="a.txt"\r\n\r\ntoken\r\n'
    case("valid-multipart-with-file", VALID, f"{file}{parts}--made-up--\r\n".encode(), multipart)
    broken = parts.replace(right, right[:-1] + ("0" if right[-1] != "0" else "1"))
    case("multipart-signature-changed", INVALID, f"{broken}--made-up--\r\n".encode(), multipart)


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
        return {"event": present({**usual, **(changes or {})})}

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
        body = urlencode(present(fields)).encode()
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
