"""Cases of the schemes whose providers ship no verifier: what is expected of them follows from the documented formula.

Each ``expected`` is computed from the finished case by the formulas below, written apart from what made the case.
"""

from __future__ import annotations

import base64
import binascii
import json
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlsplit

from tests.gate.provider_sdks import keys
from tests.gate.provider_sdks.families import (
    INVALID,
    JSON_TYPE,
    NOW,
    VALID,
    Book,
    base64_mac,
    bodies,
    compact,
    encoded,
    hex_mac,
    made_up,
    plain,
    simple,
    utf8,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ALONE: dict[str, tuple[str, str, str, str]] = {
    "intercom": ("X-Hub-Signature", "sha1=", "hex", "sha1"),
    "typeform": ("Typeform-Signature", "sha256=", "base64", "sha256"),
    "meta": ("X-Hub-Signature-256", "sha256=", "hex", "sha256"),
    "sentry": ("Sentry-Hook-Signature", "", "hex", "sha256"),
    "vercel": ("x-vercel-signature", "", "hex", "sha1"),
    "bitbucket-cloud": ("X-Hub-Signature", "sha256=", "hex", "sha256"),
    "jira-cloud": ("X-Hub-Signature", "sha256=", "hex", "sha256"),
    "lemon-squeezy": ("X-Signature", "", "hex", "sha256"),
    "xero": ("x-xero-signature", "", "base64", "sha256"),
    "docusign": ("X-DocuSign-Signature-1", "", "base64", "sha256"),
    "asana": ("X-Hook-Signature", "", "hex", "sha256"),
    "dropbox": ("X-Dropbox-Signature", "", "hex", "sha256"),
    "x-twitter": ("x-twitter-webhooks-signature", "sha256=", "base64", "sha256"),
    "cal-com": ("X-Cal-Signature-256", "", "hex", "sha256"),
    "checkout-com": ("Cko-Signature", "", "hex", "sha256"),
    "gitea": ("X-Gitea-Signature", "", "hex", "sha256"),
    "dwolla": ("X-Request-Signature-SHA-256", "", "hex", "sha256"),
}
"""Schemes of one HMAC over the raw body: header, prefix, code, hash."""

CALENDLY_TOLERANCE_S = 180
TOLERANCE_S = 300


# The formulas


def expected(case: Mapping[str, Any]) -> str:
    """Return the verdict that the documentation of the case's scheme calls for."""
    headers = {name.lower(): value for name, value in case["headers"].items()}
    body = base64.b64decode(case["body"])
    name = case["scheme"]
    judge: Callable[..., bool] = FORMULAS.get(name, _alone)
    return VALID if judge(case, headers, body) else INVALID


def _alone(case: Mapping[str, Any], headers: Mapping[str, str], body: bytes) -> bool:
    header, prefix, code, algorithm = ALONE[case["scheme"]]
    make = hex_mac if code == "hex" else base64_mac
    return headers.get(header.lower()) == prefix + make(utf8(case["secret"]), body, algorithm)


def _docusign(case: Mapping[str, Any], headers: Mapping[str, str], body: bytes) -> bool:
    right = base64_mac(utf8(case["secret"]), body)
    return any(headers.get(f"x-docusign-signature-{number}") == right for number in range(1, 101))


def _trello(case: Mapping[str, Any], headers: Mapping[str, str], body: bytes) -> bool:
    right = base64_mac(utf8(case["secret"]), body + case["url"].encode(), "sha1")
    return right == headers.get("x-trello-webhook")


def _versions(header: str) -> Callable[..., bool]:
    def judge(case: Mapping[str, Any], headers: Mapping[str, str], body: bytes) -> bool:
        right = f"v1={hex_mac(utf8(case['secret']), body)}"
        return right in headers.get(header, "").split(",")

    return judge


def _calendly(case: Mapping[str, Any], headers: Mapping[str, str], body: bytes) -> bool:
    items = dict(item.split("=", 1) for item in headers.get("calendly-webhook-signature", "").split(",") if "=" in item)
    stamp = items.get("t", "")
    fresh = stamp.isdecimal() and case["now"] - int(stamp) <= CALENDLY_TOLERANCE_S
    return fresh and items.get("v1") == hex_mac(utf8(case["secret"]), f"{stamp}.".encode() + body)


def _zendesk(case: Mapping[str, Any], headers: Mapping[str, str], body: bytes) -> bool:
    stamp = headers.get("x-zendesk-webhook-signature-timestamp", "")
    right = base64_mac(utf8(case["secret"]), stamp.encode() + body)
    return bool(stamp) and headers.get("x-zendesk-webhook-signature") == right


def _buildkite(case: Mapping[str, Any], headers: Mapping[str, str], body: bytes) -> bool:
    items = dict(item.split("=", 1) for item in headers.get("x-buildkite-signature", "").split(",") if "=" in item)
    signed = f"{items.get('timestamp')}.".encode() + body
    return items.get("signature") == hex_mac(utf8(case["secret"]), signed) or (
        not items and headers.get("x-buildkite-token") == case["secret"]
    )


def _token(header: str) -> Callable[..., bool]:
    def judge(case: Mapping[str, Any], headers: Mapping[str, str], _body: bytes) -> bool:
        return bool(headers.get(header) == case["secret"])

    return judge


def _basic(case: Mapping[str, Any], headers: Mapping[str, str], _body: bytes) -> bool:
    kind, _, text = headers.get("authorization", "").partition(" ")
    try:
        given = base64.b64decode(text, validate=True).decode()
    except (binascii.Error, ValueError):
        return False
    return kind.lower() == "basic" and given == f"{case['secret']['username']}:{case['secret']['password']}"


def _graph(case: Mapping[str, Any], _headers: Mapping[str, str], body: bytes) -> bool:
    if "validationToken" in parse_qs(urlsplit(case["url"]).query):
        return True
    try:
        items = json.loads(body)["value"]
    except (ValueError, KeyError, TypeError):
        return False
    return bool(items) and all(item.get("clientState") == case["secret"]["client_state"] for item in items)


def _okta(case: Mapping[str, Any], headers: Mapping[str, str], _body: bytes) -> bool:
    return bool(headers.get("authorization") == case["secret"]["authorization"])


def _v1a(case: Mapping[str, Any], headers: Mapping[str, str], body: bytes) -> bool:
    module = import_module("cryptography.hazmat.primitives.asymmetric.ed25519")
    invalid = import_module("cryptography.exceptions").InvalidSignature
    stamp = headers.get("webhook-timestamp", "")
    if not stamp.isdecimal() or abs(case["now"] - int(stamp)) > TOLERANCE_S or "webhook-id" not in headers:
        return False
    public = module.Ed25519PublicKey.from_public_bytes(base64.b64decode(case["secret"].removeprefix("whpk_")))
    for item in headers.get("webhook-signature", "").split(" "):
        label, _, text = item.partition(",")
        try:
            public.verify(base64.b64decode(text, validate=True), f"{headers['webhook-id']}.{stamp}.".encode() + body)
        except (invalid, binascii.Error, ValueError):
            continue
        if label == "v1a":
            return True
    return False


FORMULAS: dict[str, Callable[..., bool]] = {
    "docusign": _docusign,
    "trello": _trello,
    "circleci": _versions("circleci-signature"),
    "pagerduty": _versions("x-pagerduty-signature"),
    "calendly": _calendly,
    "zendesk": _zendesk,
    "buildkite": _buildkite,
    "gitlab-token": _token("x-gitlab-token"),
    "telegram": _token("x-telegram-bot-api-secret-token"),
    "chargebee-basic": _basic,
    "ms-graph": _graph,
    "okta": _okta,
    "standard-webhooks-v1a": _v1a,
}
SCHEMES = frozenset(ALONE) | frozenset(FORMULAS)


# The cases


def add_all(book: Book) -> None:
    """Add the cases of every scheme of this module."""
    for name in ALONE:
        _about_alone(book, name)
    for add_some in (_add_docusign, _add_trello, _add_versions, _add_stamped, _add_tokens, _add_graph, _add_v1a):
        add_some(book)


def _about_alone(book: Book, name: str) -> None:
    header, prefix, code, algorithm = ALONE[name]
    s = simple(name, header, f"made-up-of-{name}", prefix=prefix, code=code, algorithm=algorithm)

    def case(label: str, meant: str, body: bytes, text: str | None) -> None:
        headers = JSON_TYPE if text is None else {**JSON_TYPE, header: text}
        book.add(name, label, meant, secret=s.secret, headers=headers, body=body)

    for label in ("compact-utf8", "pretty-crlf-twice", "empty", "not-utf8"):
        body = bodies()[label]
        case(f"valid-{label}", VALID, body, prefix + s.sign(body))
    body = compact()
    right = s.sign(body)
    case("tampered", INVALID, body.replace(b"100.00", b"900.00"), prefix + right)
    case("newline-added", INVALID, body + b"\n", prefix + right)
    case("wrong-secret", INVALID, body, prefix + s.sign(body, secret=s.wrong))
    case("missing-header", INVALID, body, None)
    case("empty-header", INVALID, body, "")
    case("truncated", INVALID, body, prefix + right[:-2])
    case(
        "other-code",
        INVALID,
        body,
        prefix + (base64.b64encode(bytes.fromhex(right)).decode() if code == "hex" else base64.b64decode(right).hex()),
    )
    case(
        "other-hash", INVALID, body, prefix + (hex_mac if code == "hex" else base64_mac)(utf8(s.secret), body, "sha512")
    )
    if prefix:
        case("prefix-missing", INVALID, body, right)
        case("prefix-other", INVALID, body, "sha512=" + right)


def _add_docusign(book: Book) -> None:
    secret, body = "made-up-of-docusign", compact()
    right, wrong = base64_mac(utf8(secret), body), base64_mac(b"other", body)

    def case(label: str, meant: str, **texts: str) -> None:
        sent = {f"X-DocuSign-Signature-{name[1:]}": text for name, text in texts.items()}
        book.add("docusign", label, meant, secret=secret, headers={**JSON_TYPE, **sent}, body=body)

    case("second-of-two", VALID, n1=wrong, n2=right)
    case("third-alone", VALID, n3=right)
    case("hundredth", VALID, n1=wrong, n100=right)
    case("none-of-two", INVALID, n1=wrong, n2=wrong)


def _add_trello(book: Book) -> None:
    secret, body = "made-up-of-trello", compact()
    url = "https://relay.example.net/in/trello?board=1"

    def case(label: str, meant: str, data: bytes, **more: Any) -> None:
        text = more.pop("text", base64_mac(utf8(more.pop("key", secret)), data, more.pop("algorithm", "sha1")))
        headers = JSON_TYPE if text is None else {**JSON_TYPE, "X-Trello-Webhook": text}
        book.add("trello", label, meant, secret=secret, headers=headers, **{"body": body, "url": url, **more})

    right = body + url.encode()
    case("valid", VALID, right)
    case("valid-not-utf8", VALID, b"\xff" + url.encode(), body=b"\xff")
    case("tampered", INVALID, right, body=body.replace(b"100.00", b"900.00"))
    case("wrong-secret", INVALID, right, key="other")
    case("other-url", INVALID, right, url=f"{url}&x=1")
    case("url-first", INVALID, url.encode() + body)
    case("body-alone", INVALID, body)
    case("hash-sha256", INVALID, right, algorithm="sha256")
    case("missing-header", INVALID, right, text=None)
    case("not-base64", INVALID, right, text="!!!")


def _add_versions(book: Book) -> None:
    for name, header in (("circleci", "circleci-signature"), ("pagerduty", "X-PagerDuty-Signature")):
        secret, body = f"made-up-of-{name}", compact()
        right, wrong = hex_mac(utf8(secret), body), hex_mac(b"other", body)
        texts = {
            "valid": (VALID, f"v1={right}"),
            "other-version-beside": (VALID, f"v1={right},v2={wrong}"),
            "other-version-before": (VALID, f"v0={wrong},v1={right}"),
            "right-under-other-version": (INVALID, f"v2={right}"),
            "wrong-secret": (INVALID, f"v1={wrong}"),
            "unlabelled": (INVALID, right),
            "truncated": (INVALID, f"v1={right[:-2]}"),
            "empty-header": (INVALID, ""),
            "missing-header": (INVALID, None),
        }
        if name == "pagerduty":
            texts["second-of-two"] = (VALID, f"v1={wrong},v1={right}")
            texts["none-of-two"] = (INVALID, f"v1={wrong},v1={wrong}")
        for label, (meant, text) in texts.items():
            headers = JSON_TYPE if text is None else {**JSON_TYPE, header: text}
            book.add(name, label, meant, secret=secret, headers=headers, body=body)
        altered = body.replace(b"100.00", b"900.00")
        book.add(name, "tampered", INVALID, secret=secret, headers={**JSON_TYPE, header: f"v1={right}"}, body=altered)


def _add_stamped(book: Book) -> None:
    body = compact()

    def calendly(
        label: str,
        meant: str,
        stamp: str,
        text: str | None = None,
        sent: bytes = body,
        key: str = "made-up-of-calendly",
    ) -> None:
        made = hex_mac(utf8(key), f"{stamp}.".encode() + body)
        header = f"t={stamp},v1={made}" if text is None else text.format(t=stamp, v1=made)
        headers = {**JSON_TYPE, "Calendly-Webhook-Signature": header}
        book.add("calendly", label, meant, secret="made-up-of-calendly", headers=headers, body=sent)

    calendly("valid", VALID, str(NOW - 2))
    calendly("past-inside", VALID, str(NOW - 179))
    calendly("past-outside", INVALID, str(NOW - 181))
    calendly("tampered", INVALID, str(NOW - 2), sent=body.replace(b"100.00", b"900.00"))
    calendly("stamp-altered", INVALID, str(NOW - 2), f"t={NOW - 1},v1={{v1}}")
    calendly("wrong-secret", INVALID, str(NOW - 2), key="other")
    calendly("no-stamp", INVALID, str(NOW - 2), "v1={v1}")
    calendly("no-signature", INVALID, str(NOW - 2), "t={t}")
    calendly("other-label", INVALID, str(NOW - 2), "t={t},v0={v1}")
    calendly("empty-header", INVALID, str(NOW - 2), "")

    def zendesk(
        label: str,
        meant: str,
        changes: Mapping[str, str | None] | None = None,
        sent: bytes = body,
        key: str = "bWFkZSB1cA==",
    ) -> None:
        stamp = "2026-11-23T11:59:58Z"
        names = {
            "X-Zendesk-Webhook-Signature": base64_mac(utf8(key), stamp.encode() + body),
            "X-Zendesk-Webhook-Signature-Timestamp": stamp,
            "X-Zendesk-Webhook-Id": "01FB",
            **(changes or {}),
        }
        headers = {**JSON_TYPE, **{name: value for name, value in names.items() if value is not None}}
        book.add("zendesk", label, meant, secret="bWFkZSB1cA==", headers=headers, body=sent)

    zendesk("valid", VALID)
    zendesk("tampered", INVALID, sent=body.replace(b"100.00", b"900.00"))
    zendesk("wrong-secret", INVALID, key="other")
    zendesk("key-is-decoded", INVALID, key="made up")
    zendesk("stamp-altered", INVALID, {"X-Zendesk-Webhook-Signature-Timestamp": "2026-11-23T11:59:59Z"})
    zendesk("stamp-missing", INVALID, {"X-Zendesk-Webhook-Signature-Timestamp": None})
    zendesk("signature-missing", INVALID, {"X-Zendesk-Webhook-Signature": None})
    zendesk("not-base64", INVALID, {"X-Zendesk-Webhook-Signature": "!!!"})

    def buildkite(label: str, meant: str, sent: Mapping[str, str], some: bytes = body) -> None:
        book.add("buildkite", label, meant, secret="made-up-of-buildkite", headers={**JSON_TYPE, **sent}, body=some)

    stamp = str(NOW - 2)
    right = hex_mac(b"made-up-of-buildkite", f"{stamp}.".encode() + body)
    text = f"timestamp={stamp},signature={right}"
    buildkite("valid", VALID, {"X-Buildkite-Signature": text})
    buildkite("valid-token", VALID, {"X-Buildkite-Token": "made-up-of-buildkite"})
    buildkite("wrong-token", INVALID, {"X-Buildkite-Token": "other"})
    buildkite("tampered", INVALID, {"X-Buildkite-Signature": text}, body.replace(b"100.00", b"900.00"))
    buildkite("stamp-altered", INVALID, {"X-Buildkite-Signature": text.replace(stamp, str(NOW - 1))})
    buildkite("stamp-missing", INVALID, {"X-Buildkite-Signature": f"signature={right}"})
    buildkite("signature-missing", INVALID, {"X-Buildkite-Signature": f"timestamp={stamp}"})
    buildkite("missing-header", INVALID, {})
    buildkite(
        "wrong-signature-right-token",
        INVALID,
        {"X-Buildkite-Signature": text[:-1] + "x", "X-Buildkite-Token": "made-up-of-buildkite"},
    )


def _add_tokens(book: Book) -> None:
    for name, header in (("gitlab-token", "X-Gitlab-Token"), ("telegram", "X-Telegram-Bot-Api-Secret-Token")):
        secret = f"made-up-of-{name}"
        texts = {
            "valid": (VALID, secret),
            "wrong": (INVALID, secret[:-1] + "#"),
            "longer": (INVALID, secret + "x"),
            "shorter": (INVALID, secret[:-1]),
            "upper-case": (INVALID, secret.upper()),
            "not-ascii": (INVALID, secret + "é"),
            "empty": (INVALID, ""),
            "missing": (INVALID, None),
        }
        for label, (meant, text) in texts.items():
            headers = JSON_TYPE if text is None else {**JSON_TYPE, header: text}
            book.add(name, label, meant, secret=secret, headers=headers, body=plain())
    user = {"username": "made_up", "password": "pä:ss word"}

    def basic(label: str, meant: str, text: str | None) -> None:
        headers = JSON_TYPE if text is None else {**JSON_TYPE, "Authorization": text}
        book.add("chargebee-basic", label, meant, secret=user, headers=headers, body=plain())

    def given(text: str, code: str = "utf-8") -> str:
        return f"Basic {base64.b64encode(text.encode(code)).decode()}"

    basic("valid", VALID, given("made_up:pä:ss word"))
    basic("scheme-lower-case", VALID, given("made_up:pä:ss word").replace("Basic", "basic"))
    basic("wrong-password", INVALID, given("made_up:other"))
    basic("wrong-user", INVALID, given("other:pä:ss word"))
    basic("no-colon", INVALID, given("made_up"))
    basic("password-in-latin-1", INVALID, given("made_up:pä:ss word", "latin-1"))
    basic("not-base64", INVALID, "Basic !!!")
    basic("bearer", INVALID, given("made_up:pä:ss word").replace("Basic", "Bearer"))
    basic("missing", INVALID, None)
    hook = {"authorization": "made-up-of-okta"}

    def okta(label: str, meant: str, sent: Mapping[str, str], method: str = "POST") -> None:
        body = plain() if method == "POST" else b""
        book.add("okta", label, meant, secret=hook, headers=sent, body=body, method=method)

    okta("valid", VALID, {**JSON_TYPE, "Authorization": "made-up-of-okta"})
    okta("challenge", VALID, {"Authorization": "made-up-of-okta", "x-okta-verification-challenge": "made up"}, "GET")
    okta("challenge-wrong-key", INVALID, {"Authorization": "other", "x-okta-verification-challenge": "made up"}, "GET")
    okta("wrong-key", INVALID, {**JSON_TYPE, "Authorization": "made-up-of-oktA"})
    okta("bearer-before", INVALID, {**JSON_TYPE, "Authorization": "Bearer made-up-of-okta"})
    okta("empty", INVALID, {**JSON_TYPE, "Authorization": ""})
    okta("missing", INVALID, JSON_TYPE)


def _add_graph(book: Book) -> None:
    secret = {"client_state": "made-up-of-graph"}

    def case(label: str, meant: str, body: bytes, keyed: Any = secret) -> None:
        book.add("ms-graph", label, meant, secret=keyed, headers=JSON_TYPE, body=body)

    def of(*states: Any) -> bytes:
        items = [{"subscriptionId": "s", "changeType": "created", "clientState": state} for state in states]
        return json.dumps({"value": items}).encode()

    case("valid", VALID, of("made-up-of-graph"))
    case("valid-two", VALID, of("made-up-of-graph", "made-up-of-graph"))
    case("second-wrong", INVALID, of("made-up-of-graph", "other"))
    case("wrong", INVALID, of("other"))
    case("null", INVALID, of(None))
    case("missing", INVALID, b'{"value":[{"subscriptionId":"s"}]}')
    case("no-items", INVALID, b'{"value":[]}')
    case("not-json", INVALID, b"not json")
    url = f"https://relay.example.net/in/ms-graph?validationToken={quote('Made: up & more')}"
    text = {"Content-Type": "text/plain; charset=utf-8"}
    book.add("ms-graph", "validation", VALID, secret=None, headers=text, body=b"", url=url)


def _add_v1a(book: Book) -> None:
    secret = "whpk_" + base64.b64encode(keys.ed25519_public("v1a")).decode()
    message, body = "msg_3Zq8vN1kT", compact()

    def case(
        label: str, meant: str, stamp: int = NOW - 2, text: str | None = None, sent: bytes = body, **how: Any
    ) -> None:
        data = f"{message}.{stamp}.".encode() + how.get("signed", body)
        made = encoded(keys.ed25519(how.get("seed", "v1a")).sign(data), "base64")
        mac = base64_mac(base64.b64decode(secret.removeprefix("whpk_")), data)
        header = f"v1a,{made}" if text is None else text.format(right=made, mac=mac)
        headers = {
            **JSON_TYPE,
            "webhook-id": how.get("id", message),
            "webhook-timestamp": str(stamp),
            "webhook-signature": header,
        }
        kept = {name: value for name, value in headers.items() if name != how.get("without")}
        book.add("standard-webhooks-v1a", label, meant, secret=secret, headers=kept, body=sent)

    case("valid", VALID)
    case("valid-not-utf8", VALID, sent=b"\xff", signed=b"\xff")
    case("tampered", INVALID, sent=body.replace(b"100.00", b"900.00"))
    case("other-key", INVALID, seed="other")
    case("second-of-two", VALID, text="v1a," + base64.b64encode(bytes(64)).decode() + " v1a,{right}")
    case("beside-v1", VALID, text="v1,AAAA v1a,{right}")
    case("under-v1", INVALID, text="v1,{right}")
    case("mac-of-public-key", INVALID, text="v1,{mac}")
    case("mac-under-v1a", INVALID, text="v1a,{mac}")
    case("truncated", INVALID, text="v1a," + base64.b64encode(made_up("short", 60)).decode())
    case("past-outside", INVALID, NOW - 301)
    case("future-outside", INVALID, NOW + 301)
    case("past-inside", VALID, NOW - 299)
    case("id-altered", INVALID, id=message + "x")
    case("missing-signature", INVALID, without="webhook-signature")
    case("missing-id", INVALID, without="webhook-id")
    case("missing-timestamp", INVALID, without="webhook-timestamp")
