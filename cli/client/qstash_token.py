"""QStash's token and URL, tested before they are kept.  Hides how a token looks when it is pasted."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from cli.terminal.options import Failure
from relay.qstash import regions

if TYPE_CHECKING:
    from relay.errors import RelayError

US_URL = regions.REGIONS["US"]
_REFUSED = {401, 403}
_NO_SUCH_USER = 404  # "user … not found in this region (eu-central-1)", as people have reported it
_PASTED = (
    (r"(?i)bearer\s", "begins with `Bearer`"),
    (r"(?i)(export\s+)?QSTASH_TOKEN\s*=", "begins with `QSTASH_TOKEN=`"),
    (r"(?i)authorization\s*:", "begins with `Authorization:`"),
    (r"[\"'`]|.*[\"'`]$", "is in quotes"),
)


def check_form(token: str) -> None:
    """Raise where *token* is more than a token, as it looks when copied from an example or a file.

    Raises:
        Failure: It says what to leave out; nothing of the token is in it.
    """
    for pattern, what in _PASTED:
        if re.match(pattern, token):
            raise Failure(f"that {what}: give the token alone, as QStash's console shows it under QSTASH_TOKEN")


def url_of(given: str) -> str:
    """Return the URL of a QStash that *given* says: a scheme and a host, without a slash at its end.

    Raises:
        BadParameter: It is none, or has more to it, which would stand before each path of QStash's API.
    """
    like = f"must be like {US_URL}"
    try:
        parts = urlsplit(given)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise click.BadParameter(like, param_hint="--url") from None
    if not host or not re.fullmatch(r"[A-Za-z0-9.:\[\]-]+", parts.netloc):
        raise click.BadParameter(like, param_hint="--url")
    url = f"{parts.scheme}://{parts.netloc.lower()}"
    if parts.scheme != "https" and not _is_plain_and_near(parts.scheme, url):
        raise click.BadParameter(f"must begin with https://: {like}", param_hint="--url")
    if parts.path.strip("/") or parts.query or parts.fragment or given.endswith(("?", "#")):
        raise click.BadParameter(f"must be the host alone: --url {url}", param_hint="--url")
    return url


def _is_plain_and_near(scheme: str, url: str) -> bool:
    from cli.client.aws import is_loopback

    return scheme == "http" and is_loopback(url)


@dataclass(frozen=True)
class Trouble:
    """Why a token can't be used at a URL.

    Attributes:
        found: What QStash, or what isn't it, said; nothing of the token is in it.
        is_refusal: Whether the token is refused, by a QStash that answers.
        region: Another region that takes it.
    """

    found: str
    is_refusal: bool = False
    region: str | None = None

    def command(self, name: str) -> str | None:
        """Return the command that mends it for the relay called *name*; None where no token of another kind helps."""
        if not self.is_refusal:
            return None
        return regions.command(name, self.region and regions.REGIONS[self.region])


def trouble(token: str, url: str) -> Trouble | None:
    """Return why *token* can't be used at *url*; None where QStash takes it there.

    A token that one of Upstash's regions refuses is tried at the others; one for another server is shown to no other.
    """
    error = _asked(token, url)
    if error is None:
        return None
    status = getattr(error, "answered", None)
    if status in _REFUSED or (regions.is_upstash(url) and status == _NO_SUCH_USER):
        others = regions.other_regions(url)
        region = next((name for name, other in others.items() if _asked(token, other) is None), None)
        if region is not None:
            return Trouble(f"that token is of the {region} region", is_refusal=True, region=region)
        return Trouble(f"QStash at {url} refuses that token ({status})", is_refusal=True)
    if status is None:
        return Trouble(f"QStash can't be asked at {url} ({error})")
    return Trouble(f"what is at {url} answers {status} to GET /v2/keys, as QStash doesn't")


def _asked(token: str, url: str) -> RelayError | None:
    """Ask for the signing keys, which any token may read and which changes nothing; return what went wrong."""
    from cli.client.api import transport
    from relay.errors import RelayError
    from relay.qstash.client import QStash
    from relay.qstash.http import QStashHttp

    way: Any = transport(url)
    try:
        QStash(QStashHttp(token, url, transport=way)).resources.signing_keys()
    except RelayError as error:
        return error
    finally:
        if way is not None:
            way.close()
    return None
