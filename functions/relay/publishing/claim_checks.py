"""Claim links: a destination fetches a body that is too large to carry, as long as the event is kept.

The relay answers a link with a redirect to a fresh presigned URL.  A presigned URL made at publish time would die with
the function's session, hours before QStash's last retry.  Whoever has the link may read that one body.  The link's MAC
is under the key of callback URLs, in a domain of its own, so that neither MAC yields the other.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from relay.errors import Gone, NotFound, Unsendable
from relay.model.ids import EventId
from relay.urls import claim_mac, is_mac

if TYPE_CHECKING:
    from relay.model.event import Event
    from relay.storage.store import Store

URL_LIVES_S = 300  # in which the download must begin
_CONTENT_TYPE = re.compile(r"[\x20-\x7e]{1,200}")


def redeem(event_id: str, sha256: str, mac: str, *, method: str, mac_key: str, store: Store) -> str:
    """Return a presigned URL of the body, for *method*, valid for `URL_LIVES_S`.

    The MAC is compared before the table is read, so that strangers learn nothing, not even from the answer's time.

    Raises:
        NotFound: The relay never made this link.
        Gone: The event isn't kept any more, or has another body now.
        UpstreamError: The table can't be read.
    """
    if not is_mac(mac, claim_mac(mac_key, event_id, sha256)):
        raise NotFound("there is no such claim")
    event = store.event(EventId(event_id))
    if event is None or event.sha256 != sha256 or not store.is_body_in_bucket(event):
        raise Gone("the event is not kept any more")
    content_type = event.content_type if _CONTENT_TYPE.fullmatch(event.content_type or "") else None
    return store.presigned_body(event, method=method, content_type=content_type, seconds=URL_LIVES_S)


CARRIED_BODY_MAX_BYTES = 1024 * 1024  # QStash's free plan; also, a callback holds the body in base64 and must fit 6 MB
CLAIM_CHECK_TYPE = "application/vnd.fanout-relay.claim-check+json"


def carried_body(
    event: Event, body: bytes, bucket: str, link: str, transformed: bytes | None = None
) -> tuple[bytes, str | None]:
    """Return the destinations' body and its content type: the source's bytes, or the *transformed* body.

    If the source's bytes are too large, the body is a claim check: a small JSON object with their *link*, their key in
    the relay's bucket, and their hash.

    Raises:
        Unsendable: The transformed body is too large.
    """
    if transformed is not None:
        if len(transformed) > CARRIED_BODY_MAX_BYTES:
            raise Unsendable(f"the transformed body has over {CARRIED_BODY_MAX_BYTES} bytes: let transform give less")
        return transformed, "application/json"
    if event.size_bytes <= CARRIED_BODY_MAX_BYTES:
        return body, event.content_type
    check = {
        "event_id": event.id,
        "sha256": event.sha256,
        "size_bytes": event.size_bytes,
        "content_type": event.content_type,
        "url": link,
        "s3": {"bucket": bucket, "key": f"bodies/{event.id}/{event.sha256}"},
    }
    return json.dumps(check, separators=(",", ":"), sort_keys=True).encode(), CLAIM_CHECK_TYPE
