"""Claim links: how a destination gets a body that is too large to carry, for as long as the event is kept.

A link is the relay's own and is answered with a redirect to a presigned URL made that moment: one made at publish time
would die with the session of who made it, hours before QStash's last retry.  Who has the link may read that one body;
its MAC is under the key of callback URLs, in a domain of its own, so that neither can be made of the other.
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

URL_LIVES_S = 300  # of a presigned URL: to begin with; what has begun goes on
_CONTENT_TYPE = re.compile(r"[\x20-\x7e]{1,200}")


def redeem(event_id: str, sha256: str, mac: str, *, method: str, mac_key: str, store: Store) -> str:
    """Return a URL that gives the body once *method* asks it within `URL_LIVES_S`.

    The MAC is compared before anything is looked up, so that an answer tells strangers nothing, by its time neither.

    Raises:
        NotFound: The relay never made this link.
        Gone: It did, and the event isn't kept any more, or has another body now.
        UpstreamError: The table can't be read.
    """
    if not is_mac(mac, claim_mac(mac_key, event_id, sha256)):
        raise NotFound("there is no such claim")
    event = store.event(EventId(event_id))
    if event is None or event.sha256 != sha256 or not store.is_body_in_bucket(event):
        raise Gone("the event is not kept any more")
    content_type = event.content_type if _CONTENT_TYPE.fullmatch(event.content_type or "") else None
    return store.presigned_body(event, method=method, content_type=content_type, seconds=URL_LIVES_S)


CARRIED_BODY_MAX_BYTES = 1024 * 1024  # QStash's free plan; and a callback, which holds it in base64, must fit 6 MB
CLAIM_CHECK_TYPE = "application/vnd.fanout-relay.claim-check+json"


def carried_body(
    event: Event, body: bytes, bucket: str, link: str, transformed: bytes | None = None
) -> tuple[bytes, str | None]:
    """Return what destinations get, and its content type: the source's bytes, or what they were *transformed* to.

    Where the source's bytes are too many it is a claim check: a small JSON object that says at which *link*
    they are, where in the relay's bucket, and what they hash to.

    Raises:
        Unsendable: What they were transformed to is too much to carry.
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
