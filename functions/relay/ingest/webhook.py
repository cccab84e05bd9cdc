"""Webhooks that the table couldn't take, kept in the bucket until it can: their sources would never send them again.

A spooled webhook was verified when it came; only ingest may write here, so it isn't verified again.
"""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from relay.model.ids import from_iso, iso
from relay.verification.verify import WebhookInfo

if TYPE_CHECKING:
    from datetime import datetime

    from relay.storage.store import Store

COUNTED_MAX = 1000  # a page of the bucket's list


@dataclass(frozen=True)
class Webhook:
    """One webhook as it came, and what it says of itself."""

    source: str
    received_at: datetime
    said: WebhookInfo
    content_type: str | None
    body: bytes

    def dump(self) -> bytes:
        """Return it as it stands in the bucket: JSON, the body in base64."""
        held = {
            "source": self.source,
            "received_at": iso(self.received_at),
            "said": asdict(self.said),
            "content_type": self.content_type,
            "body": base64.b64encode(self.body).decode(),
        }
        return json.dumps(held).encode()

    @classmethod
    def load(cls, data: bytes) -> Webhook:
        """Return the webhook that *data* holds.

        Raises:
            ValueError, KeyError, TypeError: It is no spooled webhook.
        """
        held = json.loads(data)
        return cls(
            source=held["source"],
            received_at=from_iso(held["received_at"]),
            said=WebhookInfo(**held["said"]),
            content_type=held["content_type"],
            body=base64.b64decode(held["body"]),
        )


def backlog(store: Store) -> tuple[int, datetime | None]:
    """Return how many webhooks are spooled, up to `COUNTED_MAX`, and since when the oldest is."""
    keys = store.spool.oldest(COUNTED_MAX)
    for key in keys:
        with suppress(ValueError):  # somebody else wrote there
            return len(keys), from_iso(key.partition("/")[2].rpartition("-")[0])
    return len(keys), None
