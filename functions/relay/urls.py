"""Every URL of the relay's own: which paths there are, what each is made of, and the MACs that prove the relay made it.

QStash's signing keys are symmetric, so any destination that checks its signatures could forge callbacks and ticks.
Therefore these URLs hold a MAC under a key that only the relay has.  What is signed begins with its own word (the kind
of a callback, `claim`, `tick`, `body`), so that no MAC of one purpose serves another.  URLs have only characters that
need no escaping, and no query but a tick's.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relay.errors import SignatureError
from relay.model.ids import EventId, Generation

if TYPE_CHECKING:
    from collections.abc import Iterable

# The routes of the gateway that strangers may call; each proves by itself who calls.
WEBHOOK_PATH = "/webhooks/{source}"
CALLBACK_PATH = "/qstash/callback/{proxy+}"
FAILURE_PATH = "/qstash/failure/{proxy+}"
DELIVER_PATH = "/qstash/deliver/{destination}"
CLAIM_PATH = "/claims/{event_id}/{sha256}/{mac}"

CALLBACK = "callback"
FAILURE = "failure"
BODY_MAC = "Relay-Body-Mac"  # the header
TICK_MAC = "tick"  # the query parameter

_MAC_CHARS = 32
_CALLBACK_URL = re.compile(rf"/qstash/(?:{CALLBACK}|{FAILURE})/rly_[a-z2-7]+/[^/]+/[^/]+/[0-9a-f]{{{_MAC_CHARS}}}$")


def _mac(key: str, signed: str) -> str:
    return hmac.new(key.encode(), signed.encode(errors="replace"), hashlib.sha256).hexdigest()[:_MAC_CHARS]


def is_mac(given: str, expected: str) -> bool:
    """Tell in constant time whether *given*, which a stranger wrote, is the *expected* MAC."""
    return hmac.compare_digest(given.encode(errors="replace"), expected.encode())


# -- webhooks ----------------------------------------------------------------------------------------------------------


def webhook_url(base: str, source: str) -> str:
    """Return the URL at which *source* posts its webhooks; *base* has no slash at its end."""
    return f"{base}/webhooks/{source}"


def source_in(path: str) -> str | None:
    """Return the source that *path* names where a webhook is posted; None where it is another path."""
    _, found, source = path.rpartition("/webhooks/")
    return source if found and source and "/" not in source else None


# -- callbacks ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CallbackAddress:
    """What a callback URL says: its kind (`CALLBACK` or `FAILURE`), and what was published."""

    kind: str
    event: EventId
    generation: Generation
    scope: str

    def url(self, base: str, mac_key: str) -> str:
        """Return the URL at which QStash is to report."""
        return f"{base}/qstash/{self._signed}/{_mac(mac_key, self._signed)}"

    @property
    def group(self) -> str | None:
        """Return the URL group that was published to; None where it was one destination's own URL."""
        kind, _, name = self.scope.partition(".")
        return name if kind == "g" else None

    def destination(self, endpoint: str | None, at_url: str | None) -> str | None:
        """Return the destination that a report to this address is about; None where nothing names it.

        Args:
            endpoint: The endpoint that the report names; QStash does so for a URL group.
            at_url: The destination that has the report's URL as the configuration stands now.
        """
        if self.group is not None:
            return endpoint or at_url
        return self.scope.partition(".")[2]

    @property
    def _signed(self) -> str:
        return f"{self.kind}/{self.event}/{self.generation}/{self.scope}"

    @classmethod
    def of(cls, path: str, mac_key: str) -> CallbackAddress:
        """Return what *path* says.

        Raises:
            SignatureError: Its MAC isn't the relay's own.
        """
        parts = path.removeprefix("/qstash/").split("/")
        if len(parts) != len(("kind", "event", "generation", "scope", "mac")):
            raise SignatureError("the callback's path is malformed")
        address = cls(parts[0], EventId(parts[1]), Generation(parts[2]), parts[3])
        if not is_mac(parts[4], _mac(mac_key, address._signed)):
            raise SignatureError("the callback path's MAC doesn't match")
        return address


def is_callback(url: str | None) -> bool:
    """Tell whether *url* has the form of a callback's, at whatever address this relay was."""
    return url is not None and bool(_CALLBACK_URL.search(url))


def callback_path(url: str, bases: Iterable[str]) -> str | None:
    """Return the path of *url* where it is that of a callback at one of the relay's own *bases*; else None."""
    for base in bases:
        if url.startswith((f"{base}/qstash/{CALLBACK}/", f"{base}/qstash/{FAILURE}/")):
            return url.removeprefix(base)
    return None


# -- AWS targets -------------------------------------------------------------------------------------------------------


def deliver_url(base: str, destination: str) -> str:
    """Return the URL at which QStash delivers what goes to the AWS target of *destination*."""
    return f"{base}/qstash/deliver/{destination}"


def is_deliver_url(url: str, destination: str) -> bool:
    """Tell whether *url* is `deliver_url` of *destination*, at any base."""
    return url.endswith(deliver_url("", destination))


def body_mac(key: str, event: EventId, body: bytes) -> str:
    """Return what proves that *body* was published for *event*, to deliver: QStash signs no headers."""
    return _mac(key, f"body/{event}/{hashlib.sha256(body).hexdigest()}")


# -- claims ------------------------------------------------------------------------------------------------------------


def claim_url(base: str, mac_key: str, event: EventId, sha256: str) -> str:
    """Return the URL at which the relay redirects to the body of *event* that has the hash *sha256*."""
    return f"{base}/claims/{event}/{sha256}/{claim_mac(mac_key, event, sha256)}"


def claim_mac(mac_key: str, event: str, sha256: str) -> str:
    """Return the MAC in `claim_url`."""
    return _mac(mac_key, f"claim\0{event}\0{sha256}")


# -- ticks -------------------------------------------------------------------------------------------------------------


def tick_url(url: str, mac_key: str) -> str:
    """Return where QStash is to post the ticks of the schedule whose source has *url*."""
    return f"{url}?{TICK_MAC}={tick_mac(mac_key, url.rpartition('/')[2])}"


def tick_mac(mac_key: str, source: str) -> str:
    """Return the MAC in `tick_url`."""
    return _mac(mac_key, f"tick/{source}")
