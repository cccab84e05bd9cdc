"""Fills the templates of a scheme's row from a request: the bytes that are signed, or that a place must hold."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import TYPE_CHECKING

from relay.errors import SignatureError, UnusableSecret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from relay.verification.language import RequestTemplate
    from relay.verification.request import InboundRequest
    from relay.verification.secret import Secret


def rendered_for(
    template: RequestTemplate,
    request: InboundRequest,
    secret: Secret,
    *,
    key_text: str | None = None,
    time: str | None = None,
) -> Iterator[bytes]:
    """Yield *template* filled from *request*: once, or once for each of the request's URLs where it names the URL.

    Raises:
        SignatureError: A field isn't in the request.
    """
    for url in request.urls if any(field.startswith("url") for field in template.fields) else ("",):
        pieces = [template.literals[0]]
        for field, literal in zip(template.fields, template.literals[1:], strict=True):
            pieces.append(_field(field, request, secret, key_text, time, url))
            pieces.append(literal)
        yield b"".join(pieces)


def _field(
    field: str, request: InboundRequest, secret: Secret, key_text: str | None, time: str | None, url: str
) -> bytes:
    if field == "body":
        return request.body
    value: str | bytes | None
    if field in _DERIVED:
        value = _DERIVED[field](request, url)
    elif field == "time":
        value = time
    elif field.startswith("secret"):
        name = field.partition(":")[2]
        value = secret.part(name) if name else key_text if key_text is not None else secret.text
        if not value:  # else a template around nothing is what anybody can send
            raise UnusableSecret("the signing secret lacks a part that the scheme wants: set it again")
    else:
        value = request.find(field)
    if value is None:
        raise SignatureError(f"{field} is missing", reason="missing_header")
    return value if isinstance(value, bytes) else value.encode(errors="replace")


def _query_string_hash(request: InboundRequest, url: str) -> str:
    from relay.verification.custom import query_string_hash

    return query_string_hash(request.method, url)


def _hashed(data: bytes, encode: Callable[[bytes], bytes]) -> bytes:
    return encode(hashlib.sha256(data).digest())


_ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "hex": binascii.hexlify,
    "base64": base64.b64encode,
    "base64url": lambda it: base64.urlsafe_b64encode(it).rstrip(b"="),
}
_DERIVED: dict[str, Callable[[InboundRequest, str], str | bytes | None]] = {
    "url": lambda _, url: url,
    "method": lambda request, _: request.method,
    "body_ascii": lambda request, _: request.escaped,
    "body_gunzipped": lambda request, _: request.plain,
    "url_qsh": _query_string_hash,
    **{
        f"body_sha256_{name}": lambda request, _, encode=encode: _hashed(request.body, encode)  # type: ignore[misc]
        for name, encode in _ENCODERS.items()
    },
    **{
        f"url_sha256_{name}": lambda _, url, encode=encode: _hashed(url.encode(errors="replace"), encode)  # type: ignore[misc]
        for name, encode in _ENCODERS.items()
    },
}
