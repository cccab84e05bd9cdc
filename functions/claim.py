"""GET and HEAD /claims/{event_id}/{sha256}/{mac}: redirects to the body that a claim check stands for."""

from __future__ import annotations

from relay.publishing.claim_checks import redeem
from relay.runtime.http_api import Request, Response, answering, note
from relay.wiring import relay


@answering
def handler(request: Request) -> Response:
    """Answer 302 to a fresh presigned URL; 404 if the relay never made the link, 410 once the event has expired."""
    parts = relay("RELAY_BUCKET")
    names = request.path_parameters
    event_id = names.get("event_id", "")
    url = redeem(
        event_id,
        names.get("sha256", ""),
        names.get("mac", ""),
        method=request.method,
        mac_key=parts.mac_key,
        store=parts.store,
    )
    note(event_id=event_id)
    return Response(302, "", {"location": url, "cache-control": "no-store"})
