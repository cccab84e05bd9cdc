"""Handshakes: the requests by which providers check an endpoint, and the exact answer to each.  None makes an event.

A handshake of `UNSIGNED` comes before there is anything to verify (often before there is a secret); one of `SIGNED` is
looked for only in a request whose signature is right.  Each function returns an answer; None: it is no handshake.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from relay.errors import SignatureError, UnusableSecret
from relay.verification.secret import is_one_of, key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from relay.verification.request import InboundRequest
    from relay.verification.secret import Secret

TEXT = "text/plain"
JSON = "application/json"
CHALLENGE_MAX_CHARS = 1000
_NO_SNIFFING = {"x-content-type-options": "nosniff"}  # it is a stranger's text that is sent back


@dataclass(frozen=True)
class HandshakeAnswer:
    """The HTTP answer to a handshake.

    Attributes:
        confirm: A URL that must be fetched before answering; None: there is none.
        keep: Values that the owner must see, by name: a token to paste at the provider.
    """

    status: int
    body: str = ""
    content_type: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    confirm: str | None = None
    keep: Mapping[str, str] = field(default_factory=dict)


OK = HandshakeAnswer(200)
_OF_NO_EVENTS = {"destination", "entropy", "events", "firstEventSequence", "lastEventSequence"}


def _json(value: Mapping[str, object]) -> HandshakeAnswer:
    return HandshakeAnswer(200, json.dumps(value, separators=(",", ":")), JSON)


def _echo(text: str) -> HandshakeAnswer:
    if len(text) > CHALLENGE_MAX_CHARS:
        raise SignatureError("the challenge is too long", reason="malformed_header")
    return HandshakeAnswer(200, text, TEXT, _NO_SNIFFING)


def _key(secrets: Sequence[Secret], *names: str) -> str:
    """Return the newest secret's text, or its part of one of *names*."""
    for secret in secrets:
        for _, text in secret.key_texts(names):
            return text
    raise UnusableSecret("this source has no signing secret yet", reason="no_secret")


# -- before any signature -----------------------------------------------------------------------------------------


def head(request: InboundRequest, _: Sequence[Secret]) -> HandshakeAnswer | None:
    """Trello, Intercom, Mandrill: a HEAD request when the webhook is made."""
    return OK if request.method == "HEAD" else None


def challenge(request: InboundRequest, _: Sequence[Secret]) -> HandshakeAnswer | None:
    """Dropbox: GET ?challenge=…, sent back as plain text."""
    given = request.find("query:challenge")
    return _echo(given) if request.method == "GET" and given else None


def meta(request: InboundRequest, secrets: Sequence[Secret]) -> HandshakeAnswer | None:
    """Meta: GET ?hub.mode=subscribe&hub.verify_token=…&hub.challenge=…, sent back where the token is ours.

    The token is the secret's part `verify_token`, or the whole secret where it has no parts.
    """
    query = dict(request.query)
    if request.method != "GET" or query.get("hub.mode") != "subscribe":
        return None
    given = query.get("hub.verify_token", "").encode(errors="replace")
    held = [it.part("verify_token") or it.text for it in secrets]
    if not held:
        raise UnusableSecret("this source has no signing secret yet", reason="no_secret")
    if not is_one_of(given, [it.encode() for it in held if it]):
        raise SignatureError("hub.verify_token doesn't match", reason="wrong_token", status=403)
    return _echo(query.get("hub.challenge", ""))


def x_twitter(request: InboundRequest, secrets: Sequence[Secret]) -> HandshakeAnswer | None:
    """X: GET ?crc_token=…, answered with its HMAC.

    Webhooks are signed by the same HMAC, so that nothing is answered that could be the body of one.
    """
    token = request.find("query:crc_token")
    if request.method != "GET" or not token:
        return None
    if not re.fullmatch(r"[A-Za-z0-9._+/=-]{1,200}", token):
        raise SignatureError("crc_token is malformed", reason="malformed_header")
    mac = hmac.digest(_key(secrets, "consumer_secret").encode(), token.encode(errors="replace"), "sha256")
    return _json({"response_token": "sha256=" + base64.b64encode(mac).decode()})


def braintree(request: InboundRequest, secrets: Sequence[Secret]) -> HandshakeAnswer | None:
    """Braintree: GET ?bt_challenge=…, answered with the public key and the challenge's HMAC."""
    given = request.find("query:bt_challenge")
    if request.method != "GET" or given is None:
        return None
    if not re.fullmatch("[a-f0-9]{20,32}", given):
        raise SignatureError("bt_challenge is malformed", reason="malformed_header")
    for secret in secrets:
        public = secret.part("public_key")
        private = secret.part("private_key")
        key = key_of("sha1", private) if private else None
        if public and key:
            return HandshakeAnswer(200, f"{public}|{hmac.digest(key, given.encode(), 'sha1').hex()}", TEXT)
    raise UnusableSecret("the signing secret must hold public_key and private_key: set it again")


def ms_graph(request: InboundRequest, _: Sequence[Secret]) -> HandshakeAnswer | None:
    """Microsoft Graph: POST ?validationToken=…, sent back decoded, as plain text."""
    token = request.find("query:validationToken")
    return None if token is None else _echo(token)


def asana(request: InboundRequest, _: Sequence[Secret]) -> HandshakeAnswer | None:
    """Asana: X-Hook-Secret, sent back in the same header while the webhook is being made."""
    given = request.find("X-Hook-Secret")
    if given is None:
        return None
    if not re.fullmatch(r"[\x21-\x7e]{1,200}", given):
        raise SignatureError("X-Hook-Secret is malformed", reason="malformed_header")
    return HandshakeAnswer(200, headers={"X-Hook-Secret": given})


def notion(request: InboundRequest, secrets: Sequence[Secret]) -> HandshakeAnswer | None:
    """Notion: a verification token, once, unsigned; the owner pastes it at Notion and sets it as the secret.

    Where there is a secret already, a token is nobody's: anybody could have sent it.
    """
    if request.find("X-Notion-Signature") is not None:
        return None
    token = request.find("body:verification_token")
    if token is None:
        return None
    return OK if secrets else HandshakeAnswer(200, keep={"verification_token": token[:CHALLENGE_MAX_CHARS]})


# -- in a request that is signed ----------------------------------------------------------------------------------


def slack(request: InboundRequest, _: Sequence[Secret]) -> HandshakeAnswer | None:
    """Slack: url_verification, whose challenge goes back as plain text."""
    if request.find("body:type") != "url_verification":
        return None
    return _echo(request.find("body:challenge") or "")


def zoom(request: InboundRequest, secrets: Sequence[Secret]) -> HandshakeAnswer | None:
    """Zoom: endpoint.url_validation, answered with the token and its HMAC; again every 72 hours."""
    if request.find("body:event") != "endpoint.url_validation":
        return None
    token = request.find("body:payload.plainToken") or ""
    mac = hmac.digest(_key(secrets).encode(), token.encode(), "sha256").hex()
    return _json({"plainToken": token, "encryptedToken": mac})


def discord(request: InboundRequest, _: Sequence[Secret]) -> HandshakeAnswer | None:
    """Discord: a PING of interactions (type 1) or of webhook events (type 0)."""
    held = request.json if isinstance(request.json, dict) else {}
    kind = held.get("type")
    if isinstance(kind, bool) or not isinstance(kind, int):
        return None
    if kind == 0:
        return HandshakeAnswer(204, content_type=JSON)
    return _json({"type": 1}) if kind == 1 and "event" not in held else None


def twitch(request: InboundRequest, _: Sequence[Secret]) -> HandshakeAnswer | None:
    """Twitch: webhook_callback_verification, whose challenge goes back raw."""
    if request.find("Twitch-Eventsub-Message-Type") != "webhook_callback_verification":
        return None
    given = request.find("body:challenge") or ""
    return HandshakeAnswer(200, given[:CHALLENGE_MAX_CHARS], "text/plain", _NO_SNIFFING)


def okta(request: InboundRequest, _: Sequence[Secret]) -> HandshakeAnswer | None:
    """Okta: GET with a challenge in a header, sent back in JSON."""
    given = request.find("X-Okta-Verification-Challenge")
    return _json({"verification": given}) if request.method == "GET" and given is not None else None


def sns(request: InboundRequest, _: Sequence[Secret]) -> HandshakeAnswer | None:
    """Amazon SNS: SubscriptionConfirmation, confirmed by fetching its URL, which must be Amazon's."""
    if request.find("body:Type") != "SubscriptionConfirmation":
        return None
    from relay.verification.certificates import is_sns_url

    url = request.find("body:SubscribeURL") or ""
    if not is_sns_url(url):
        raise SignatureError("SubscribeURL isn't Amazon's", reason="untrusted_certificate")
    return HandshakeAnswer(200, confirm=url)


def no_events(request: InboundRequest, _: Sequence[Secret]) -> HandshakeAnswer | None:
    """Xero's intent to receive, Asana's heartbeat, LINE's verify button: signed, and without an event in it."""
    held = request.json if isinstance(request.json, dict) else {}
    return OK if held.get("events") == [] and held.keys() <= _OF_NO_EVENTS else None


UNSIGNED: dict[str, tuple[Callable[[InboundRequest, Sequence[Secret]], HandshakeAnswer | None], ...]] = {
    "asana": (asana,),
    "braintree": (braintree,),
    "challenge": (challenge,),
    "head": (head,),
    "meta": (meta,),
    "ms-graph": (ms_graph,),
    "notion": (notion,),
    "x-twitter": (x_twitter,),
}
SIGNED: dict[str, tuple[Callable[[InboundRequest, Sequence[Secret]], HandshakeAnswer | None], ...]] = {
    "asana": (no_events,),
    "aws-sns": (sns,),
    "discord": (discord,),
    "no-events": (no_events,),
    "okta": (okta,),
    "slack": (slack,),
    "twitch": (twitch,),
    "zoom": (zoom,),
}
NAMES = tuple(sorted({*UNSIGNED, *SIGNED}))
