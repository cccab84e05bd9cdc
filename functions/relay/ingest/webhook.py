"""A verified webhook, and the form in which the spool keeps it while the table is down.

Many sources never send again, so a webhook that the table can't take waits in the bucket.  Only ingest may write there,
so a spooled webhook isn't verified again.
"""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from relay.model.ids import from_iso, iso
from relay.verification.verify import WebhookInfo

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True)
class Webhook:
    """One verified webhook: its bytes, and what they say of the event (*info*)."""

    source: str
    received_at: datetime
    info: WebhookInfo
    content_type: str | None
    body: bytes

    def dump(self) -> bytes:
        """Return the webhook as the spool keeps it: JSON, the body in base64."""
        held = {
            "source": self.source,
            "received_at": iso(self.received_at),
            "said": asdict(self.info),
            "content_type": self.content_type,
            "body": base64.b64encode(self.body).decode(),
        }
        return json.dumps(held).encode()

    @classmethod
    def load(cls, data: bytes) -> Webhook:
        """Return the webhook that *data* holds.

        Raises:
            ValueError, KeyError, TypeError: *data* is no spooled webhook.
        """
        held = json.loads(data)
        return cls(
            source=held["source"],
            received_at=from_iso(held["received_at"]),
            info=WebhookInfo(**held["said"]),
            content_type=held["content_type"],
            body=base64.b64decode(held["body"]),
        )
