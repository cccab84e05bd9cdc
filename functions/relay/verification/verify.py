"""Verifies a request: returns the answer to a handshake, or the webhook's info, or refuses it.  Ingest's first step.

`relay scheme verify` runs the same code.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING
from urllib.parse import quote

from relay.model.content import ENTITY_HEADERS
from relay.model.event import EVENT_TYPE_MAX_CHARS, EVENT_TYPE_UNKNOWN
from relay.model.ids import kept_key
from relay.verification.signatures import check_signature

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from relay.verification.handshakes import HandshakeAnswer
    from relay.verification.request import InboundRequest
    from relay.verification.scheme import Row
    from relay.verification.secret import Secret

METHOD_MAX_CHARS = 20
HEADERS_MAX_BYTES = 32 * 1024  # kept of all headers together; a gateway takes 10 KB of them
PARAMETERS_MAX_BYTES = 32 * 1024  # kept of the query's
QUERY_MAX_BYTES = 4096  # of a header; longer ones are what proxies and servers refuse
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
_NOT_IN_A_HEADER = re.compile(r"[^!-~]+")


@dataclass(frozen=True)
class WebhookInfo:
    """The id, type, headers and query of a verified request.

    Attributes:
        idempotency_key: The source's own id of the event; `sha256:` and a hash where it gives none: see `identity`.
        has_id: Whether it gives one.
        headers: What destinations get, lower-case names; `HEADERS_MAX_BYTES` at most, first those that the row names.
        signed_sha256: Hash of what was signed, where nothing in it is the id: the same under another id is suspicious.
        query: The parameters of its URL, but for those that prove who sent it; of a repeated one the last;
            `PARAMETERS_MAX_BYTES` at most.
        raw_query: Its query string as it came, without these; empty also where it is too long to be passed on.
        query_left_out: Whether it is too long.
    """

    idempotency_key: str
    has_id: bool
    event_type: str
    headers: dict[str, str]
    signed_sha256: str | None = None
    query: dict[str, str] = field(default_factory=dict)
    method: str = "POST"
    raw_query: str = ""
    query_left_out: bool = False


def verify(
    row: Row,
    request: InboundRequest,
    secrets: Sequence[Secret],
    *,
    at: float,
    fetch: Callable[..., bytes] | None = None,
) -> WebhookInfo | HandshakeAnswer:
    """Return the info of *request*, or the answer to its handshake.

    Args:
        row: The source's scheme.
        secrets: The source's current signing secrets.
        at: Now, in epoch seconds.
        fetch: Returns the bytes at an https URL, with a JSON body to post as its second argument.

    Raises:
        SignatureError: The request is refused, for whatever reason.  Only *fetch* may raise another error.
    """
    if row.handshake:
        from relay.verification.handshakes import SIGNED, UNSIGNED

        for handshake in UNSIGNED.get(row.handshake, ()):
            if (answer := handshake(request, secrets)) is not None:
                return answer
    check_signature(row, request, secrets, at=at, fetch=fetch)
    if row.handshake:
        for handshake in SIGNED.get(row.handshake, ()):
            if (answer := handshake(request, secrets)) is not None:
                return answer
    return describe(row, request)


def describe(row: Row, request: InboundRequest) -> WebhookInfo:
    """Return the info of a verified request.  Its type is `unknown` where its body should be JSON and isn't."""
    request.verified = True
    parts = [request.find_id(place) for place in row.id]
    key = ":".join(it or "" for it in parts) if any(parts) else None
    has_id, event_type = key is not None, _type(row, request)
    key = "sha256:" + identity(row, request, event_type) if key is None else kept_key(key)
    named, secret = row.headers | ENTITY_HEADERS, row.secret_headers
    wanted = {
        name: value
        for name, value in request.headers.items()
        if (name in named or _is_any(name, (*row.forward, *row.headers)))
        and not _is_any(name, secret)
        and _HEADER_NAME.fullmatch(name)  # else it could never be sent on
    }
    signed = request.signed if row.id and not row.signs_id else None
    kept = request.query_without(row.secret_parameters)
    raw_query = _NOT_IN_A_HEADER.sub(lambda it: quote(it[0], errors="replace"), kept)
    return WebhookInfo(
        idempotency_key=key,
        has_id=has_id,
        event_type=event_type,
        headers=_fitting(dict(sorted(wanted.items(), key=lambda it: it[0] not in named)), HEADERS_MAX_BYTES),
        signed_sha256=None if signed is None else hashlib.sha256(signed).hexdigest(),
        query=_fitting(
            {name: value for name, value in request.query if name not in row.secret_parameters}, PARAMETERS_MAX_BYTES
        ),
        method=request.method[:METHOD_MAX_CHARS],
        raw_query=raw_query if len(raw_query) <= QUERY_MAX_BYTES else "",
        query_left_out=len(raw_query) > QUERY_MAX_BYTES,
    )


def identity(row: Row, request: InboundRequest, event_type: str) -> str:
    """Return the identity, in hex, of an event whose source gives no ids: two requests of one identity are one event.

    It is made of the method, the query, the event type and the body's bytes.  It leaves out the parameters that change
    with each sending, which the scheme names; all other headers, since many change as well; and the path, which is one
    per source.
    """
    asked = request.query_without(row.passing_parameters)
    told = [it.encode(errors="replace") for it in (request.method, asked, event_type)]
    return hashlib.sha256(b"".join(b"%d:%s" % (len(it), it) for it in (*told, request.body))).hexdigest()


def _is_any(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, it) for it in patterns)


def _fitting(values: Mapping[str, str], most: int) -> dict[str, str]:
    """Return the first of *values* that fit in *most* bytes; those without a name are left out."""
    kept, left = {}, most
    for name, value in values.items():
        size = len(name.encode(errors="replace")) + len(value.encode(errors="replace"))
        if name and size <= left:
            kept[name], left = value, left - size
    return kept


def _type(row: Row, request: InboundRequest) -> str:
    of_body = any(place.startswith("body:") for it in row.type for place in it.split("|"))
    if of_body and request.content.trouble and request.is_json_expected():
        return EVENT_TYPE_UNKNOWN
    values = [request.find(place) for place in row.type]
    told = (" ".join(it.split()) for it in values if it)  # no header begins or ends with a blank, or has a line's end
    return ".".join(filter(None, told))[:EVENT_TYPE_MAX_CHARS].strip() or EVENT_TYPE_UNKNOWN
