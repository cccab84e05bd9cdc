"""Which URLs a configuration may name: public HTTPS, no secret in them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from relay.internet.addresses import address_of, is_public

if TYPE_CHECKING:
    from urllib.parse import SplitResult

URL_MAX_CHARS = 2048
_NOT_PUBLIC = (
    *(".localhost", ".local", ".internal", ".lan", ".home.arpa", ".intranet", ".corp"),
    *(".test", ".example", ".invalid", ".onion", ".alt"),  # set apart from the public names by RFC 6761, 7686 and 9476
)
_HOST_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.IGNORECASE)
_SECRET_PARAMETER = re.compile(
    r"(.*[_-])?(token|secret|password|passwd|pwd|api_?key|apikey|key|auth|authorization|credential|credentials"
    r"|signature|sig|code|jwt)",
    re.IGNORECASE,
)
_SECRET_TEXT = re.compile(
    r"(?<![A-Za-z0-9])("
    r"gh[opsur]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[abeprs]-[\w-]{8,}|xapp-[\w-]{16,}"
    r"|(sk|rk)_(live|test)_\w{8,}|sk-((proj|svcacct|admin|ant)-[\w-]{20,}|[A-Za-z0-9]{32,})|whsec_\w{8,}|shp(at|ca|pa|ss)_[0-9a-f]{32}|SG\.[\w-]{16,}\.[\w-]{16,}"
    r"|A[KS]IA[A-Z0-9]{16}|AIza[\w-]{30,}|ya29\.[\w-]{16,}|npm_[A-Za-z0-9]{36}|pypi-[\w-]{32,}|dop_v1_[0-9a-f]{32,}"
    r"|sig_[A-Za-z0-9]{20,}|eyJVc2VySUQi[\w+/-]{8,}"  # QStash's signing keys and its token, `{"UserID"` in base64
    r"|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*|-----BEGIN [A-Z ]*PRIVATE KEY)"
    r"|hooks\.slack\.com/(services|workflows|triggers)/.+|discord(app)?\.com/api/webhooks/\d+/.+"
)
_BEARER = re.compile(r"\b(Bearer|Basic|token) +[A-Za-z0-9._~+/-]{16,}=*")
_SECRET_HEADER = re.compile(r"authorization|proxy-authorization|cookie", re.IGNORECASE)


def problem(url: str, *, allow_local: bool = False) -> str | None:
    """Return what is wrong with *url* and what to do, or None if QStash may call it.

    Args:
        url: As it stands in the configuration.
        allow_local: Also take http and this machine's own addresses; any other private address stays refused.
    """
    if len(url) > URL_MAX_CHARS:
        return f"is longer than {URL_MAX_CHARS} characters"
    if not url.isascii() or any(c.isspace() or not c.isprintable() for c in url):
        return "has a character that must be percent-encoded (in the host: written as xn--…)"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        return f"isn't a URL: {error}"
    if parts.scheme not in ("http", "https") or not host:
        return "must be an absolute URL like https://example.com/path"
    if port == 0:
        return "has port 0, where nothing listens: name the port, or leave it out for 443"
    secret = _secret_in(url, parts)
    if secret:
        return secret
    return _problem_of_host(host.rstrip("."), parts.scheme, allow_local=allow_local)


def secret_text(text: str) -> bool:
    """Tell whether *text* holds what looks like a secret: a token of a known form, or of an Authorization header."""
    return bool(_SECRET_TEXT.search(text) or _BEARER.search(text))


def secret_header(name: str) -> bool:
    """Tell whether a header called *name* carries a secret."""
    return bool(_SECRET_HEADER.fullmatch(name) or _SECRET_PARAMETER.fullmatch(name))


def _secret_in(url: str, parts: SplitResult) -> str | None:
    if "@" in parts.netloc:
        return "carries a user name or password, which would be stored in the clear: take it out"
    for name, _ in parse_qsl(parts.query, keep_blank_values=True):
        if _SECRET_PARAMETER.fullmatch(name):
            return (
                f"carries what looks like a secret (parameter '{name}'), which would be stored in the clear: take it"
                " out and check QStash's signature at the destination instead"
            )
    if _SECRET_TEXT.search(url):
        return (
            "carries what looks like a secret, which would be stored in the clear: take it out and check QStash's"
            " signature at the destination instead"
        )
    if parts.fragment or url.endswith("#"):
        return "has a fragment, which is never sent: take '#…' off"
    return None


def _problem_of_host(host: str, scheme: str, *, allow_local: bool) -> str | None:
    address = address_of(host)
    if allow_local and (host == "localhost" or (address is not None and address.is_loopback)):
        return None
    if scheme != "https":
        return "must be https: bodies would travel in the clear"
    if address is not None:
        if not is_public(address):
            return f"{host} is not a public address: give one that QStash can call over the internet"
        return None
    if host == "localhost" or host.endswith(_NOT_PUBLIC) or "." not in host:
        return f"{host} is not a public name: give one that QStash can call over the internet"
    if not all(_HOST_LABEL.fullmatch(label) for label in host.split(".")):
        return f"{host} is not a host name: its parts are letters, digits and '-', 63 at most, with single dots between"
    return None
